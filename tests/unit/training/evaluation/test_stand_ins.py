"""The disguises: pictures that are legible, of one size each, and always the same."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest

from training.data.arrays import LabelledDigits
from training.data.preprocessing import Preprocessed
from training.evaluation.stand_ins import DISGUISES, stand_ins


def _sevens() -> LabelledDigits:
    """Three digits drawn alike: a bar above and a slant below it."""
    field = np.zeros((28, 28), np.uint8)
    field[5:8, 8:20] = 255
    for row in range(8, 23):
        left = 18 - (row - 8) // 2
        field[row, left - 1 : left + 2] = 255
    return LabelledDigits(np.stack([field.reshape(784)] * 3), np.array([7, 7, 7]))


def _seen(stacks: Mapping[str, npt.NDArray[np.uint8]]) -> Mapping[str, Preprocessed]:
    """Frames nothing: says in the first pixel how many levels the picture has."""
    answer = {}
    for name, stack in stacks.items():
        pixels = np.zeros((len(stack), 784), np.uint8)
        pixels[:, 0] = [min(len(np.unique(picture)), 255) for picture in stack]
        answer[name] = Preprocessed(pixels, np.zeros(len(stack), np.int64))
    return answer


def test_every_disguise_keeps_labels_and_count() -> None:
    made = stand_ins(_sevens(), count=2, preprocess=_seen)
    assert list(made) == list(DISGUISES)
    for digits in made.values():
        assert digits.labels.tolist() == [7, 7]


def test_forms_and_worn_pens_are_black_and_white_and_scans_are_grey() -> None:
    levels = {name: int(digits.pixels[0, 0]) for name, digits in stand_ins(_sevens(), preprocess=_seen).items()}
    assert levels["binarised forms"] == levels["broken strokes"] == levels["thick strokes"] == 2
    assert 3 <= levels["8x8 scans"] <= 17
    assert levels["16x16 scans"] > 20
    assert levels["photos"] > 40


@pytest.mark.parametrize("name", DISGUISES)
def test_the_same_seed_gives_the_same_picture(name: str) -> None:
    pixels = _sevens().pixels[0]
    first, second = (DISGUISES[name](pixels, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, second)
    assert int(first.max()) - int(first.min()) > 40


def test_thick_strokes_have_more_ink_and_pen_lines_far_less() -> None:
    def dark(name: str) -> int:
        return int((DISGUISES[name](_sevens().pixels[0], np.random.default_rng(1)) < 128).sum())

    assert dark("thick strokes") > dark("binarised forms") > 2 * dark("pen polylines") > 100
