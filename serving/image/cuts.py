"""Cuts pieces of ink that may hold several touching digits, along the paths from top to bottom with the least ink.

A path may lean and bend, as the gap between slanted digits does (shortest-path segmentation).
"""

import numpy as np
import numpy.typing as npt

from serving.image.paper import Ink

SIDEWAYS = 0.25  # cost of a step sideways, in pixels of full ink
NEAREST = 0.22  # of the digit's height: least distance between two cuts, and of a cut from the piece's ends
DEAREST = 0.45  # of the digit's height: ink on a cut, in pixels of full ink, at most
MOST = 24  # cuts of one piece

Paths = npt.NDArray[np.int64]  # (cuts, h): column of each cut in each row


def cuts_of(ink: Ink, digit_height: float) -> Paths:
    """Returns the cuts through a piece, (h, w) uint8, from left to right; none for a narrow piece."""
    height, width = ink.shape
    nearest = max(2, round(NEAREST * digit_height))
    costs, steps = _shortest(ink.astype(np.float32) / 255)
    ends = costs[nearest : width - nearest]
    chosen: list[int] = []
    for column in np.argsort(ends, kind="stable") + nearest:
        if costs[column] > DEAREST * digit_height or len(chosen) == MOST:
            break
        if all(abs(column - other) >= nearest for other in chosen):
            chosen.append(int(column))
    return np.array([_path(steps, column) for column in sorted(chosen)], np.int64).reshape(-1, height)


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


def _path(steps: npt.NDArray[np.int8], column: int) -> npt.NDArray[np.int64]:
    """Returns the column in each row, (h,), of the path that ends at `column`."""
    columns = np.empty(len(steps), np.int64)
    for row in range(len(steps) - 1, -1, -1):
        columns[row] = column
        column += int(steps[row, column])
    return columns
