"""The sets that need no download, and what letters are counted where."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pytest

from training.data.preprocessing import Preprocessed
from training.errors import DataError
from training.evaluation.evaluation_sets import (
    LETTERS,
    LOOK_ALIKES,
    fields,
    letters,
    load_evaluation_sets,
    other_handwriting,
    sklearn_digits,
)
from training.other_handwriting.sets import FOR_CHOICES, HELD_OUT
from training.synthetic.fonts import Face
from training.synthetic.text import PRINTED_LETTERS


def test_every_letter_is_either_a_look_alike_or_in_the_main_set() -> None:
    assert len(LETTERS) + len(LOOK_ALIKES) == 52
    assert not set(LETTERS) & set(LOOK_ALIKES)
    assert set(PRINTED_LETTERS) < set(LETTERS)


def test_fields_are_many_and_always_the_same() -> None:
    drawn = fields()
    assert drawn.shape == (5_000, 784)
    assert drawn.dtype == np.uint8
    assert len(np.unique(drawn, axis=0)) > 4_000  # blanks repeat
    assert np.array_equal(drawn[:100], fields()[:100])


def test_letters_come_preprocessed_from_the_given_fonts() -> None:
    font = Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    framed = letters([Face("dejavu-sans", "printed", 400, font.read_bytes())], "HX", 12).reshape(-1, 28, 28)
    assert framed.shape == (12, 28, 28)
    assert framed[:, :3].max() == 0  # MNIST's margin
    assert (framed.max(axis=(1, 2)) > 200).all()


def test_sklearns_digits_are_all_there_labelled() -> None:
    digits = sklearn_digits().digits
    assert len(digits) == 1_797
    assert np.bincount(digits.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert digits.pixels.any(axis=1).all()


def _first_pixels(stacks: Mapping[str, npt.NDArray[np.uint8]]) -> Mapping[str, Preprocessed]:
    """Frames nothing: as many of each picture's pixels as there are, and paper."""
    framed = {}
    for name, stack in stacks.items():
        rows = stack.reshape(len(stack), -1)[:, :784]
        pixels = np.pad(rows, ((0, 0), (0, 784 - rows.shape[1]))) | np.uint8(1)
        framed[name] = Preprocessed(pixels, np.zeros(len(stack), np.int64))
    return framed


def test_letters_of_held_out_alphabets_are_non_digits_and_the_rest_is_labelled(tmp_path: Path) -> None:
    sets = other_handwriting(tmp_path, (*HELD_OUT, FOR_CHOICES), preprocess=_first_pixels)
    assert [len(each.pixels) for each in sets] == [1249, 330, 600, 460]
    assert [each.labels is None for each in sets] == [False, False, True, True]
    assert set(sets[0].digits.labels) == set(range(10))


def test_a_set_that_cannot_be_had_is_named_and_the_others_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # neither npm nor apt
    missing: dict[str, DataError] = {}
    loaded = load_evaluation_sets(tmp_path, preprocess=_first_pixels, on_missing=missing.__setitem__)
    assert "npm is not installed" in str(missing["letters and printed digits"])
    assert {"blanks, noise and textures", "sklearn digits", *HELD_OUT} <= {each.name for each in loaded}
    with pytest.raises(DataError):
        load_evaluation_sets(tmp_path)
