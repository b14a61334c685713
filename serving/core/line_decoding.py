"""Decodes lines: of all ways to cut a line into digits, the one that the network finds most likely.

1. Two networks judge each candidate: the digit network sees it cut out, the column network in its piece. Their
   probabilities are multiplied.
2. Each candidate scores by a weighted sum: how sure the networks are of a digit, how unlike a digit it is (novelty),
   its size, and whether its ends are cuts through ink or gaps. What is no digit has a score too, so that a comma does
   not tear apart the digits next to it.
3. The best path takes each atom of the line once, with the highest sum (dynamic programming). The weights are those of
   a conditional random field: exp(sum) is how likely a path is, against all others.
4. The probability that the whole line is right is a logistic function of that and of what the networks say.

The weights were learned from lines of MNIST's training digits with known truth (decisions 0044 and 0048);
`python -m benchmarks line_weights` learns them again.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.image.segmentation.segmentation import Segmentation
from serving.predictions import Predictions, Refusal
from serving.readings import Glyph, Line

Doubles = npt.NDArray[np.float64]

LEAST = 1e-4  # of a probability, in a logarithm
# The column network vouches for a digit that the digit network finds, too, but refuses: with this probability at least,
# and where cuts have left stumps on it, or where it is but a little more novel than digits are.
VOUCHES, RATHER_NOVEL = 0.3, 0.2
DIGIT_SIZE = 0.6  # of a digit's height: what is no digit and at least as high may be a digit that could not be read

# Weights of candidate_features: the last two of a candidate that is refused as no digit, the others of one that is read
# as a digit. Lengths are in heights of a digit.
WEIGHTS = {
    "logarithm of the probability": 1.16,
    "logarithm of 1 - novelty": 0.96,
    "width": 1.51,
    "width squared": 1.02,
    "width up to a half": -1.13,
    "height": 0.76,
    "height's distance from 1": -3.52,
    "ink on cuts": -2.2,
    "cuts": 0.2,
    "gaps": -0.55,
    "is a 1": -2.08,
    "width of a 1": -3.16,
    "height of a 1": 0.54,
    "logarithm of the probability, for each atom": 2.66,
    "evidence": 0.65,
    "is read by columns": 3.0,
    "constant": -0.87,
    "no digit": -4.29,
    "no digit's height up to 1.5": 1.73,
}

# Of the logistic function for a line: constant, and weights of Features in their order.
CONSTANT = 2.64
LINE_WEIGHTS = (0.54, 0.41, 0.51, 1.26, 0.05)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What the two networks say of n candidates together."""

    probabilities: Doubles  # (n, 10)
    digits: npt.NDArray[np.int64]  # (n,): the likeliest
    novelties: Doubles  # (n,): the digit network's
    is_digit: npt.NDArray[np.bool_]  # (n,): not refused
    evidence: Doubles  # (n,): logarithm of the column network's probability of that digit, 0 where it did not read
    is_read: npt.NDArray[np.bool_]  # (n,): by the column network


def judged(segmentation: Segmentation, predictions: Predictions) -> Judged:
    """Returns what both networks say. `predictions`: the digit network's, for the candidates in their order."""
    rows = np.arange(len(predictions.digits))
    alone = predictions.probabilities.astype(np.float64)
    is_read = ~np.isnan(segmentation.evidence[:, 0])
    in_piece = np.where(is_read[:, None], segmentation.evidence.astype(np.float64), 1.0)
    log_evidence = np.log(np.clip(in_piece, LEAST, 1.0))
    product = np.log(np.maximum(alone, LEAST)) + log_evidence
    product = np.exp(product - product.max(axis=1, keepdims=True))
    probabilities = np.where(is_read[:, None], product / product.sum(axis=1, keepdims=True), alone)
    digits = np.where(is_read, probabilities.argmax(axis=1), predictions.digits)
    trusted = (segmentation.shapes[:, 3] > 0) | (predictions.novelties <= RATHER_NOVEL)
    vouched = is_read & trusted & (predictions.digits == digits) & (in_piece[rows, digits] >= VOUCHES)
    is_digit = (predictions.refusals == Refusal.NONE) | (vouched & (predictions.refusals == Refusal.NOVEL))
    novelties = predictions.novelties.astype(np.float64)
    return Judged(probabilities, digits, novelties, is_digit, log_evidence[rows, digits], is_read)


@dataclass(frozen=True, slots=True)
class Features:
    """What the probability of a line is made of."""

    sum: float  # of the logarithms of the digits' probabilities
    least: float  # of these logarithms
    evidence: float  # sum of the logarithms of the column network's probabilities
    posterior: float  # logarithm of the path's probability among all paths
    digits: int  # on the path

    def values(self) -> tuple[float, ...]:
        """Returns them in the order of LINE_WEIGHTS."""
        return self.sum, self.least, self.evidence, self.posterior, float(self.digits)


