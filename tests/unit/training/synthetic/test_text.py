"""Text from the one font that the environment holds without a download: matplotlib's DejaVu Sans."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from training.synthetic.fonts import Face
from training.synthetic.text import (
    HANDWRITTEN_LETTERS,
    PRINTED_LETTERS,
    SHEET_SIDES,
    letter,
    printed_digit,
    symbol,
    text_ink,
    word,
)


@pytest.fixture(scope="module")
def face() -> Face:
    font = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return Face("dejavu-sans", "printed", 400, font.read_bytes())


def test_letters_that_equal_a_digit_are_never_drawn() -> None:
    for letters, alike in ((PRINTED_LETTERS, "OoIlZzSsB"), (HANDWRITTEN_LETTERS, "OoQDIijlLZzSsbgqB")):
        assert not set(letters) & set(alike)
        assert len(set(letters)) == len(letters)
    assert set(HANDWRITTEN_LETTERS) < set(PRINTED_LETTERS)


def test_text_is_cropped_to_its_ink(face: Face) -> None:
    bar = text_ink(face, "l", 72)
    assert bar.shape[0] > 4 * bar.shape[1]
    assert bar.mean() > 0.75
    assert text_ink(face, "ll", 72).shape[1] > 2 * bar.shape[1]


def test_every_kind_of_text_is_the_same_from_the_same_seed(face: Face) -> None:
    for draw in (letter, symbol, word):
        for seed in range(10):
            drawn, again = (draw([face], np.random.default_rng(seed)) for _ in range(2))
            assert drawn.max() > 0.9
            assert np.array_equal(drawn, again)


def test_printed_digits_are_of_every_label_and_size_and_stay_inside_the_sheet(face: Face) -> None:
    generator = np.random.default_rng(0)
    drawn = [printed_digit([face], generator) for _ in range(300)]
    assert {label for label, _ in drawn} == set(range(10))
    assert {picture.shape for _, picture in drawn} == {
        (side, side) for side in SHEET_SIDES[:-1]
    }  # the largest is for faces that overflow their em
    assert all(int(picture.max()) - int(picture.min()) > 40 for _, picture in drawn)
