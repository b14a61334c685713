"""Cuts pieces of ink that may hold several touching digits, along the paths from top to bottom with the least ink.

A path may lean and bend, as the gap between slanted digits does (shortest-path segmentation).
"""

import cv2
import numpy as np
import numpy.typing as npt

from serving.image.ink.paper import Ink

STEEPEST = 0.9  # slant of handwriting, pixels to the right for each pixel up
SLANTS = np.linspace(-0.4, STEEPEST, 14)  # that are tried
BAND = 0.08  # of a digit's height: how far a cut bends to either side
SIDEWAYS = 0.35  # cost of a step sideways from the slant, in pixels of full ink
LEAST_INK = 0.1  # of the square of a digit's height: ink between two cuts, and outside them, in pixels of full ink
DEAREST = 0.8  # of a digit's height: ink on a cut, in pixels of full ink, at most
MOST = 24  # cuts of one piece

Paths = npt.NDArray[np.int64]  # (cuts, h): column of each cut in each row


def cuts_of(ink: Ink, digit_height: float) -> tuple[Paths, npt.NDArray[np.float32]]:
    """Returns the cuts through a piece, (h, w) uint8, from left to right, and the ink on each, in pixels, (cuts,)."""
    upright, shifts = _without_slant(ink.astype(np.float32) / np.float32(255))
    sums = upright.sum(axis=0)  # ink on a straight cut at each column, in pixels
    left = np.concatenate(([0.0], sums.cumsum()[:-1]))  # ink on its left
    least = LEAST_INK * digit_height * digit_height
    limits = [0.0, float(sums.sum())]
    chosen: list[int] = []
    for column in np.argsort(np.convolve(sums, np.ones(3) / 3, "same"), kind="stable").tolist():
        if sums[column] > DEAREST * digit_height or len(chosen) == MOST:
            break
        if all(abs(float(left[column]) - limit) >= least for limit in limits):
            chosen.append(column)
            limits.append(float(left[column]))
    band = max(1, round(BAND * digit_height))
    paths = np.array([_bent(upright, column, band) for column in sorted(chosen)], np.int64).reshape(-1, len(upright))
    return paths + shifts, np.take_along_axis(upright, paths.T, axis=1).sum(axis=0)


def _bent(upright: npt.NDArray[np.float32], column: int, band: int) -> npt.NDArray[np.int64]:
    """Returns the column in each row, (h,), of the path with the least ink within `band` columns of `column`."""
    first = max(0, column - band)
    costs, steps = _shortest(upright[:, first : column + band + 1])
    at = int(costs.argmin())
    path = np.empty(len(upright), np.int64)
    for row in range(len(upright) - 1, -1, -1):
        path[row] = first + at
        at += int(steps[row, at])
    return path


def _without_slant(coverage: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Returns the piece with upright strokes, (h, wider), and by how much each of its rows was shifted, (h,).

    Strokes are most upright where the columns' sums are most unequal.
    """
    height, width = coverage.shape
    reach = round(STEEPEST * height / 2) + 1
    inequality = []
    for slant in SLANTS:
        transform = np.array([[1, slant, reach - slant * height / 2], [0, 1, 0]], np.float32)
        sheared = cv2.warpAffine(coverage, transform, (width + 2 * reach, height), flags=cv2.INTER_NEAREST)
        inequality.append(cv2.norm(cv2.reduce(sheared, 0, cv2.REDUCE_SUM), cv2.NORM_L2SQR))
    slant = SLANTS[int(np.argmax(inequality))]
    shifts = np.rint(slant * (height / 2 - np.arange(height))).astype(np.int64) - reach
    columns = np.arange(width + 2 * reach)[None, :] + shifts[:, None]
    inside = (columns >= 0) & (columns < width)
    upright = np.where(inside, np.take_along_axis(coverage, columns.clip(0, width - 1), axis=1), np.float32(0))
    return upright, shifts


def _shortest(costs: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int8]]:
    """Returns the ink on the cheapest path to each column of the last row, (w,), and the step into each pixel, (h, w).

    Steps: -1 from the left, 0 from above, 1 from the right.
    """
    height, width = costs.shape
    total = costs[0]
    steps = np.zeros((height, width), np.int8)
    around = np.full((3, width), np.inf, np.float32)
    for row in range(1, height):
        around[0, 1:] = total[:-1] + SIDEWAYS
        around[1] = total
        around[2, :-1] = total[1:] + SIDEWAYS
        best = around.argmin(axis=0)
        steps[row] = best - 1
        total = around.min(axis=0) + costs[row]
    return total, steps
