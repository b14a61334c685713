"""Decodes lines: of all ways to cut a line into digits, the one that the network finds most likely.

1. Two networks judge each candidate: the digit network sees it cut out, the column network in its piece. Their
   probabilities are multiplied.
2. Each candidate may be its likeliest digit or no digit. Both score by a weighted sum: how sure the networks are, how
   unlike a digit it is (novelty), its size, and whether its ends are cuts through ink or gaps.
3. The best path takes each atom of the line once, as a part of a digit or of none, with the highest sum (dynamic
   programming). The weights are those of a conditional random field: exp(sum) is how likely a path is, against all
   others.
4. The probability that the whole line is right is a logistic function of that and of what the networks say.

The weights were learned from lines of MNIST's validation digits with known truth (decisions 0044 and 0048);
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
MOST_NOVEL = 0.5  # novelty: more of it, and no digit. Cuts leave stumps on digits, which are novel: these may be any
DIGIT_SIZE = 0.6  # of a digit's height: what is no digit and at least as high may be a digit that could not be read

# Weights of candidate_features: those that are named after no digit of a candidate that is none, the others of one that
# is a digit. Lengths are in heights of a digit.
WEIGHTS = {
    "logarithm of the probability": 0.14,
    "logarithm of 1 - novelty": 1.37,
    "logarithm of 1 - novelty, of a cut digit": -1.23,
    "width": 1.65,
    "width squared": -0.42,
    "width up to a half": 2.15,
    "height": 0.32,
    "height's distance from 1": -4.01,
    "ink on cuts": -1.72,
    "cuts": -0.3,
    "gaps": 0.06,
    "is a 1": -1.15,
    "width of a 1": -3.93,
    "height of a 1": 1.41,
    "logarithm of the probability, for each atom": 2.3,
    "evidence": 0.54,
    "evidence of a 1": 0.03,
    "is read by columns": 3.12,
    "constant": -2.0,
    "no digit": -3.55,
    "no digit's height up to 1.5": 0.07,
    "no digit's atoms": 0.95,
    "no digit, is cut": -1.18,
    "no digit, logarithm of the novelty": 0.35,
    "no digit, logarithm of the novelty of what is cut": -0.3,
    "no digit, evidence": 0.2,
    "no digit, is read by columns": 1.96,
}

# Of the logistic function for a line: constant, and weights of Features in their order.
CONSTANT = 2.58
LINE_WEIGHTS = (-1.23, 2.01, 0.78, 1.69, 0.14)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What the two networks say of n candidates together."""

    probabilities: Doubles  # (n, 10)
    digits: npt.NDArray[np.int64]  # (n,): the likeliest
    novelties: Doubles  # (n,): the digit network's
    may_be_digit: npt.NDArray[np.bool_]  # (n,)
    evidence: Doubles  # (n,): logarithm of the column network's probability of that digit, 0 where it did not read
    evidence_against: Doubles  # (n,): logarithm of its probability that this is not one digit, 0 where it did not read
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
    against = np.where(is_read, np.log(np.clip(1 - in_piece.sum(axis=1), LEAST, 1.0)), 0.0)
    is_cut = segmentation.shapes[:, 3] > 0
    may_be_digit = (predictions.refusals == Refusal.NONE) | (
        (predictions.refusals == Refusal.NOVEL) & (is_cut | (predictions.novelties <= MOST_NOVEL))
    )
    novelties = predictions.novelties.astype(np.float64)
    return Judged(probabilities, digits, novelties, may_be_digit, log_evidence[rows, digits], against, is_read)


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
    scores = sum((weights[name] * values for name, values in features.items()), np.zeros(2 * len(both.digits)))
    return [_decoded(rows, segmentation, both, scores) for rows in rows_of_lines(segmentation, both)]


def rows_of_lines(segmentation: Segmentation, both: Judged) -> list[npt.NDArray[np.int64]]:
    """Returns for each line the rows of candidate_features() that its paths may take."""
    lines = np.tile(segmentation.spans[:, 0], 2)
    is_possible = np.append(both.may_be_digit, np.ones_like(both.may_be_digit))
    return [np.flatnonzero((lines == number) & is_possible) for number in np.unique(lines)]


def candidate_features(segmentation: Segmentation, both: Judged) -> dict[str, Doubles]:
    """Returns the features of the candidates by the names of WEIGHTS, each (2n,). A score is their weighted sum.

    The first n rows are the candidates as digits, where the features of what is no digit are 0. The last n are the same
    candidates as no digits.
    """
    width, height, ink, cuts, gaps = segmentation.shapes.astype(np.float64).T
    atoms = segmentation.spans[:, 2] - segmentation.spans[:, 1]
    log_probability = np.log(np.maximum(both.probabilities.max(axis=1), LEAST))
    log_typical = np.log(np.maximum(1 - both.novelties, 1e-3))
    log_novel = np.log(np.maximum(both.novelties, 1e-3))
    is_one, is_cut = (both.digits == 1).astype(np.float64), (cuts > 0).astype(np.float64)
    of_digits = {
        "logarithm of the probability": log_probability,
        "logarithm of 1 - novelty": log_typical,
        "logarithm of 1 - novelty, of a cut digit": is_cut * log_typical,
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
        "evidence of a 1": is_one * both.evidence,
        "is read by columns": both.is_read.astype(np.float64),
        "constant": np.ones_like(width),
    }
    of_others = {
        "no digit": np.ones_like(width),
        "no digit's height up to 1.5": np.minimum(height, 1.5),
        "no digit's atoms": atoms.astype(np.float64),
        "no digit, is cut": is_cut,
        "no digit, logarithm of the novelty": log_novel,
        "no digit, logarithm of the novelty of what is cut": is_cut * log_novel,
        "no digit, evidence": both.evidence_against,
        "no digit, is read by columns": both.is_read.astype(np.float64),
    }
    none = np.zeros_like(width)
    return {name: np.append(values, none) for name, values in of_digits.items()} | {
        name: np.append(none, values) for name, values in of_others.items()
    }


def _decoded(
    rows: npt.NDArray[np.int64], segmentation: Segmentation, both: Judged, scores: Doubles
) -> tuple[Line, Features]:
    """Decodes the line of these rows of candidate_features(). `scores`: of all its rows, (2n,)."""
    count = len(both.digits)
    candidates = rows % count
    path, posterior = best_path(segmentation.spans[candidates, 1:], scores[rows])
    chosen, is_digit = candidates[path], rows[path] < count
    glyphs = tuple(
        Glyph(
            (int(x), int(y), int(width), int(height)),
            int(both.digits[row]),
            both.probabilities[row].astype(np.float32),
            float(both.novelties[row]),
            not is_one,
        )
        for row, is_one, (x, y, width, height) in zip(
            chosen, is_digit.tolist(), segmentation.boxes[chosen], strict=True
        )
    )
    digits = chosen[is_digit]
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
    is_refused = not len(digits) or bool((~is_digit & is_large).any())
    text = "".join(str(digit) for digit in both.digits[digits])
    return Line(glyphs, text, _probability(features) if len(digits) else 0.0, is_refused, chosen), features


def best_path(spans: npt.NDArray[np.int32], scores: Doubles) -> tuple[list[int], float]:
    """Returns the candidates, in reading order, that cover each atom once with the highest sum of scores.

    Also returns the logarithm of that path's probability: exp(sum) by what all paths have of it. `spans`: (n, 2), first
    atom and one past the last one. Each atom alone has a row.
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
