"""Writers of MNIST's rows, as QMNIST found them again. Source and licence: writers.LICENSE.txt."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.data.committed import read_committed

_FILE = Path(__file__).with_name("writers.npz")
SHA256 = "bb9ac04f519d3e8c5d3d9c22d9a64d9df4e1f792f675d81654bc0d34d5b4f578"


@dataclass(frozen=True, slots=True)
class Writers:
    """Who wrote each row: 539 people MNIST's 60,000 training rows, 297 others its 10,000 test rows, which come last.

    Attributes:
        writer: (70000,) uint16, the number of a person in NIST's Special Database 19.
        series: (70000,) uint8, 0 = employees of the Census Bureau, 4 = high-school students.
    """

    writer: npt.NDArray[np.uint16]
    series: npt.NDArray[np.uint8]


def load_writers(path: Path = _FILE) -> Writers:
    """Writers from the file that stands next to this module.

    Raises:
        DataError: the file is missing or is not the committed one.
    """
    return Writers(**read_committed(path, SHA256))
