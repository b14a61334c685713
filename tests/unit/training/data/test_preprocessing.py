import numpy as np
import numpy.typing as npt
import pytest

from training.data.preprocessing import preprocess_pictures
from training.errors import DataError


def _bar(height: int, width: int) -> npt.NDArray[np.uint8]:
    """A dark upright bar on white paper."""
    picture = np.full((height, width), 255, np.uint8)
    picture[height // 4 : -height // 4, width // 2 - 3 : width // 2 + 3] = 0
    return picture


def test_pictures_of_any_size_come_back_in_mnists_frame_and_in_order() -> None:
    blank = np.full((40, 40), 255, np.uint8)
    framed = preprocess_pictures({"small ones": np.stack([_bar(40, 40), blank]), "a/large.one": _bar(100, 90)[None]})
    assert list(framed) == ["small ones", "a/large.one"]
    assert framed["small ones"].pixels.shape == (2, 784)
    assert framed["small ones"].pixels.any(axis=1).tolist() == [True, False]
    assert framed["small ones"].flags[1] & 1  # blank
    field = framed["a/large.one"].pixels.reshape(28, 28)
    assert field[14, 14] > 200
    assert field[14, :8].max() == 0


def test_pictures_that_cannot_be_preprocessed_are_one_clear_error() -> None:
    with pytest.raises(DataError, match="expected"):
        preprocess_pictures({"flat": np.zeros((3, 5), np.uint8)})
