"""Reads the data files that stand next to the modules of this package, their SHA-256 verified."""

import hashlib
import io
from pathlib import Path

import numpy as np

from training.data.arrays import Arrays
from training.errors import DataError


def read_committed(path: Path, sha256: str) -> Arrays:
    """The arrays of an npz file.

    Raises:
        DataError: the file is missing or is not the committed one.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}. Install the package again.") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(
            f"{path} is damaged: its SHA-256 is {found[:16]}…, expected {sha256[:16]}…. Check it out again."
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)
