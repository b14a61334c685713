import dataclasses

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from training.augmentation.distortion import Augmentation
from training.data.arrays import LabelledDigits

STRONG = Augmentation(
    rotation_degrees=20, shear=0.3, scale=0.2, aspect=0.2, shift_pixels=3, elastic_pixels=1.5, stroke=0.5, wild=0.3
)
NONE = Augmentation(
    rotation_degrees=0, shear=0, scale=0, aspect=0, shift_pixels=0, elastic_pixels=0, stroke=0, wild=0.3
)
PEN_ONLY = dataclasses.replace(NONE, stroke=0.5)


def _distorted(augmentation: Augmentation, digits: LabelledDigits, seed: tuple[int, int]) -> npt.NDArray[np.float32]:
    return np.asarray(augmentation(tf.constant(_images(digits)), tf.constant(seed)))


def _images(digits: LabelledDigits) -> npt.NDArray[np.float32]:
    return digits.pixels.reshape(-1, 28, 28).astype(np.float32) / np.float32(255)


def test_the_same_seed_and_step_give_the_same_images(digits: LabelledDigits) -> None:
    np.testing.assert_array_equal(_distorted(STRONG, digits, (1, 5)), _distorted(STRONG, digits, (1, 5)))


def test_another_seed_or_step_gives_others(digits: LabelledDigits) -> None:
    first = _distorted(STRONG, digits, (1, 5))
    for seed in ((1, 6), (2, 5)):
        assert np.mean(np.abs(first - _distorted(STRONG, digits, seed))) > 0.02


def test_limits_of_zero_change_nothing(digits: LabelledDigits) -> None:
    np.testing.assert_allclose(_distorted(NONE, digits, (1, 5)), _images(digits), atol=1e-5)


def test_ink_stays_between_paper_and_black(digits: LabelledDigits) -> None:
    distorted = _distorted(STRONG, digits, (1, 5))
    assert distorted.min() >= -1e-6
    assert distorted.max() <= 1 + 1e-6


def test_strokes_grow_and_shrink_about_equally_often(digits: LabelledDigits) -> None:
    growth = (_distorted(PEN_ONLY, digits, (1, 5)) - _images(digits)).sum(axis=(1, 2))
    assert 0.35 < np.mean(growth > 0) < 0.65
