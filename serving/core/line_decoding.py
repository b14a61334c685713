"""Decodes lines: of all ways to cut a line into digits, the one that the network finds most likely.

1. A candidate scores by its digit's probability, by its novelty, and by whether a digit has such a size. What is no
   digit scores a little, so that a comma does not tear the digits next to it apart.
2. The best path takes each atom of the line once (dynamic programming). A candidate's score counts for each atom that it
   covers: paths of few and of many candidates are compared alike.
3. The probability that the whole line is right is a logistic function of the path's scores and of the lead over the
   best path that reads otherwise, fitted on lines of other writers than those it was measured with (decision 0044).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.image.segmentation import Segmentation
from serving.predictions import Predictions, Refusal
from serving.readings import Glyph, Line

NO_DIGIT = 0.02  # score of a glyph that is no digit
LEAST = 1e-4  # score of any candidate, at least
WIDEST = 1.15  # of the digit's height: a wider candidate is doubtful
LOWEST = 0.55  # of the digit's height: a lower candidate is doubtful
DOUBT = 6.0  # by which the logarithm of the score falls for each digit's height beyond that
DIGIT_SIZE = 0.55  # of the digit's height: a refused glyph at least so high may be a digit that could not be read
# Of the logistic function: constant, and weights of the sum and the least of the scores' logarithms, and of the lead.
CONSTANT, SUM_WEIGHT, LEAST_WEIGHT, LEAD_WEIGHT = 0.0, 1.0, 0.0, 0.0
LARGEST_LEAD = 10.0


@dataclass(frozen=True, slots=True)
class Features:
    """What the probability of a line is made of: logarithms."""

    sum: float  # of the scores on the path
    least: float  # of these scores
    lead: float  # of the path over the best one that reads otherwise


def decoded_lines(segmentation: Segmentation, predictions: Predictions) -> tuple[Line, ...]:
    """Returns the lines of a segmentation, from the top. `predictions`: for its candidates, in their order."""
    return tuple(line for line, _ in lines_with_features(segmentation, predictions))


def lines_with_features(segmentation: Segmentation, predictions: Predictions) -> list[tuple[Line, Features]]:
    """Returns the lines with what their probabilities are made of, from which the function was fitted."""
    scores = _log_scores(segmentation, predictions)
    lines = segmentation.spans[:, 0]
    found = (
        _decoded(np.flatnonzero(lines == number), segmentation, predictions, scores) for number in np.unique(lines)
    )
    return [(line, features) for line, features in found if line.glyphs]


def _log_scores(segmentation: Segmentation, predictions: Predictions) -> npt.NDArray[np.float64]:
    """Returns the logarithm of each candidate's score, (n,)."""
    widths, heights = segmentation.sizes.T
    doubt = DOUBT * (np.maximum(widths - WIDEST, 0) + np.maximum(LOWEST - heights, 0))
    likely = predictions.probabilities.max(axis=1) * (1 - predictions.novelties)
    scores: npt.NDArray[np.float64] = np.log(np.maximum(likely.astype(np.float64), LEAST)) - doubt
    return scores


def _decoded(
    rows: npt.NDArray[np.int64],
    segmentation: Segmentation,
    predictions: Predictions,
    scores: npt.NDArray[np.float64],
) -> tuple[Line, Features]:
    """Decodes the line of the candidates in `rows`."""
    spans = segmentation.spans[rows, 1:]
    atoms = int(spans[:, 1].max())
    refused = predictions.refusals[rows] != Refusal.NONE
    values = np.where(refused, np.maximum(scores[rows] - 1, math.log(NO_DIGIT) - 1), np.maximum(scores[rows], math.log(LEAST)))
    weights = spans[:, 1] - spans[:, 0]
    path = _best_path(spans, values * weights, atoms)
    digits = predictions.digits[rows]
    text = "".join(str(digits[index]) for index in path if not refused[index])
    lead = _lead(path, spans, values * weights, digits, refused, atoms)
    glyphs = tuple(
        Glyph(
            tuple(segmentation.boxes[rows[index]].tolist()),
            int(digits[index]),
            predictions.probabilities[rows[index]],
            float(predictions.novelties[rows[index]]),
            bool(refused[index]),
        )
        for index in path
    )
    kept = [float(scores[rows[index]]) for index in path if not refused[index]]
    features = Features(sum(kept), min(kept, default=0.0), min(lead, LARGEST_LEAD))
    is_doubtful = any(refused[index] and segmentation.sizes[rows[index], 1] >= DIGIT_SIZE for index in path)
    return Line(glyphs, text, _probability(features), bool(is_doubtful or not text)), features


def _best_path(spans: npt.NDArray[np.int32], values: npt.NDArray[np.float64], atoms: int) -> list[int]:
    """Returns the candidates, in reading order, that cover each atom once with the highest sum of `values`."""
    best = [(-math.inf, -1)] * (atoms + 1)  # for each number of atoms: the sum, and the last candidate
    best[0] = (0.0, -1)
    order = np.argsort(spans[:, 1], kind="stable")
    for index in order:
        first, last = (int(value) for value in spans[index])
        total = best[first][0] + float(values[index])
        if total > best[last][0]:
            best[last] = (total, int(index))
    path: list[int] = []
    at = atoms
    while at and best[at][1] >= 0:
        path.append(best[at][1])
        at = int(spans[best[at][1], 0])
    return path[::-1]


def _lead(
    path: list[int],
    spans: npt.NDArray[np.int32],
    values: npt.NDArray[np.float64],
    digits: npt.NDArray[np.int64],
    refused: npt.NDArray[np.bool_],
    atoms: int,
) -> float:
    """Returns by how much the path's value exceeds that of the best one without some candidate of it."""
    # Best sums from both ends: the best path through any one candidate is a sum of three numbers.
    before = np.full(atoms + 1, -np.inf)
    after = np.full(atoms + 1, -np.inf)
    before[0] = after[atoms] = 0.0
    for index in np.argsort(spans[:, 1], kind="stable"):
        before[spans[index, 1]] = max(before[spans[index, 1]], before[spans[index, 0]] + values[index])
    for index in np.argsort(-spans[:, 0], kind="stable"):
        after[spans[index, 0]] = max(after[spans[index, 0]], after[spans[index, 1]] + values[index])
    through = before[spans[:, 0]] + values + after[spans[:, 1]]
    others = np.ones(len(spans), np.bool_)
    others[path] = False
    return float(before[atoms] - through[others].max(initial=-np.inf))


def _probability(features: Features) -> float:
    logit = (
        CONSTANT + SUM_WEIGHT * features.sum + LEAST_WEIGHT * features.least + LEAD_WEIGHT * features.lead
    )
    return 1 / (1 + math.exp(-max(min(logit, 30.0), -30.0)))
