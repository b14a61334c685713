"""Metrics of a set of predictions: accuracy, proper scores and calibration. Pure numpy, no network, no files."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.data.arrays import CLASSES, Doubles, Floats, Labels

# Test rows whose label most people dispute (Northcutt et al. 2021, cleanlab/label-errors): the majority says another
# digit, there is no majority, or it is no digit.
KNOWN_WRONG_TEST_LABELS = (947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729)
CALIBRATION_BINS = 15
_TINY = 1e-12  # a probability of exactly 0 would make one prediction's loss infinite


@dataclass(frozen=True, slots=True)
class Calibration:
    """The reliability diagram's data, one entry per bin of confidence; empty bins have count 0 and mean 0."""

    counts: npt.NDArray[np.int64]
    mean_confidence: Doubles
    mean_accuracy: Doubles

    @property
    def expected_error(self) -> float:
        """ECE: the mean distance of accuracy from confidence, each bin weighed by its share of the predictions."""
        gaps = np.abs(self.mean_accuracy - self.mean_confidence)
        return float(np.sum(gaps * self.counts) / np.sum(self.counts))


def accuracy(probabilities: Floats, labels: Labels) -> float:
    """Share of rows whose largest probability is the label's. probabilities: (n, 10); labels: (n,)."""
    return float(np.mean(np.argmax(probabilities, axis=1) == labels))


def accuracy_per_digit(probabilities: Floats, labels: Labels) -> list[float]:
    """Recall of each digit 0..9: the share of its images that are read as it; NaN where there is none."""
    right = np.argmax(probabilities, axis=1) == labels
    counts = np.bincount(labels, minlength=CLASSES)
    hits = np.bincount(labels[right], minlength=CLASSES)
    return [float(hit / count) if count else float("nan") for hit, count in zip(hits, counts, strict=True)]


def negative_log_likelihood(probabilities: Floats, labels: Labels) -> float:
    """Mean of -ln of the label's probability, in nats."""
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.mean(np.log(np.maximum(of_label, _TINY))))


def brier_score(probabilities: Floats, labels: Labels) -> float:
    """Mean squared distance of the ten probabilities from the label's one-hot vector: 0 best, 2 worst."""
    targets = np.eye(CLASSES)[labels]
    return float(np.mean(np.sum((probabilities.astype(np.float64) - targets) ** 2, axis=1)))


def calibration(probabilities: Floats, labels: Labels, bins: int = CALIBRATION_BINS) -> Calibration:
    """Confidence (largest probability) against accuracy, in `bins` equal bins of (0, 1]."""
    confidence = np.max(probabilities, axis=1).astype(np.float64)
    return binned_calibration(confidence, np.argmax(probabilities, axis=1) == labels, bins)


def calibration_error_interval(
    probabilities: Floats, labels: Labels, seed: int = 0, resamples: int = 1000, level: float = 0.95
) -> tuple[float, float]:
    """Bootstrap percentile interval of the ECE: what it would be on other draws of as many images.

    ECE is biased upwards on few or very confident predictions, and so are the resampled values.
    """
    confidence = np.max(probabilities, axis=1).astype(np.float64)
    right = np.argmax(probabilities, axis=1) == labels
    generator = np.random.default_rng(seed)
    errors = []
    for _ in range(resamples):
        rows = generator.integers(0, len(labels), len(labels))
        errors.append(binned_calibration(confidence[rows], right[rows], CALIBRATION_BINS).expected_error)
    low, high = np.quantile(errors, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def confusion_matrix(probabilities: Floats, labels: Labels) -> npt.NDArray[np.int64]:
    """(10, 10) counts: row = the label, column = the digit that was read."""
    matrix = np.zeros((CLASSES, CLASSES), np.int64)
    np.add.at(matrix, (labels, np.argmax(probabilities, axis=1)), 1)
    return matrix


def binned_calibration(confidence: Doubles, right: npt.NDArray[np.bool_], bins: int = CALIBRATION_BINS) -> Calibration:
    """Calibration from each prediction's confidence (n,) and whether it was right (n,)."""
    places = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(places, minlength=bins)
    divisor = np.maximum(counts, 1)
    return Calibration(
        counts=counts,
        mean_confidence=np.bincount(places, weights=confidence, minlength=bins) / divisor,
        mean_accuracy=np.bincount(places, weights=right.astype(np.float64), minlength=bins) / divisor,
    )
