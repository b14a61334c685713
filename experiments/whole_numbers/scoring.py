"""Scores of readings against the truth, and figures over many of them. Pure functions; a reading is plain JSON."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from experiments.whole_numbers.pictures import Line, Picture
from training.data.arrays import Doubles
from training.synthetic.writing import Boxes

GOOD_BOX = 0.8  # intersection over union from which on a box is right
_BINS = 10  # of the calibration error
_DEVIATIONS = 1.96  # of a 95 % interval


class ReadDigit(TypedDict):
    """A sign that was read: its likeliest digit, whether it is refused as no digit, its box x, y, width, height."""

    digit: int
    refused: bool
    box: Sequence[float]


class ReadLine(TypedDict):
    """A line that was read: the digits that are not refused as text, and the probability that all of it is right."""

    text: str
    probability: float
    refused: bool
    digits: Sequence[ReadDigit]


class Reading(TypedDict):
    """What /v1/read answers; other fields than these are ignored."""

    lines: Sequence[ReadLine]


@dataclass(frozen=True, slots=True)
class LineScore:
    """How one true line was read.

    Attributes:
        is_found: a line was read where it stands.
        is_right: the text is the true one, refused or not.
        is_refused: the server warns that the text may lack digits.
        probability: of the whole line, 0..1; 0 when it was not found.
        digits: how many it has.
        right_digits: of them, those that are read as they are and not refused.
        right_boxes: of them, those with a box of an IoU of at least GOOD_BOX.
    """

    is_found: bool
    is_right: bool
    is_refused: bool
    probability: float
    digits: int
    right_digits: int
    right_boxes: int


@dataclass(frozen=True, slots=True)
class Score:
    """How one picture was read: each true line, and the probabilities of lines that were read where there is none."""

    lines: tuple[LineScore, ...]
    extra_lines: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one kind of pictures; shares are of true lines, or of true digits, 0..1.

    Attributes:
        lines: true lines; the interval takes them as independent, which those of one page are not quite.
        right_lines: share whose text is right.
        interval: 95 % Wilson interval of `right_lines`.
        silently_wrong: share that is found with a wrong text and not refused.
        refused: share that is refused.
        lost: share that is not found.
        extra_lines: lines read where there is none, per picture.
        right_digits: share of digits.
        right_boxes: share of digits.
        calibration_error: ECE of the probability of a line in 10 bins of equally many lines, the extra ones counted as
            wrong; NaN when no line was read.
        milliseconds: median of a picture.
    """

    lines: int
    right_lines: float
    interval: tuple[float, float]
    silently_wrong: float
    refused: float
    lost: float
    extra_lines: float
    right_digits: float
    right_boxes: float
    calibration_error: float
    milliseconds: float


def score(truth: Picture, reading: Reading) -> Score:
    """Match lines and digits by place, one to one, so that the overlap is the largest possible, and compare them."""
    read = reading["lines"]
    overlaps = [[intersection_over_union(line.boxes, _boxes(other)) for other in read] for line in truth.lines]
    together = np.array([[each.max(axis=1, initial=0).sum() for each in row] for row in overlaps], np.float64)
    pairs = _assigned(together.reshape(len(truth.lines), len(read)))
    lines = [
        _line_score(line, read[pairs[place]], overlaps[place][pairs[place]])
        if place in pairs
        else LineScore(False, False, False, 0, len(line.text), 0, 0)
        for place, line in enumerate(truth.lines)
    ]
    used = set(pairs.values())
    return Score(tuple(lines), tuple(line["probability"] for place, line in enumerate(read) if place not in used))


def intersection_over_union(one: Boxes | Doubles, other: Boxes | Doubles) -> Doubles:
    """IoU of each box (n, 4) with each of the others (m, 4): (n, m) float64. Boxes are x, y, width, height."""
    first, second = np.asarray(one, np.float64)[:, None], np.asarray(other, np.float64)[None]
    start = np.maximum(first[..., :2], second[..., :2])
    end = np.minimum(first[..., :2] + first[..., 2:], second[..., :2] + second[..., 2:])
    shared = np.prod(np.maximum(end - start, 0), axis=-1)
    union = np.prod(first[..., 2:], axis=-1) + np.prod(second[..., 2:], axis=-1) - shared
    return np.asarray(shared / np.maximum(union, 1e-9), np.float64)


def figures(scores: Sequence[Score], milliseconds: Sequence[float]) -> Figures:
    """Figures of pictures with at least one line, and the time that each took."""
    lines = [line for each in scores for line in each.lines]
    extra = [probability for each in scores for probability in each.extra_lines]
    digits = sum(line.digits for line in lines)
    found = [line for line in lines if line.is_found]
    probabilities = np.asarray([line.probability for line in found] + extra, np.float64)
    is_right = np.asarray([line.is_right for line in found] + [False] * len(extra), np.bool_)
    right = sum(line.is_right for line in lines)
    return Figures(
        lines=len(lines),
        right_lines=right / len(lines),
        interval=wilson_interval(right, len(lines)),
        silently_wrong=sum(not line.is_right and not line.is_refused for line in found) / len(lines),
        refused=sum(line.is_refused for line in found) / len(lines),
        lost=1 - len(found) / len(lines),
        extra_lines=len(extra) / len(scores),
        right_digits=sum(line.right_digits for line in lines) / digits,
        right_boxes=sum(line.right_boxes for line in lines) / digits,
        calibration_error=calibration_error(probabilities, is_right),
        milliseconds=float(np.median(milliseconds)),
    )


def calibration_error(probabilities: Doubles, is_right: npt.NDArray[np.bool_], bins: int = _BINS) -> float:
    """ECE in bins of equally many: the mean distance of the mean probability from the share that is right."""
    if not len(probabilities):
        return math.nan
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    gaps = [abs(float(probabilities[part].mean() - is_right[part].mean())) * len(part) for part in parts]
    return sum(gaps) / len(order)


def wilson_interval(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a share of independent trials."""
    share, squared = hits / count, _DEVIATIONS**2
    middle = (share + squared / (2 * count)) / (1 + squared / count)
    reach = _DEVIATIONS / (1 + squared / count) * math.sqrt(share * (1 - share) / count + squared / (4 * count**2))
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def _line_score(line: Line, read: ReadLine, overlaps: Doubles) -> LineScore:
    pairs = _assigned(overlaps)
    signs = {place: read["digits"][other] for place, other in pairs.items()}
    right = [not sign["refused"] and str(sign["digit"]) == line.text[place] for place, sign in signs.items()]
    good = [overlaps[place, other] >= GOOD_BOX for place, other in pairs.items()]
    is_right = read["text"] == line.text
    return LineScore(True, is_right, read["refused"], read["probability"], len(line.text), sum(right), int(sum(good)))


def _boxes(line: ReadLine) -> Doubles:
    return np.asarray([digit["box"] for digit in line["digits"]], np.float64).reshape(-1, 4)


def _assigned(overlaps: Doubles) -> dict[int, int]:
    """Column of each row, no column twice; rows without any overlap have none."""
    rows, columns = linear_sum_assignment(overlaps, maximize=True)
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True) if overlaps[row, column] > 0}
