"""Pictures of other handwriting, and the file that keeps them, with a framing that only reduces."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from training.data.arrays import NOT_A_DIGIT
from training.data.other_handwriting import omniglot
from training.data.other_handwriting.map_digits import MapDigits, load_map_digits
from training.data.other_handwriting.omniglot import Characters, load_omniglot
from training.data.other_handwriting.pen_digits import PenDigits, load_pen_digits
from training.data.preprocessing import Preprocessed, preprocess_pictures
from training.errors import DataError
from training.other_handwriting.sets import (
    FOR_CHOICES,
    HELD_OUT,
    character_pictures,
    load_other_handwriting,
    map_ink,
    map_pictures,
    pen_pictures,
)


def _corners(stacks: Mapping[str, npt.NDArray[np.uint8]]) -> Mapping[str, Preprocessed]:
    """Frames nothing: the middle of each picture, and of the very first picture nothing at all."""
    framed = {name: stack[:, 34:62, 34:62].reshape(-1, 784) | np.uint8(1) for name, stack in stacks.items()}
    next(iter(framed.values()))[0] = 0
    return {name: Preprocessed(each, np.zeros(len(each), np.int64)) for name, each in framed.items()}


PENS = PenDigits(load_pen_digits().points[:10], load_pen_digits().labels[:10])
MAPS = MapDigits(load_map_digits().windows[::200], load_map_digits().labels[::200])
_ALL = load_omniglot()
CHARACTERS = Characters(_ALL.ink[::260], _ALL.alphabet[::260], _ALL.character[::260])


def test_pictures_are_drawn_anew_each_time_and_from_a_seed_always_the_same() -> None:
    def drawn(seed: int) -> list[bytes]:
        generator = np.random.default_rng(seed)
        pictures = [
            *pen_pictures(PENS, 2, generator),
            *map_pictures(MAPS, 2, generator),
            *character_pictures(CHARACTERS, 2, generator),
        ]
        assert {picture.shape for picture, _ in pictures} == {(96, 96)}
        assert [label for _, label in pictures] == [*PENS.labels] * 2 + [*range(10)] * 2 + [NOT_A_DIGIT] * 20
        return [picture.tobytes() for picture, _ in pictures]

    assert len(set(drawn(1))) == 60
    assert drawn(1) == drawn(1)
    assert not set(drawn(1)) & set(drawn(2))


def test_map_digits_are_upright_and_as_large_as_they_were_counted() -> None:
    windows = np.zeros((16, 15), np.uint8)
    windows[12:14, 2:4] = 6
    ink = map_ink(windows)
    assert ink.shape == (48, 30)
    assert ink[36:42, 4:8].mean() > 0.7
    assert ink.sum() == pytest.approx(ink[34:44, 2:10].sum(), rel=0.02)
    assert map_ink(windows, 1.5).shape == (72, 45)


def test_the_services_preprocessing_frames_them_as_it_does_every_digit() -> None:
    pictures = np.stack([picture for picture, _ in pen_pictures(PENS, 1, np.random.default_rng(0))])
    framed = preprocess_pictures({"pens": pictures})["pens"].pixels.reshape(-1, 28, 28)
    assert framed[:, :3].max() == framed[:, :, :3].max() == 0  # MNIST's margin
    assert (framed.max(axis=(1, 2)) > 150).all()


def test_what_is_held_out_is_one_picture_of_each_and_blank_ones_are_left_out(tmp_path: Path) -> None:
    lines: list[str] = []
    made = load_other_handwriting(tmp_path, "evaluation", lines.append, _corners)
    kinds, counts = np.unique(made.kinds, return_counts=True)
    assert dict(zip(kinds, counts, strict=True)) == {
        HELD_OUT[0]: 1248,  # less the one that was framed as blank
        HELD_OUT[1]: 330,
        HELD_OUT[2]: len(load_omniglot().of(omniglot.HELD_OUT_ALPHABETS).ink),
        FOR_CHOICES: len(load_omniglot().of(omniglot.VALIDATION_ALPHABETS).ink),
    }
    assert (made.labels[made.kinds == HELD_OUT[2]] == NOT_A_DIGIT).all()
    assert made.labels[made.kinds == HELD_OUT[1]].tolist() == load_map_digits().split()[1].labels.tolist()
    again = load_other_handwriting(tmp_path, "evaluation", lines.append, _corners)
    np.testing.assert_array_equal(again.pixels, made.pixels)
    assert len(lines) == 1
    (stored,) = (tmp_path / "other-handwriting").iterdir()
    stored.write_bytes(stored.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"is damaged .* Delete it"):
        load_other_handwriting(tmp_path, "evaluation")
