"""The sets that need no download, and what letters are counted where."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from training.errors import DataError
from training.evaluation.evaluation_sets import (
    LETTERS,
    LOOK_ALIKES,
    fields,
    letters,
    load_evaluation_sets,
    sklearn_digits,
)
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


def test_a_set_that_cannot_be_had_is_named_and_the_others_are_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # neither npm nor apt
    missing: dict[str, DataError] = {}
    loaded = load_evaluation_sets(tmp_path, on_missing=missing.__setitem__)
    assert "npm is not installed" in str(missing["letters and printed digits"])
    assert {"blanks, noise and textures", "sklearn digits"} <= {each.name for each in loaded}
    with pytest.raises(DataError):
        load_evaluation_sets(tmp_path)
