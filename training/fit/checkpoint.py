"""Checkpoint of a run between two epochs: every variable and the history, in one file that is whole or absent."""

import dataclasses
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.data.arrays import Arrays
from training.errors import RunError
from training.files import write_atomically

_HISTORY = "history"


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One row of a run's history. Losses are mean cross-entropies in nats."""

    epoch: int
    loss: float
    accuracy: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    seconds: float


def save_checkpoint(path: Path, arrays: Arrays, history: list[EpochRecord]) -> None:
    """Replace the checkpoint at `path`."""
    text = json.dumps([dataclasses.asdict(record) for record in history])
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{**arrays, _HISTORY: np.frombuffer(text.encode(), np.uint8)})
    write_atomically(path, buffer.getvalue())


def load_checkpoint(path: Path) -> tuple[Arrays, list[EpochRecord]]:
    """Read what `save_checkpoint` wrote.

    Raises:
        RunError: the file is damaged.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays: dict[str, Any] = dict(file)
        history = [EpochRecord(**record) for record in json.loads(arrays.pop(_HISTORY).tobytes())]
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(f"{path} is damaged ({error}). Begin the run again with --restart") from error
    return arrays, history