def decoded_lines(segmentation: Segmentation, predictions: Predictions) -> tuple[Line, ...]:
    """Returns the lines of a segmentation, from the top. `predictions`: for its candidates, in their order."""
    return tuple(line for line, _ in lines_with_features(segmentation, judged(segmentation, predictions)))


def lines_with_features(
    segmentation: Segmentation, both: Judged, weights: Mapping[str, float] = WEIGHTS
) -> list[tuple[Line, Features]]:
    """Returns the lines with what their probabilities are made of, to which the logistic function is fitted."""
    features = candidate_features(segmentation, both)
    scores = sum((weights[name] * values for name, values in features.items()), np.zeros(len(both.digits)))
    lines = segmentation.spans[:, 0]
    return [_decoded(np.flatnonzero(lines == number), segmentation, both, scores) for number in np.unique(lines)]


def candidate_features(segmentation: Segmentation, both: Judged) -> dict[str, Doubles]:
    """Returns the features of the candidates by the names of WEIGHTS, each (n,). A score is their weighted sum.

    Of a candidate that is refused as no digit those of digits are 0, and of a digit those of what is no digit.
    """
    width, height, ink, cuts, gaps = segmentation.shapes.astype(np.float64).T
    atoms = segmentation.spans[:, 2] - segmentation.spans[:, 1]
    log_probability = np.log(np.maximum(both.probabilities.max(axis=1), LEAST))
    log_typical = np.log(np.maximum(1 - both.novelties, 1e-3))
    is_one = (both.digits == 1).astype(np.float64)
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
        "evidence": both.evidence,
        "is read by columns": both.is_read.astype(np.float64),
        "constant": np.ones_like(width),
    }
    of_others = {"no digit": np.ones_like(width), "no digit's height up to 1.5": np.minimum(height, 1.5)}
    return {name: np.where(both.is_digit, values, 0.0) for name, values in of_digits.items()} | {
        name: np.where(both.is_digit, 0.0, values) for name, values in of_others.items()
    }


def _decoded(
    rows: npt.NDArray[np.int64], segmentation: Segmentation, both: Judged, scores: Doubles
) -> tuple[Line, Features]:
    """Decodes the line of the candidates in `rows`. `scores`: of all candidates, (n,)."""
    path, posterior = best_path(segmentation.spans[rows, 1:], scores[rows])
    chosen = rows[path]
    glyphs = tuple(
        Glyph(
            (int(x), int(y), int(width), int(height)),
            int(both.digits[row]),
            both.probabilities[row].astype(np.float32),
            float(both.novelties[row]),
            not both.is_digit[row],
        )
        for row, (x, y, width, height) in zip(chosen, segmentation.boxes[chosen], strict=True)
    )
    digits = chosen[both.is_digit[chosen]]
    # How likely each is its digit: probability x (1 - novelty).
    likely = np.log(np.maximum(both.probabilities[digits].max(axis=1) * (1 - both.novelties[digits]), LEAST))
    features = Features(
        float(likely.sum()),
        float(likely.min(initial=0.0)),
        float(both.evidence[digits].sum()),
        posterior,
        len(digits),
    )
    is_large = segmentation.shapes[chosen, 1] >= DIGIT_SIZE
    is_refused = not len(digits) or bool((~both.is_digit[chosen] & is_large).any())
    text = "".join(str(digit) for digit in both.digits[digits])
    return Line(glyphs, text, _probability(features) if len(digits) else 0.0, is_refused), features


def best_path(spans: npt.NDArray[np.int32], scores: Doubles) -> tuple[list[int], float]:
    """Returns the candidates, in reading order, that cover each atom once with the highest sum of scores.

    Also returns the logarithm of that path's probability: exp(sum) by what all paths have of it. `spans`: (n, 2), first
    atom and one past the last one. Each atom alone is a candidate.
    """
    atoms = int(spans[:, 1].max())
    best, total = [0.0] + [-math.inf] * atoms, [0.0] + [-math.inf] * atoms  # of the atoms before each place
    last = [-1] * (atoms + 1)
    order = np.lexsort((spans[:, 0], spans[:, 1]))
    for row, (start, end), score in zip(order.tolist(), spans[order].tolist(), scores[order].tolist(), strict=True):
        if best[start] + score > best[end]:
            best[end], last[end] = best[start] + score, row
        more, less = max(total[end], total[start] + score), min(total[end], total[start] + score)
        total[end] = more + math.log1p(math.exp(less - more))
    path: list[int] = []
    at = atoms
    while at:
        path.append(last[at])
        at = int(spans[path[-1], 0])
    return path[::-1], min(best[atoms] - total[atoms], 0.0)


def _probability(features: Features) -> float:
    logit = CONSTANT + sum(weight * value for weight, value in zip(LINE_WEIGHTS, features.values(), strict=True))
    return 1 / (1 + math.exp(-max(min(logit, 30.0), -30.0)))
