import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.config import TrainingConfig
from training.data.arrays import LabelledDigits
from training.data.mnist import Mnist
from training.data.split import split_mnist, validation_writers
from training.data.writers import load_writers
from training.errors import ConfigError

WRITER = load_writers().writer[:60_000]


def _numbered(count: int) -> Mnist:
    """Training rows whose label is their row number, and one test row."""
    digits = LabelledDigits(np.zeros((count, 784), np.uint8), np.arange(count))
    return Mnist(digits, LabelledDigits(np.zeros((1, 784), np.uint8), np.array([1000])))


ALL_ROWS = _numbered(60_000)


def test_no_row_is_in_two_parts() -> None:
    split = split_mnist(_numbered(100), train_images=80, validation_images=20, seed=3, by="rows")
    assert sorted([*split.train.labels, *split.validation.labels]) == list(range(100))
    assert split.test.labels.tolist() == [1000]


def test_validation_rows_do_not_depend_on_how_many_train() -> None:
    many = split_mnist(_numbered(100), train_images=80, validation_images=20, seed=3, by="rows")
    few = split_mnist(_numbered(100), train_images=8, validation_images=20, seed=3, by="rows")
    np.testing.assert_array_equal(many.validation.labels, few.validation.labels)
    assert len(few.train) == 8


def test_the_seed_chooses_the_rows() -> None:
    one, same, other = (split_mnist(_numbered(100), 80, 20, seed, "rows").validation.labels for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert set(one) != set(other)


@given(
    by=st.sampled_from(["rows", "writers"]),
    validation_images=st.integers(1, 12_000),
    seed=st.integers(0, 2**32),
)
def test_parts_are_disjoint_and_no_writer_is_in_two_of_them(by: str, validation_images: int, seed: int) -> None:
    split = split_mnist(ALL_ROWS, 1000, validation_images, seed, by)
    train, validation = split.train.labels, split.validation.labels
    assert (len(train), len(validation)) == (1000, validation_images)
    assert len({*train, *validation}) == 1000 + validation_images
    if by == "writers":
        assert not set(WRITER[train]) & set(WRITER[validation])


def test_all_other_rows_train_by_default() -> None:
    """Drawn are people whose rows come to exactly as many as are to be had."""
    default = TrainingConfig()
    split = split_mnist(ALL_ROWS, default.train_images, default.validation_images, default.split_seed, default.split)
    assert set(WRITER[split.train.labels]) | set(WRITER[split.validation.labels]) == set(WRITER)
    assert len(split.train) + len(split.validation) == len(ALL_ROWS.train)


def test_validation_rows_of_writers_are_mixed() -> None:
    """The first of them stand for all: golden predictions and stand-ins are made from the first few."""
    first = split_mnist(ALL_ROWS, 55_000, 5_000, 0, "writers").validation.labels[:256]
    assert len(set(WRITER[first])) > 30


@pytest.mark.parametrize("by", ["rows", "writers"])
def test_more_rows_than_there_are_is_refused(by: str) -> None:
    with pytest.raises(ConfigError, match="train_images = 90 and validation_images = 20"):
        split_mnist(_numbered(100), train_images=90, validation_images=20, seed=3, by=by)


def test_more_rows_than_other_writers_leave_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"split by writers: 5001 for validation leave 5\d{4}"):
        split_mnist(ALL_ROWS, 55_000, 5_001, 0, "writers")


def test_labels_without_pixels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"3 labels need \(3, 784\) pixels, got \(2, 784\)"):
        LabelledDigits(np.zeros((2, 784), np.uint8), np.arange(3))


@given(st.integers(0, 10_000), st.integers(1, 30_000))
def test_the_writers_of_validation_rows_are_those_whose_rows_are_split_off(seed: int, rows: int) -> None:
    split = split_mnist(ALL_ROWS, 1, rows, seed, "writers")
    assert set(WRITER[split.validation.labels]) <= set(validation_writers(ALL_ROWS, rows, seed))
