"""Groups pieces of ink into lines of text, and orders them as they are read."""

import numpy as np
import numpy.typing as npt

from serving.image.ink.components import HEIGHT, LEFT, TOP, WIDTH

STEEPEST, STEPS = 0.18, 37  # slope of lines that is tried (10 degrees), and how many
CORE = 0.25  # of the digit's height, to both sides of its middle: pieces of one line overlap there
LARGE = 0.55  # of the digit's height: smaller pieces belong to the line that they are nearest to
FARTHEST = 0.9  # of the digit's height: distance from a line's middle beyond which small pieces belong to none

Boxes = npt.NDArray[np.int32]  # (n, 4): left, top, width, height
Lines = npt.NDArray[np.int64]  # (n,): number of each piece's line, from the top; -1: of none


def lines_of(boxes: Boxes, digit_height: float) -> Lines:
    """Returns the line of each piece, (n,), from the top. All lines of a picture lean alike."""
    middle_x = boxes[:, LEFT] + boxes[:, WIDTH] / 2
    middle_y = boxes[:, TOP] + boxes[:, HEIGHT] / 2
    large = boxes[:, HEIGHT] >= LARGE * digit_height
    numbers = np.full(len(boxes), -1)
    if not large.any():
        return numbers
    level = middle_y - _slope(middle_x[large], middle_y[large], digit_height) * middle_x
    order = np.flatnonzero(large)[np.argsort(level[large], kind="stable")]
    steps = np.diff(level[order])
    numbers[order] = np.concatenate(([0], np.cumsum(steps > 2 * CORE * digit_height)))
    middles = np.array([np.median(level[numbers == line]) for line in range(numbers.max() + 1)])
    for row in np.flatnonzero(~large):
        distances = np.abs(middles - level[row])
        if distances.min() <= FARTHEST * digit_height:
            numbers[row] = int(distances.argmin())
    return numbers


def _slope(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], digit_height: float) -> float:
    """Returns the slope, pixels down for each pixel to the right, at which most pieces lie on common lines."""
    if len(x) < 2:
        return 0.0
    slopes = np.linspace(-STEEPEST, STEEPEST, STEPS)
    levels = np.sort(y[None, :] - slopes[:, None] * x[None, :], axis=1)
    # The closer neighbours in level are, the more of them share a line.
    gaps = np.minimum(np.diff(levels, axis=1), digit_height)
    spread = gaps.sum(axis=1) + 0.02 * digit_height * len(x) * np.abs(slopes) / STEEPEST  # level lines where it is even
    return float(slopes[spread.argmin()])
