"""Removes ruled lines, boxes and grids from ink, and leaves the strokes that cross them whole.

A line is a straight run of ink, level or upright, that is longer than a stroke of a digit and as thin. All lines of a
picture may lean by a few degrees: the ink is sheared until they do not.
"""

import cv2
import numpy as np
import numpy.typing as npt

from serving.image.ink.components import components_of
from serving.image.ink.paper import Ink, strokes_of
from serving.image.reduction import reduced_to

SLOPES = np.linspace(-0.17, 0.17, 35)  # of lines, that are tried: up to 10 degrees
SLOPE_SIDE = 400  # pixels a side at which they are
MOST_INKED = 2**13  # pixels of ink, about, by which a slope is told
LEVEL_UNLESS = 1.05  # times as unequal must the rows be at another slope
# Of a digit's height: longer runs of ink are part of a line. Touching digits share level strokes, not upright ones.
LEVEL_RUN, UPRIGHT_RUN = 1.8, 1.4
THICKEST = 0.2  # of a digit's height: thickness of a line, at most
RAGGED = 0.03  # of a digit's height: width of a line's ragged edge
TOOTH = 0.35  # of a digit's height: shortest tooth of a comb
STRAIGHT = 0.75  # of its box that a tooth fills
ALIKE, LEAST_TEETH = 2, 3  # pixels by which the ends of teeth differ at most; teeth of one height, at least
MOST_TEETH = 400  # that are compared with one another
REMNANT, REMNANT_REACH = 0.4, 0.12  # of a digit's height: size of a remnant, and how far from a line it lies
REMNANT_ALONG = 0.7  # of its area that does
CLOSED = 0.03  # of a digit's height: half of a break in a line that is closed before it is looked for

Mask = npt.NDArray[np.uint8]  # (h, w), 0 or 255


def without_ruling(ink: Ink, digit_height: float) -> Ink:
    """Returns the ink, (h, w) uint8, without ruled lines. `digit_height`: typical of this picture, in pixels."""
    strokes = strokes_of(ink)
    slope = _slope(strokes)
    level = _sheared(_lines(_sheared(strokes, slope, True), digit_height, True), -slope, True)
    turned = _sheared(strokes, slope, False)
    upright = _lines(turned, digit_height, False)
    if cv2.countNonZero(level):
        upright = cv2.bitwise_or(upright, _teeth(turned, _sheared(level, slope, False), digit_height, slope))
    upright = _sheared(upright, -slope, False)
    # What is left of a line's ragged edge is part of it.
    ragged = max(int(RAGGED * digit_height), 1 if slope else 0)  # a leaning line has steps of a pixel
    edge = np.ones((1 + 2 * ragged,) * 2, np.uint8)
    ruling = cv2.bitwise_and(cv2.dilate(cv2.bitwise_or(level, upright), edge), strokes)
    if not cv2.countNonZero(ruling):
        return ink
    rest = cv2.bitwise_and(strokes, cv2.bitwise_not(ruling))
    # Where a stroke crosses a line there is ink on both sides of it, straight across or a little slanted.
    reach = 2 * round(THICKEST * digit_height) + 1
    crossed = np.zeros_like(strokes)
    for lines, is_level in ((level, True), (upright, False)):
        wide = cv2.dilate(lines, edge)
        before, after = (_shifted(rest, reach, is_level, towards_start) for towards_start in (True, False))
        crossed = cv2.bitwise_or(crossed, cv2.bitwise_and(wide, cv2.bitwise_and(before, after)))
    halo = cv2.bitwise_and(cv2.dilate(ruling, np.ones((3, 3), np.uint8)), cv2.bitwise_not(rest))
    clean: Ink = cv2.bitwise_and(ink, cv2.bitwise_not(cv2.bitwise_and(halo, cv2.bitwise_not(crossed))))
    return _without_remnants(clean, ruling, digit_height)


def _without_remnants(ink: Ink, ruling: Mask, digit_height: float) -> Ink:
    """Returns the ink without small components that lie along the `ruling`: dashes of a line that was not whole."""
    size = 2 * round(REMNANT_REACH * digit_height) + 1
    along = cv2.dilate(ruling, cv2.getStructuringElement(cv2.MORPH_RECT, (size, size))) > 0
    components = components_of(ink)
    areas = np.bincount(components.labels[along], minlength=len(components) + 1)[1:]
    remnants = components.longer_sides < REMNANT * digit_height
    remnants &= areas >= REMNANT_ALONG * components.areas
    clean: Ink = cv2.bitwise_and(ink, cv2.bitwise_not(components.mask(remnants)))
    return clean


