"""Decodes lines: of all ways to cut a line into digits, the one that the network finds most likely.

1. Each candidate scores by a weighted sum: how sure the network is of a digit, how unlike a digit it is (novelty), its
   size, and whether its ends are cuts through ink or gaps. What is no digit has a score too, so that a comma does not
   tear apart the digits next to it.
2. The best path takes each atom of the line once, with the highest sum (dynamic programming).
3. The probability that the whole line is right is a logistic function of the path's scores and of its lead over the
   best path that takes another candidate.

The weights were learned, by a structured perceptron, from lines of MNIST's training digits with known truth (decision
0044); `python -m benchmarks line_weights` learns them again.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.image.segmentation.segmentation import Segmentation
from serving.predictions import Predictions, Refusal
from serving.readings import Glyph, Line

LEAST = 1e-4  # of a probability, in a logarithm
DIGIT_SIZE = 0.6  # of a digit's height: what is no digit and at least as high may be a digit that could not be read

# Weights of candidate_features: the last two of a candidate that is refused as no digit, the others of one that is read
# as a digit. Lengths are in heights of a digit.
WEIGHTS = {
    "logarithm of the probability": 2.85,
    "logarithm of 1 - novelty": 1.43,
    "width": 16.68,
    "width squared": -8.19,
    "width up to a half": -4.29,
    "height": -0.35,
    "height's distance from 1": -7.58,
    "ink on cuts": -0.87,
    "cuts": -0.8,
    "gaps": -0.69,
    "is a 1": 0.79,
    "width of a 1": -6.3,
    "height of a 1": 2.22,
    "logarithm of the probability, for each atom": 1.22,
    "constant": -2.93,
    "no digit": -4.35,
    "no digit's height up to 1.5": 0.93,
}

# Of the logistic function for a line: constant, and weights of Features in their order.
CONSTANT = 0.27
LINE_WEIGHTS = (6.24, -0.99, 0.54, 0.07)
LARGEST_LEAD = 12.0


@dataclass(frozen=True, slots=True)
class Features:
    """What the probability of a line is made of."""

    sum: float  # of the logarithms of the digits' probabilities
    least: float  # of these logarithms
    lead: float  # of the path's score over the best one that takes another candidate, at most LARGEST_LEAD
    digits: int  # on the path

    def values(self) -> tuple[float, float, float, float]:
        """Returns them in the order of LINE_WEIGHTS."""
        return self.sum, self.least, self.lead, float(self.digits)


def decoded_lines(segmentation: Segmentation, predictions: Predictions) -> tuple[Line, ...]:
    """Returns the lines of a segmentation, from the top. `predictions`: for its candidates, in their order."""
    return tuple(line for line, _ in lines_with_features(segmentation, predictions))


def lines_with_features(
    segmentation: Segmentation, predictions: Predictions, weights: Mapping[str, float] = WEIGHTS
) -> list[tuple[Line, Features]]:
    """Returns the lines with what their probabilities are made of, to which the logistic function is fitted."""
    features = candidate_features(segmentation, predictions)
    scores = sum((weights[name] * values for name, values in features.items()), np.zeros(len(predictions.digits)))
    likely, lines = likelihoods(predictions), segmentation.spans[:, 0]
    return [
        _decoded(np.flatnonzero(lines == number), segmentation, predictions, scores, likely)
        for number in np.unique(lines)
    ]


def likelihoods(predictions: Predictions) -> npt.NDArray[np.float64]:
    """Returns the logarithm of how likely each candidate is its digit, (n,): of probability x (1 - novelty)."""
    likely = predictions.probabilities.max(axis=1).astype(np.float64) * (1 - predictions.novelties)
    logarithms: npt.NDArray[np.float64] = np.log(np.maximum(likely, LEAST))
    return logarithms


def candidate_features(segmentation: Segmentation, predictions: Predictions) -> dict[str, npt.NDArray[np.float64]]:
    """Returns the features of the candidates by the names of WEIGHTS, each (n,). A score is their weighted sum.

    Of a candidate that is refused as no digit those of digits are 0, and of a digit those of what is no digit.
    """
    width, height, ink, cuts, gaps = segmentation.shapes.astype(np.float64).T
    atoms = segmentation.spans[:, 2] - segmentation.spans[:, 1]
    log_probability = np.log(np.maximum(predictions.probabilities.max(axis=1).astype(np.float64), LEAST))
    log_typical = np.log(np.maximum(1 - predictions.novelties.astype(np.float64), 1e-3))
    is_one = (predictions.digits == 1).astype(np.float64)
    is_digit = predictions.refusals == Refusal.NONE
    of_digits = {
        "logarithm of the probability": log_probability,
        "logarithm of 1 - novelty": log_typical,
        "width": width,
        "width squared": width * width,
        "width up to a half": np.minimum(width, 0.5),
        "height": height,
        "height's distance from 1": np.abs(height - 1),
        "ink on cuts": ink,
        "cuts": cuts,
        "gaps": gaps,
        "is a 1": is_one,
        "width of a 1": is_one * width,
        "height of a 1": is_one * height,
        "logarithm of the probability, for each atom": atoms * log_probability,
        "constant": np.ones_like(width),
    }
    of_others = {"no digit": np.ones_like(width), "no digit's height up to 1.5": np.minimum(height, 1.5)}
    return {name: np.where(is_digit, values, 0.0) for name, values in of_digits.items()} | {
        name: np.where(is_digit, 0.0, values) for name, values in of_others.items()
    }


def _decoded(
    rows: npt.NDArray[np.int64],
    segmentation: Segmentation,
    predictions: Predictions,
    scores: npt.NDArray[np.float64],
    likely: npt.NDArray[np.float64],
) -> tuple[Line, Features]:
    """Decodes the line of the candidates in `rows`. `scores` and `likely`: of all candidates, (n,)."""
    path, lead = best_path(segmentation.spans[rows, 1:], scores[rows])
    chosen = rows[path]
    glyphs = tuple(
        Glyph(
            (int(x), int(y), int(width), int(height)),
            int(predictions.digits[row]),
            predictions.probabilities[row],
            float(predictions.novelties[row]),
            bool(predictions.refusals[row] != Refusal.NONE),
        )
        for row, (x, y, width, height) in zip(chosen, segmentation.boxes[chosen], strict=True)
    )
    digits = [row for row, glyph in zip(chosen, glyphs, strict=True) if not glyph.refused]
    features = Features(
        float(likely[digits].sum()), float(likely[digits].min(initial=0.0)), min(lead, LARGEST_LEAD), len(digits)
    )
    is_large = segmentation.shapes[chosen, 1] >= DIGIT_SIZE
    is_refused = not digits or any(glyph.refused and large for glyph, large in zip(glyphs, is_large, strict=True))
    text = "".join(str(glyph.digit) for glyph in glyphs if not glyph.refused)
    return Line(glyphs, text, _probability(features) if digits else 0.0, is_refused), features


def best_path(spans: npt.NDArray[np.int32], scores: npt.NDArray[np.float64]) -> tuple[list[int], float]:
    """Returns the candidates, in reading order, that cover each atom once with the highest sum of scores, and its lead.

    `spans`: (n, 2), first atom and one past the last one. Each atom alone is a candidate. The lead is over the best sum
    with any other candidate; infinite without one.
    """
    atoms = int(spans[:, 1].max())
    # Best sums of the atoms before and after each place: the best path through any candidate is a sum of three.
    before, after = np.full((2, atoms + 1), -np.inf)
    before[0] = after[atoms] = 0.0
    last = np.full(atoms + 1, -1)
    for row in np.lexsort((spans[:, 0], spans[:, 1])).tolist():
        start, end = spans[row]
        if before[start] + scores[row] > before[end]:
            before[end], last[end] = before[start] + scores[row], row
    for row in np.lexsort((spans[:, 1], spans[:, 0]))[::-1].tolist():
        start, end = spans[row]
        after[start] = max(after[start], after[end] + scores[row])
    path: list[int] = []
    at = atoms
    while at:
        path.append(int(last[at]))
        at = int(spans[path[-1], 0])
    through = before[spans[:, 0]] + scores + after[spans[:, 1]]
    others = np.ones(len(spans), np.bool_)
    others[path] = False
    return path[::-1], float(before[atoms] - through[others].max(initial=-np.inf))


def _probability(features: Features) -> float:
    logit = CONSTANT + sum(weight * value for weight, value in zip(LINE_WEIGHTS, features.values(), strict=True))
    return 1 / (1 + math.exp(-max(min(logit, 30.0), -30.0)))
