"""Refusal of pictures that are no digits: their novelty scores and those of the test digits, computed once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from training.data.arrays import Doubles, Labels, Pixels
from training.evaluation.figures import RefusalFigures
from training.report.artefact import Artefact
from training.report.evaluation_data import EvaluationData
from training.report.novelty_scores import SHIPPED, FeatureDistance, auroc, scores

SHARE_OF_DIGITS = 0.003  # refused of MNIST's test digits, where models are compared


@dataclass(frozen=True, slots=True)
class NonDigits:
    """One set: pixels (n, 784), the digit read in each (n,), and each score (n,) by its name."""

    pixels: Pixels
    digit: Labels
    scores: Mapping[str, Doubles]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The scores of the test digits, and of every set of non-digits, by the set's name."""

    threshold: float
    digits: Mapping[str, Doubles]
    others: Mapping[str, NonDigits]

    @classmethod
    def measure(cls, artefact: Artefact, data: EvaluationData) -> Self:
        """Score all of them; the feature distance is fitted on training rows."""
        distance = FeatureDistance.fit(artefact.outputs(data.train.pixels).hidden, data.train.labels)
        others = {}
        for each in data.evaluation_sets:
            if each.labels is None:
                reading = artefact.outputs(each.pixels)
                digit = np.asarray(np.argmax(reading.probabilities, axis=1), np.int64)
                others[each.name] = NonDigits(each.pixels, digit, scores(reading, distance))
        return cls(artefact.threshold, scores(artefact.outputs(data.test.pixels), distance), others)

    def figures(self) -> dict[str, RefusalFigures]:
        """Figures of each set for the report."""
        equal = np.quantile(self.digits[SHIPPED], 1 - SHARE_OF_DIGITS, method="lower")
        return {
            name: {
                "images": len(each.pixels),
                "refused": float(np.mean(each.scores[SHIPPED] > self.threshold)),
                "refused_at_equal_share": float(np.mean(each.scores[SHIPPED] > equal)),
                "auroc": {score: auroc(self.digits[score], each.scores[score]) for score in self.digits},
            }
            for name, each in self.others.items()
        }
