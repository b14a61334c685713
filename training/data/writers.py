"""Writers of MNIST's training rows, as QMNIST found them again. Source and licence: writers.LICENSE.txt."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.errors import DataError

_FILE = Path(__file__).with_name("writers.npz")
_SHA256 = "3bff79d719965e532f9a815a68f817d29313f95241e1fff5ae644a855e7c723e"


@dataclass(frozen=True, slots=True)
class Writers:
    """Who wrote each training row, in MNIST's order: 539 people.

    Attributes:
        writer: (60000,) uint16, the number of a person in NIST's Special Database 19.
        series: (60000,) uint8, 0 = employees of the Census Bureau, 4 = high-school students.
    """

    writer: npt.NDArray[np.uint16]
    series: npt.NDArray[np.uint8]


def load_writers(path: Path = _FILE) -> Writers:
    """Writers from the file that stands next to this module, its SHA-256 verified.

    Raises:
        DataError: the file is missing or is not the committed one.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}. Install the package again.") from error
    found = hashlib.sha256(content).hexdigest()
    if found != _SHA256:
        raise DataError(
            f"{path} is damaged: its SHA-256 is {found[:16]}…, expected {_SHA256[:16]}…. Check it out again."
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return Writers(arrays["writer"], arrays["series"])
