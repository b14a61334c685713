"""Digits by who wrote them, in three splits that share no writer."""

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.config import TrainingConfig, default_cache_folder
from training.data.arrays import LabelledDigits
from training.data.cache import load_mnist
from training.data.sources import default_sources
from training.data.split import validation_writers
from training.data.writers import load_writers

SPLITS = ("training", "validation", "test")
_TEST_ROWS = 10_000  # of MNIST, the last
_LEAST_ROWS = 15  # of a writer whose digits are used


@dataclass(frozen=True, slots=True)
class Handwriting:
    """Digits and who wrote them: writer (n,) a number for each person, split (n,) a place in SPLITS."""

    digits: LabelledDigits
    writer: npt.NDArray[np.uint16]
    split: npt.NDArray[np.int64]

    def random_writer(self, split: str, generator: np.random.Generator) -> LabelledDigits:
        """All digits of one writer of this split; who has written more is drawn more often."""
        rows_of_writers = np.bincount(self.writer)[self.writer]
        rows = np.flatnonzero((self.split == SPLITS.index(split)) & (rows_of_writers >= _LEAST_ROWS))
        return self.digits.take(np.flatnonzero(self.writer == self.writer[generator.choice(rows)]))


def splits_of(writer: npt.NDArray[np.uint16], held_out: npt.NDArray[np.uint16]) -> npt.NDArray[np.int64]:
    """Split of each of MNIST's 70,000 rows, as a place in SPLITS.

    The committed networks have learned from writers for training, and from none of those for validation: of the
    training rows the writers `held_out`. Writers of test rows are for figures, and decide nothing.
    """
    splits = np.where(np.isin(writer, held_out), SPLITS.index("validation"), SPLITS.index("training"))
    splits[-_TEST_ROWS:] = SPLITS.index("test")
    return splits


@functools.cache
def mnist_handwriting() -> Handwriting:
    """MNIST's rows with their writers; from the cache of `python -m training data`, or fetched.

    Raises:
        DataError: MNIST cannot be had, or the writers cannot be read.
    """
    mnist, writer = load_mnist(default_cache_folder(), default_sources(None)), load_writers().writer
    pixels = np.concatenate([mnist.train.pixels, mnist.test.pixels])
    labels = np.concatenate([mnist.train.labels, mnist.test.labels])
    default = TrainingConfig()
    held_out = validation_writers(mnist, default.validation_images, default.split_seed)
    return Handwriting(LabelledDigits(pixels, labels), writer, splits_of(writer, held_out))
