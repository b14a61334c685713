"""Four ways to score how little an image looks like a digit; the report compares them. Higher is stranger."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from training.data.arrays import CLASSES, Doubles, Floats, Labels
from training.report.artefact import ModelOutputs

SHIPPED = "novelty"


@dataclass(frozen=True, slots=True)
class FeatureDistance:
    """Mahalanobis distance of the hidden layer's activations to the nearest digit's mean (Lee et al. 2018, arXiv
    1807.03888): means (10, units), and one precision matrix (units, units) shared by all digits.
    """

    means: Doubles
    precision: Doubles

    @classmethod
    def fit(cls, hidden: Floats, labels: Labels) -> Self:
        """From training rows: hidden (n, units), labels (n,)."""
        wide = hidden.astype(np.float64)
        means = np.stack([wide[labels == digit].mean(axis=0) for digit in range(CLASSES)])
        covariance = np.cov(wide - means[labels], rowvar=False)
        return cls(means, np.linalg.pinv(covariance, hermitian=True))

    def __call__(self, hidden: Floats) -> Doubles:
        """(n,) squared distances."""
        wide = hidden.astype(np.float64)
        distances = [np.einsum("ij,jk,ik->i", wide - mean, self.precision, wide - mean) for mean in self.means]
        return np.asarray(np.min(distances, axis=0))


def scores(reading: ModelOutputs, distance: FeatureDistance) -> dict[str, Doubles]:
    """Each score of n images, (n,) float64."""
    return {
        SHIPPED: reading.novelty.astype(np.float64),
        "1 - max softmax": 1 - np.max(reading.probabilities.astype(np.float64), axis=1),
        "energy": np.asarray(-logsumexp(reading.logits.astype(np.float64), axis=1)),
        "feature distance": distance(reading.hidden),
    }


def auroc(digits: Doubles, others: Doubles) -> float:
    """Share of pairs in which the non-digit is stranger than the digit: 1 best, 0.5 chance; ties count half."""
    is_other = np.concatenate([np.zeros(len(digits)), np.ones(len(others))])
    return float(roc_auc_score(is_other, np.concatenate([digits, others])))
