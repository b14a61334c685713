"""Finds the sheet or screen that the digit is on, where the picture shows what lies around it: a desk, a page."""

import cv2
import numpy as np

from serving.image.ink.histogram import otsu_level
from serving.image.ink.paper import Grey

SMALLEST_SIDE = 24  # pixels of a sheet's shorter side
HALVED_SIDE = 96  # pixels of the shorter side, from which a sheet is looked for in half as many
FILL = 0.88  # of the least rectangle around a sheet that it fills, at whatever angle; an ellipse fills 0.79
SURFACE = 0.5  # of a sheet's area, at least, that carries no writing
INSET = 0.02  # of a sheet's longer side that is its soft edge
SMALLEST_HOLE = 0.01  # of the area of the box around a sheet; less is a speck
HOLE_FILL = 0.93  # of its convex hull that a hole between straight strokes fills; the ink of most digits fills less
HOLE_WIDTH = 0.75  # of the strokes around it, at least: what is narrower is a 1 on a sheet
STACKED = 0.7  # of the extent of all holes together that each has, in one direction: they are over one another
UNEVEN = 2.0  # the widest of the four strokes around by the narrowest

Box = tuple[int, int, int, int]  # left, top, width, height, in pixels


def find_sheet(grey: Grey) -> Box | None:
    """Returns the box just inside a sheet in `grey`, (h, w) uint8; None: there is none, or nothing around it.

    A sheet is one large piece, lighter or darker than what lies around it, with four corners.
    """
    if min(grey.shape) < SMALLEST_SIDE:
        return None
    if min(grey.shape) >= HALVED_SIDE:  # four corners are seen in a quarter of the pixels
        half = find_sheet(cv2.resize(grey, (grey.shape[1] // 2, grey.shape[0] // 2), interpolation=cv2.INTER_AREA))
        return None if half is None else (2 * half[0], 2 * half[1], 2 * half[2], 2 * half[3])
    light = cv2.compare(grey, otsu_level(grey), cv2.CMP_GT)
    border = np.concatenate((light[0], light[-1], light[:, 0], light[:, -1]))
    if 0 < np.count_nonzero(border) < border.size:
        majority_is_light = bool(2 * np.count_nonzero(border) > border.size)
    else:
        majority_is_light = bool(border[0])
    pieces = cv2.bitwise_not(light) if majority_is_light else light
    _, _, width, height = cv2.boundingRect(pieces)
    if min(width, height) < SMALLEST_SIDE:
        return None  # as nearly always in a small picture: sooner than by its components
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(pieces, connectivity=4)
    largest = 1 + int(statistics[1:, cv2.CC_STAT_AREA].argmax()) if len(statistics) > 1 else 0
    left, top, width, height, area = (int(value) for value in statistics[largest])
    if not largest or min(width, height) < SMALLEST_SIDE or (height, width) == grey.shape:
        return None
    piece = cv2.compare(labels[top : top + height, left : left + width], largest, cv2.CMP_EQ)
    outlines, _ = cv2.findContours(piece, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outline_area = cv2.contourArea(outlines[0])
    (_, sides, _) = cv2.minAreaRect(outlines[0])
    if outline_area < FILL * sides[0] * sides[1] or area < SURFACE * outline_area:
        return None
    if _is_closed_figure(pieces[top : top + height, left : left + width]):
        return None
    inset = 1 + round(INSET * max(width, height))
    return left + inset, top + inset, width - 2 * inset, height - 2 * inset


def _is_closed_figure(pieces: Grey) -> bool:
    """Returns True for straight strokes around empty boxes over one another, such as an angular 0 or 8.

    In a sheet there is a digit instead. A bar with the same margin on all sides may be a 1 on a sheet, or the inside of
    a bold 0; it counts as the latter where it is about as wide as that margin. So does a blot, such as a 0 that is
    filled with ink.

    `pieces`: (h, w) uint8, 0 where the strokes are not. What is outside of them reaches its border.
    """
    height, width = pieces.shape
    outlines, hierarchy = cv2.findContours(cv2.bitwise_not(pieces), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    holes = []
    for outline, (_, _, child, parent) in zip(outlines, hierarchy[0] if hierarchy is not None else (), strict=True):
        left, top, wide, high = cv2.boundingRect(outline)
        area = cv2.contourArea(outline)
        reaches_border = min(left, top) == 0 or left + wide == width or top + high == height
        if parent >= 0 or reaches_border or area < SMALLEST_HOLE * pieces.size:
            continue
        if child >= 0 or area < HOLE_FILL * cv2.contourArea(cv2.convexHull(outline)):
            return False
        holes.append((left, top, wide, high))
    if not holes:
        return False
    starts, sizes = np.split(np.array(holes), 2, axis=1)
    first, last = starts.min(axis=0), (starts + sizes).max(axis=0)
    around = (*first, *((width, height) - last))
    is_one_stack = (sizes >= STACKED * (last - first)).all(axis=0).any()
    return bool(is_one_stack and sizes.min() >= HOLE_WIDTH * max(around) and max(around) <= UNEVEN * min(around) + 1)
