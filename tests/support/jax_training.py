"""Trains runs with KERAS_BACKEND=jax where TensorFlow cannot be imported, as on a machine that lacks it.

    python -m tests.support.jax_training WORK

WORK holds digits.npz (pixels, labels) of rows to train on, and runs.json, a list of runs with `name` and `settings`.
Each is begun and trained in WORK/<name>; one that has a checkpoint goes on from it. Half of the rows train, all are
validation rows, and the last ones join each batch as other people's.
"""

import importlib.abc
import importlib.machinery
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType


class WithoutTensorFlow(importlib.abc.MetaPathFinder):
    """Lets nobody import TensorFlow."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002  # the protocol's
        target: ModuleType | None = None,  # noqa: ARG002  # the protocol's
    ) -> importlib.machinery.ModuleSpec | None:
        """Raises ModuleNotFoundError for TensorFlow."""
        if fullname.partition(".")[0] == "tensorflow":
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


def main(work: Path) -> None:
    """Train all runs of the folder."""
    sys.meta_path.insert(0, WithoutTensorFlow())
    import numpy as np
    from rich.console import Console

    from training.data.arrays import LabelledDigits
    from training.data.split import Split
    from training.fit.batches import AddedRows
    from training.fit.run_folder import RunFolder
    from training.fit.training_run import begin, fit

    with np.load(work / "digits.npz", allow_pickle=False) as file:
        digits = LabelledDigits(file["pixels"], file["labels"])
    split = Split(digits, digits, digits)
    for run in json.loads((work / "runs.json").read_text()):
        folder = RunFolder(work / run["name"])
        record = begin(folder, run["settings"], resume=False, restart=False)
        fit(folder, record.config, split, AddedRows(other_handwriting=digits), Console(file=io.StringIO()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
