"""MNIST's four files: names, checksums and decoding. Knows no source and no cache."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from training.data import idx_format
from training.data.arrays import PIXELS, LabelledDigits
from training.errors import DataError

# SHA-256 of the uncompressed files, the same whatever source they come from.
CHECKSUMS: Mapping[str, str] = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


@dataclass(frozen=True, slots=True)
class Mnist:
    """All of MNIST: 60,000 training rows and 10,000 test rows."""

    train: LabelledDigits
    test: LabelledDigits

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> Self:
        """MNIST from its four uncompressed files, already verified."""
        return cls(train=_digits(files, "train"), test=_digits(files, "t10k"))


def verify(name: str, content: bytes, checksums: Mapping[str, str] = CHECKSUMS) -> None:
    """Refuse a file that is not, byte for byte, the one MNIST was published with.

    Raises:
        DataError: the SHA-256 differs; the message says by how many bytes it is short, if it is.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != checksums[name]:
        raise DataError(
            f"{name} is damaged or not MNIST's: {len(content):,} bytes with SHA-256 {found[:16]}…,"
            f" expected {checksums[name][:16]}…"
        )


def _digits(files: Mapping[str, bytes], part: str) -> LabelledDigits:
    images = idx_format.decode(files[f"{part}-images-idx3-ubyte"], f"{part}-images-idx3-ubyte")
    labels = idx_format.decode(files[f"{part}-labels-idx1-ubyte"], f"{part}-labels-idx1-ubyte")
    return LabelledDigits(images.reshape(-1, PIXELS), labels.astype(np.int64))
