"""Removes ruled lines, boxes and grids from ink, and leaves the strokes that cross them whole.

A line is a straight run of ink, level or upright, that is longer than a stroke of a digit and as thin. It may lean by a
few degrees: then it is a staircase of shorter runs.
"""

import cv2
import numpy as np
import numpy.typing as npt

from serving.image.paper import Ink, strokes_of

RUN = 1.7  # of a digit's height: a run of ink that is longer is part of a line
THICKEST = 0.2  # of a digit's height: thickness of a line, at most
CLOSED = 2  # pixels: breaks in a line that are closed before it is looked for

Mask = npt.NDArray[np.uint8]  # (h, w), 0 or 255


def without_ruling(ink: Ink, digit_height: float) -> Ink:
    """Returns the ink, (h, w) uint8, without ruled lines. `digit_height`: typical of this picture, in pixels."""
    strokes = strokes_of(ink)
    ruling = np.zeros_like(strokes)
    crossed = np.zeros_like(strokes)
    for is_level in (True, False):
        lines = _lines(strokes, digit_height, is_level)
        if not cv2.countNonZero(lines):
            continue
        rest = cv2.bitwise_and(strokes, cv2.bitwise_not(lines))
        # Where a stroke crosses a line there is ink on both sides of it, straight across or a little slanted.
        reach = 2 * round(THICKEST * digit_height) + 1
        before, after = (_shifted(rest, reach, is_level, towards_start) for towards_start in (True, False))
        crossed = cv2.bitwise_or(crossed, cv2.bitwise_and(lines, cv2.bitwise_and(before, after)))
        ruling = cv2.bitwise_or(ruling, lines)
    if not cv2.countNonZero(ruling):
        return ink
    # With its soft edge, which is no stroke.
    halo = cv2.dilate(ruling, np.ones((3, 3), np.uint8))
    halo = cv2.bitwise_and(halo, cv2.bitwise_not(cv2.bitwise_and(strokes, cv2.bitwise_not(ruling))))
    gone = cv2.bitwise_and(cv2.bitwise_or(ruling, halo), cv2.bitwise_not(crossed))
    return cv2.bitwise_and(ink, cv2.bitwise_not(gone))


def _lines(strokes: Mask, digit_height: float, is_level: bool) -> Mask:
    """Returns 255 where the strokes are part of a level, or else an upright, line."""
    length, thickest = max(9, round(RUN * digit_height)), max(2, round(THICKEST * digit_height))
    closed = cv2.morphologyEx(strokes, cv2.MORPH_CLOSE, _bar(2 * CLOSED + 1, is_level))
    runs = cv2.morphologyEx(closed, cv2.MORPH_OPEN, _bar(length, is_level))
    # What is long but thick is no line: a shadow, a table.
    thick = cv2.morphologyEx(runs, cv2.MORPH_OPEN, _bar(thickest + 1, not is_level))
    return cv2.bitwise_and(cv2.bitwise_and(runs, cv2.bitwise_not(thick)), strokes)


def _shifted(mask: Mask, reach: int, is_level: bool, towards_start: bool) -> Mask:
    """Returns 255 where `mask` has ink within `reach` pixels above (or left), or else below (or right)."""
    window = np.zeros((reach, 3) if is_level else (3, reach), np.uint8)
    half = slice(0, reach // 2 + 1) if towards_start else slice(reach // 2, reach)
    window[(half, slice(None)) if is_level else (slice(None), half)] = 1
    return cv2.dilate(mask, window)


def _bar(length: int, is_level: bool) -> Mask:
    return cv2.getStructuringElement(cv2.MORPH_RECT, (length, 1) if is_level else (1, length))
