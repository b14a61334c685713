"""Calibrated predictions for a set of digits."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from training.data.arrays import Floats, LabelledDigits, Labels
from training.evaluation.calibration import sigmoid, softmax
from training.network.outputs import NetworkOutputs


@dataclass(frozen=True, slots=True)
class Predictions:
    """Calibrated probabilities (n, 10) float32 and novelty (n,) float32 for `digits`."""

    digits: LabelledDigits
    probabilities: Floats
    novelty: Floats

    @property
    def digit(self) -> Labels:
        """The likeliest digit of each image, (n,) int64."""
        return np.asarray(np.argmax(self.probabilities, axis=1), np.int64)

    @property
    def confidence(self) -> Floats:
        """The largest probability of each image, (n,) float32."""
        return np.asarray(np.max(self.probabilities, axis=1))

    def take(self, count: int) -> Self:
        """The predictions for the first `count` images."""
        return self.rows(np.arange(min(count, len(self.digits))))

    def rows(self, rows: npt.NDArray[np.int64]) -> Self:
        """The predictions for these rows, in this order."""
        return type(self)(self.digits.take(rows), self.probabilities[rows], self.novelty[rows])


def calibrated(digits: LabelledDigits, outputs: NetworkOutputs, temperature: float) -> Predictions:
    """Predictions from a network's outputs for `digits`: the softmax of its logits divided by `temperature`."""
    return Predictions(digits, softmax(outputs.logits, temperature), sigmoid(outputs.novelty_logits))
