"""Digits written with a pen on a tablet. Source and licence: pen_digits.LICENSE.txt."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from training.data.arrays import Labels
from training.data.committed import read_committed

_FILE = Path(__file__).with_name("pen_digits.npz")
SHA256 = "d7726dc783035d24261fb3b3778bfba73098498c22164ea0e83a5157de30b713"
_HELD_OUT = 1 / 6  # of the rows: the last


@dataclass(frozen=True, slots=True)
class PenDigits:
    """Digits as points on the way of the pen; where the pen was lifted is not known.

    Attributes:
        points: (n, 8, 2) uint8, x to the right and y upwards, 0..100, evenly spaced along the way.
        labels: (n,) int64, 0..9.
    """

    points: npt.NDArray[np.uint8]
    labels: Labels

    def split(self) -> tuple[Self, Self]:
        """Rows for training, and the last sixth of all rows, which are held out.

        The 30 writers' rows follow one another, but the file does not say where a writer's rows begin. So one writer
        may have rows in both parts, and all others have not.
        """
        border = len(self.labels) - round(len(self.labels) * _HELD_OUT)
        return (
            type(self)(self.points[:border], self.labels[:border]),
            type(self)(self.points[border:], self.labels[border:]),
        )


def load_pen_digits(path: Path = _FILE) -> PenDigits:
    """The 7,494 digits of 30 writers, from the file that stands next to this module.

    Raises:
        DataError: the file is missing or is not the committed one.
    """
    arrays = read_committed(path, SHA256)
    return PenDigits(arrays["points"], arrays["label"].astype(np.int64))
