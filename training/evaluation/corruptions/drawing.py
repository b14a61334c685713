"""Drawings over a digit: inverted stripes, a dotted line, a zigzag (MNIST-C).

Lines begin and end at whole pixels, so there are few of them: all are drawn once and looked up.
"""

from functools import cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from training.data.arrays import SIDE, Images, Intensities, images, intensities

STRIPE_WIDTH = 7  # pixels, on the left and on the right
DOT_WIDTH = 2  # pixels, as wide as the gap between two dots
_LINE_REACH = 2.3  # pixels above and below a line at which its ink would be minus infinity: clipped to none at 1.45
_ROWS = SIDE - 1  # a line begins in any row but the last
_ZIGZAG_FIRST, _ZIGZAG_LAST = 2, 25  # columns
_ZIGZAG_RISES = range(-5, 5)  # rows from its first end to its last
_ZIGZAG_SIZE = 2.0  # pixels: half of a tooth along the line, and its height across it


def stripe(originals: Images, generator: np.random.Generator) -> Images:
    """The seven columns on the left and the seven on the right inverted."""
    del generator  # nothing about it is random
    striped = originals.copy()
    for columns in (slice(None, STRIPE_WIDTH), slice(SIDE - STRIPE_WIDTH, None)):
        striped[:, :, columns] = 255 - striped[:, :, columns]
    return striped


def dotted_line(originals: Images, generator: np.random.Generator) -> Images:
    """A line of dots from any row on the left to any row on the right."""
    first, last = generator.integers(0, _ROWS, (2, len(originals)))
    return images(intensities(originals) + _dotted_lines()[first, last])


def zigzag(originals: Images, generator: np.random.Generator) -> Images:
    """A zigzag from the left to the right, somewhat slanted."""
    first = generator.integers(0, _ROWS, len(originals))
    rise = generator.integers(0, len(_ZIGZAG_RISES), len(originals))
    return images(intensities(originals) + _zigzags()[first, rise])


@cache
def _dotted_lines() -> Intensities:
    """(27, 27, 28, 28): by the row of the left end and of the right."""
    dots = np.arange(SIDE) // DOT_WIDTH % 2 == 1
    ends = range(_ROWS)
    lines = [[_line((0, first), (SIDE - 1, last)) * dots for last in ends] for first in ends]
    return np.array(lines, np.float32)


@cache
def _zigzags() -> Intensities:
    """(27, 10, 28, 28): by the row of the left end and by the rise."""
    return np.array([[_zigzag(first, rise) for rise in _ZIGZAG_RISES] for first in range(_ROWS)], np.float32)


def _zigzag(first_row: int, rise: int) -> npt.NDArray[np.float64]:
    corners = _zigzag_corners(rise) + np.array([_ZIGZAG_FIRST, first_row])
    drawn = [_line(tuple(start), tuple(end)) for start, end in pairwise(corners)]
    return np.asarray(np.clip(np.sum(drawn, axis=0), 0, 1))


def _zigzag_corners(rise: int) -> npt.NDArray[np.float64]:
    """(corners, 2) as (column, row) from the left end, the last a little off the straight line, as MNIST-C has it."""
    columns, size = _ZIGZAG_LAST - _ZIGZAG_FIRST, _ZIGZAG_SIZE
    length, angle = np.hypot(columns, rise), np.arctan2(rise, columns)
    along = np.arange(size, length, 2 * size)
    across = size * (-1.0) ** np.arange(len(along))
    past_the_last_tooth = length - 2 * size * (length // (2 * size))
    straight = np.array([[0, *along, length], [0, *across, across[-1] / (2 * past_the_last_tooth)]])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray((turn @ straight).T)


def _line(start: tuple[float, float], end: tuple[float, float]) -> npt.NDArray[np.float64]:
    """The ink (28, 28) of a line between two places (column, row): 1 on it, falling as a logarithm above and below."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    slope = (end[1] - start[1]) / (end[0] - start[0])
    distance = np.abs(rows - (start[1] + slope * (columns - start[0])))
    ink = 1 + np.log1p(-np.minimum(distance / _LINE_REACH, 1 - 1e-10))
    between = (columns >= np.floor(start[0])) & (columns < np.ceil(end[0]))
    return np.where(between, ink.clip(0, 1), 0)
