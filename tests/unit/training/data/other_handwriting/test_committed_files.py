"""The handwriting that is not MNIST's: the committed files, and how they are split."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from training.data.other_handwriting import omniglot
from training.data.other_handwriting.map_digits import FULL_INK, load_map_digits
from training.data.other_handwriting.omniglot import load_omniglot
from training.data.other_handwriting.pen_digits import load_pen_digits
from training.errors import DataError

FOLDER = Path(omniglot.__file__).parent


def test_pen_digits_are_points_in_their_box() -> None:
    digits = load_pen_digits()
    assert digits.points.shape == (7494, 8, 2)
    assert np.array_equal(np.unique(digits.labels), np.arange(10))
    assert (digits.points.reshape(-1, 16).min(), digits.points.max()) == (0, 100)


def test_the_last_sixth_of_pen_digits_is_held_out() -> None:
    digits = load_pen_digits()
    train, held_out = digits.split()
    assert len(held_out.labels) == 1249
    np.testing.assert_array_equal(np.concatenate([train.points, held_out.points]), digits.points)
    np.testing.assert_array_equal(np.concatenate([train.labels, held_out.labels]), digits.labels)


def test_the_last_sixth_of_each_map_digit_is_held_out() -> None:
    digits = load_map_digits()
    assert digits.windows.shape == (2000, 16, 15)
    assert digits.windows.max() == FULL_INK
    train, held_out = digits.split()
    assert np.bincount(train.labels).tolist() == [167] * 10
    assert np.bincount(held_out.labels).tolist() == [33] * 10
    np.testing.assert_array_equal(held_out.windows[held_out.labels == 4], digits.windows[digits.labels == 4][167:])


def test_twenty_people_drew_each_character_that_is_not_left_out() -> None:
    drawn = load_omniglot()
    for number, name in enumerate(omniglot.ALPHABETS):
        characters, drawings = np.unique(drawn.character[drawn.alphabet == number], return_counts=True)
        assert set(drawings) == {20}, name
        assert not set(characters) & set(omniglot.LEFT_OUT[name]), name
    assert 30 < drawn.ink.sum(axis=(1, 2)).mean() < 300


def test_an_alphabet_is_in_one_part() -> None:
    parts = omniglot.TRAINING_ALPHABETS, omniglot.VALIDATION_ALPHABETS, omniglot.HELD_OUT_ALPHABETS
    assert sorted(name for part in parts for name in part) == sorted(omniglot.ALPHABETS)
    drawn = load_omniglot()
    assert [len(drawn.of(part).ink) for part in parts] == [1520, 460, 600]


@pytest.mark.parametrize("load", [load_pen_digits, load_map_digits, load_omniglot], ids=lambda load: load.__name__)
def test_a_damaged_file_is_refused_by_its_name(load: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "digits.npz"
    with pytest.raises(DataError, match=r"cannot read .*digits\.npz: No such file"):
        load(path)
    path.write_bytes(b"other bytes")
    with pytest.raises(DataError, match=r"digits\.npz is damaged: its SHA-256 is .* Check it out again"):
        load(path)


def test_each_file_says_where_it_is_from_and_what_allows_it() -> None:
    for path in FOLDER.glob("*.npz"):
        text = path.with_suffix(".LICENSE.txt").read_text()
        assert "MIT License" in text or "CC BY 4.0" in text
        assert "Changed: " in text
    assert sum(path.stat().st_size for path in FOLDER.glob("*.npz")) < 400_000
