import numpy as np
import pytest

from training.data.arrays import LabelledDigits
from training.data.mnist import Mnist
from training.data.split import split_mnist
from training.errors import ConfigError


def _numbered(count: int) -> Mnist:
    """Training rows whose label is their row number, and one test row."""
    digits = LabelledDigits(np.zeros((count, 784), np.uint8), np.arange(count))
    return Mnist(digits, LabelledDigits(np.zeros((1, 784), np.uint8), np.array([1000])))


def test_no_row_is_in_two_parts() -> None:
    split = split_mnist(_numbered(100), train_images=80, validation_images=20, seed=3)
    assert sorted([*split.train.labels, *split.validation.labels]) == list(range(100))
    assert split.test.labels.tolist() == [1000]


def test_validation_rows_do_not_depend_on_how_many_train() -> None:
    many = split_mnist(_numbered(100), train_images=80, validation_images=20, seed=3)
    few = split_mnist(_numbered(100), train_images=8, validation_images=20, seed=3)
    np.testing.assert_array_equal(many.validation.labels, few.validation.labels)
    assert len(few.train) == 8


def test_the_seed_chooses_the_rows() -> None:
    one, same, other = (split_mnist(_numbered(100), 80, 20, seed).validation.labels for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert set(one) != set(other)


def test_more_rows_than_there_are_is_refused() -> None:
    with pytest.raises(ConfigError, match="train_images = 90 and validation_images = 20"):
        split_mnist(_numbered(100), train_images=90, validation_images=20, seed=3)


def test_labels_without_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"3 labels need \(3, 784\) pixels, got \(2, 784\)"):
        LabelledDigits(np.zeros((2, 784), np.uint8), np.arange(3))
