"""The cached file of synthesised pictures, and the recipe with a framing that only counts."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from training.data.preprocessing import Preprocessed
from training.errors import DataError
from training.synthetic.recipe import Kind, draw_kind
from training.synthetic.synthetic_set import SyntheticSet, read_synthetic, write_synthetic
from training.synthetic.textures import noise


def _set() -> SyntheticSet:
    pixels = np.arange(3 * 784).reshape(3, 784).astype(np.uint8)
    return SyntheticSet(pixels, np.array([-1, 7, -1]), np.array(["letter", "printed digit", "noise"]))


def _white(stacks: Mapping[str, npt.NDArray[np.uint8]]) -> Mapping[str, Preprocessed]:
    """Frames nothing: every picture becomes full ink."""
    return {
        name: Preprocessed(np.full((len(stack), 784), 255, np.uint8), np.zeros(len(stack), np.int64))
        for name, stack in stacks.items()
    }


def test_a_stored_set_comes_back_as_it_was(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "sub" / "set.npz", _set())
    stored = read_synthetic(tmp_path / "sub" / "set.npz")
    assert np.array_equal(stored.pixels, _set().pixels)
    assert stored.labels.tolist() == [-1, 7, -1]
    assert stored.kinds.tolist() == ["letter", "printed digit", "noise"]


def test_labels_separate_digits_from_non_digits() -> None:
    assert np.array_equal(_set().non_digits, _set().pixels[[0, 2]])
    assert _set().digits.labels.tolist() == [7]
    assert np.array_equal(_set().digits.pixels, _set().pixels[[1]])


def test_a_cut_file_is_damaged_and_the_error_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    write_synthetic(path, _set())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"set\.npz is damaged .* Delete it"):
        read_synthetic(path)


def test_a_file_whose_arrays_were_exchanged_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    write_synthetic(path, _set())
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, allow_pickle=False, **{**arrays, "labels": arrays["labels"][::-1] * 0})
    with pytest.raises(DataError, match="its checksum differs"):
        read_synthetic(path)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_a_kind_has_its_count_and_its_share_is_preprocessed(share: float) -> None:
    kind = Kind("noise", noise, 400, preprocessed_share=share, whole_field=True)
    drawn = draw_kind(kind, "train", _white)
    assert drawn.shape == (400, 784)
    assert drawn.dtype == np.uint8
    assert (drawn == 255).all(axis=1).mean() == pytest.approx(share, abs=0.08)
    assert draw_kind(kind, "test", _white).shape == (50, 784)


def test_parts_draw_different_pictures_and_each_always_the_same() -> None:
    kind = Kind("noise", noise, 80, preprocessed_share=0, whole_field=True)
    assert np.array_equal(draw_kind(kind, "test", _white), draw_kind(kind, "test", _white))
    assert not np.array_equal(draw_kind(kind, "test", _white), draw_kind(kind, "validation", _white))
