"""Digits cut out of utility maps. Source and licence: map_digits.LICENSE.txt."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from training.data.arrays import CLASSES, Labels
from training.data.committed import read_committed

FULL_INK = 6  # of a window: all of its 2x3 pixels
_FILE = Path(__file__).with_name("map_digits.npz")
SHA256 = "679599aa8aadc627ee3635be206b85da4cf4577627e896c3d0f029ea85f9ed3b"
_HELD_OUT = 1 / 6  # of each digit's rows: the last


@dataclass(frozen=True, slots=True)
class MapDigits:
    """Digits as counts of inked pixels.

    Attributes:
        windows: (n, 16, 15) uint8, 0..6: pixels of ink in each window of 3 rows and 2 columns, of 48x30 pixels.
        labels: (n,) int64, 0..9.
    """

    windows: npt.NDArray[np.uint8]
    labels: Labels

    def split(self) -> tuple[Self, Self]:
        """Rows for training, and the last sixth of each digit's rows, which are held out. Writers are not known."""
        is_held_out = np.zeros(len(self.labels), np.bool_)
        for digit in range(CLASSES):
            rows = np.flatnonzero(self.labels == digit)
            is_held_out[rows[len(rows) - round(len(rows) * _HELD_OUT) :]] = True
        return self._of(~is_held_out), self._of(is_held_out)

    def _of(self, chosen: npt.NDArray[np.bool_]) -> Self:
        return type(self)(self.windows[chosen], self.labels[chosen])


def load_map_digits(path: Path = _FILE) -> MapDigits:
    """The 2,000 digits, 200 of each, from the file that stands next to this module.

    Raises:
        DataError: the file is missing or is not the committed one.
    """
    arrays = read_committed(path, SHA256)
    return MapDigits(arrays["windows"], arrays["label"].astype(np.int64))
