"""Predictions of training rows by networks that were trained on the rows of other writers."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from rich.console import Console

from training.config import TrainingConfig
from training.data.arrays import CLASSES, Floats, LabelledDigits, Labels
from training.data.split import Split
from training.evaluation.calibration import fit_temperature, softmax
from training.fit.batches import AddedRows
from training.fit.run_folder import RunFolder
from training.fit.training_run import begin, fit
from training.network.architecture import network_from_weights
from training.network.outputs import network_outputs

# Synthetic rows are left out: among them are digits cut out of touching ones, which are training rows, with labels.
_SETTINGS = {"synthetic_images": 0, "other_handwriting_images": 0, "threads": 1}


@dataclass(frozen=True, slots=True)
class Doubt:
    """A row whose label gets little probability.

    Attributes:
        row: of MNIST's training rows, counted from 0.
        label: MNIST's.
        digit: the likeliest digit.
        confidence: its probability, 0 to 1.
        label_probability: that of the label, 0 to 1.
    """

    row: int
    label: int
    digit: int
    confidence: float
    label_probability: float


def out_of_fold(
    digits: LabelledDigits,
    fold: npt.NDArray[np.int64],
    folder_of: Callable[[int], RunFolder],
    epochs: int,
    console: Console,
    settings: TrainingConfig | None = None,
) -> Floats:
    """Calibrated probabilities (n, 10) float32 of each row by the network that was trained without its fold.

    Args:
        digits: all rows.
        fold: of each row.
        folder_of: the folder of a fold's run; one that has begun goes on.
        epochs: of each network.
        console: shows progress.
        settings: None for the default ones.
    """
    probabilities = np.zeros((len(digits), CLASSES), np.float32)
    base = settings or TrainingConfig()
    for number in range(int(fold.max()) + 1):
        held_out = np.flatnonzero(fold == number)
        others = np.flatnonzero(fold != number)
        folder = folder_of(number)
        record = begin(
            folder,
            {
                **dataclasses.asdict(base),
                **_SETTINGS,
                **{"seed": number + 1, "data_seed": number + 1, "epochs": epochs},
                **{"train_images": len(others), "validation_images": len(held_out)},
            },
            resume=folder.has_begun,
            restart=False,
        )
        rows = digits.take(held_out)
        fit(folder, record.config, Split(digits.take(others), rows, rows), AddedRows(), console)
        network = network_from_weights(record.config, folder.read_weights())
        logits = network_outputs(network, rows.pixels).logits
        probabilities[held_out] = softmax(logits, fit_temperature(logits, rows.labels))
    return probabilities


def doubts(labels: Labels, probabilities: Floats) -> list[Doubt]:
    """The rows that are read as another digit than their label, those with the least likely labels first."""
    digit = np.argmax(probabilities, axis=1)
    rows = np.flatnonzero(digit != labels)
    of_label = probabilities[rows, labels[rows]]
    return [
        Doubt(row, int(labels[row]), int(digit[row]), float(probabilities[row, digit[row]]), float(its))
        for row, its in sorted(zip(rows.tolist(), of_label.tolist(), strict=True), key=lambda pair: pair[1])
    ]