def _slope(strokes: Mask) -> float:
    """Returns the slope of level lines, pixels down for each pixel to the right: rows of ink are most unequal there."""
    small = reduced_to(strokes, SLOPE_SIDE)
    height, width = small.shape
    down, along = np.nonzero(small)
    step = max(1, len(down) // MOST_INKED)
    down, along = down[::step], along[::step]
    levels = small[down, along].astype(np.float32)
    reach = int(SLOPES[-1] * width / 2) + 1  # rows by which a pixel moves at most, to either side
    slopes = np.append(0.0, SLOPES)
    rows = np.rint(down - slopes[:, None] * (along - width / 2)).astype(np.int64) + reach
    rows += (height + 2 * reach) * np.arange(len(slopes))[:, None]
    sums = np.bincount(rows.ravel(), np.tile(levels, len(slopes)), (height + 2 * reach) * len(slopes))
    inequality = np.square(sums).reshape(len(slopes), -1).sum(axis=1)
    inequality[0] *= LEVEL_UNLESS
    return float(slopes[int(inequality.argmax())])


def _sheared(mask: Mask, slope: float, is_level: bool) -> Mask:
    """Returns the mask with lines of this `slope` made level; or else lines at right angles to them, upright."""
    if not slope:
        return mask
    height, width = mask.shape
    transform = np.array([[1, 0, 0], [-slope, 1, slope * width / 2]], np.float32)
    if not is_level:
        transform = np.array([[1, slope, -slope * height / 2], [0, 1, 0]], np.float32)
    sheared: Mask = cv2.warpAffine(mask, transform, (width, height), flags=cv2.INTER_NEAREST)
    return sheared


def _lines(strokes: Mask, digit_height: float, is_level: bool) -> Mask:
    """Returns 255 where the strokes are part of a level, or else an upright, line."""
    run = LEVEL_RUN if is_level else UPRIGHT_RUN
    length, thickest = max(9, round(run * digit_height)), max(2, round(THICKEST * digit_height))
    closed = cv2.morphologyEx(strokes, cv2.MORPH_CLOSE, _bar(2 * round(CLOSED * digit_height) + 3, is_level))
    runs: Mask = cv2.morphologyEx(closed, cv2.MORPH_OPEN, _bar(length, is_level))
    if not cv2.countNonZero(runs):
        return runs
    # What is long but thick is no line: a shadow, a table.
    thick = cv2.morphologyEx(runs, cv2.MORPH_OPEN, _bar(thickest + 1, not is_level))
    lines: Mask = cv2.bitwise_and(cv2.bitwise_and(runs, cv2.bitwise_not(thick)), strokes)
    return lines


def _teeth(strokes: Mask, level: Mask, digit_height: float, slope: float) -> Mask:
    """Returns 255 at upright lines that end at `level` lines, of this `slope`: teeth of a comb, sides of boxes.

    A 1 may stand on a line as well: teeth are several of one height, or reach from one line to another.
    """
    runs = cv2.morphologyEx(strokes, cv2.MORPH_OPEN, _bar(max(5, round(TOOTH * digit_height)), False))
    thick = cv2.morphologyEx(runs, cv2.MORPH_OPEN, _bar(max(2, round(THICKEST * digit_height)) + 1, True))
    runs = cv2.bitwise_and(runs, cv2.bitwise_not(thick))
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(runs, connectivity=8)
    if not 1 < count <= MOST_TEETH:
        return np.zeros_like(strokes)
    left, top, width, height = statistics[1:, :4].T
    bottom = top + height
    near = cv2.dilate(level, np.ones((5, 5), np.uint8))
    rows, columns = strokes.shape
    middle = left + width // 2
    above, below = (near[np.clip(at, 0, rows - 1), np.clip(middle, 0, columns - 1)] > 0 for at in (top, bottom - 1))
    straight = statistics[1:, cv2.CC_STAT_AREA] >= STRAIGHT * width * height
    ends = (above | below) & straight
    teeth = ends & above & below
    alike = np.ones((len(top), len(top)), np.bool_)
    for end in (top, bottom):
        along = end - slope * (middle - slope * end)  # on a level sheet: the shear has moved columns, not rows
        alike &= np.abs(along[:, None] - along[None, :]) <= ALIKE
    teeth |= ends & ((alike & ends[None, :]).sum(axis=1) >= LEAST_TEETH)
    table = np.append(False, teeth).astype(np.uint8) * np.uint8(255)
    return table[labels]


def _shifted(mask: Mask, reach: int, is_level: bool, towards_start: bool) -> Mask:
    """Returns 255 where `mask` has ink within `reach` pixels above (or left), or else below (or right)."""
    window = np.zeros((reach, 3) if is_level else (3, reach), np.uint8)
    half = slice(0, reach // 2 + 1) if towards_start else slice(reach // 2, reach)
    window[(half, slice(None)) if is_level else (slice(None), half)] = 1
    near: Mask = cv2.dilate(mask, window)
    return near


def _bar(length: int, is_level: bool) -> Mask:
    bar: Mask = cv2.getStructuringElement(cv2.MORPH_RECT, (length, 1) if is_level else (1, length))
    return bar
