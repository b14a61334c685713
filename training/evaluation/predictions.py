"""What a model said to a set of digits, ready to be measured, drawn or written down."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from training.data.arrays import Floats, LabelledDigits, Labels


@dataclass(frozen=True, slots=True)
class Answers:
    """Calibrated probabilities (n, 10) float32 and novelty (n,) float32 for `digits`."""

    digits: LabelledDigits
    probabilities: Floats
    novelty: Floats

    @property
    def digit(self) -> Labels:
        """The likeliest digit of each, (n,) int64."""
        return np.asarray(np.argmax(self.probabilities, axis=1), np.int64)

    def take(self, count: int) -> Self:
        """The first `count` of them."""
        rows = np.arange(min(count, len(self.digits)))
        return type(self)(self.digits.take(rows), self.probabilities[rows], self.novelty[rows])
