"""Cuts pieces of ink that may hold several touching digits, along the paths from top to bottom with the least ink.

A path may lean and bend, as the gap between slanted digits does (shortest-path segmentation). The paths of all pieces
of a picture are found together: NumPy takes a microsecond for each call, whatever it works on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

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
OUTSIDE = 1e6  # cost of what lies outside a piece's columns
STUMP = 0.5  # of the area of the largest ink between two cuts: smaller ink there belongs to the other side of a cut
MOST_STUMPS = 20  # of one part: one with more is no writing
MOST_INKED = 2**11  # pixels, about, by which a slant is told
MOST_AT_ONCE = 2**20  # pixels of bands in memory

Paths = npt.NDArray[np.int64]  # (cuts, h): column of each cut in each row
Levels = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Upright:
    """A piece of ink without its slant, and where it may be cut."""

    ink: Ink  # (h, w'), wider than the piece
    shifts: npt.NDArray[np.int64]  # (h,): columns by which each row was moved to the right
    columns: npt.NDArray[np.int64]  # (cuts,) of `ink`, ascending

    def cut_at(self, kept: npt.NDArray[np.bool_]) -> Self:
        """Returns the piece with only those cuts for which `kept`, (cuts,), is True."""
        return replace(self, columns=self.columns[kept])


@dataclass(frozen=True, slots=True, eq=False)
class Cuts:
    """Cuts through a piece, from left to right, along the paths with the least ink."""

    paths: Paths
    inks: Levels  # (cuts,): ink on each, in pixels of full ink


def upright_of(ink: Ink, digit_height: float) -> Upright:
    """Returns the piece, (h, w) uint8, without its slant, with the columns at which it may be cut."""
    upright, shifts = without_slant(ink)
    return Upright(upright, shifts, np.array(_columns(upright, digit_height), np.int64))


def cuts_of(uprights: Sequence[Upright], digit_height: float) -> list[Cuts]:
    """Returns the cuts through each piece, near the columns that it names."""
    band = max(1, round(BAND * digit_height))
    bands = [
        each.ink[:, max(0, column - band) : column + band + 1] for each in uprights for column in each.columns.tolist()
    ]
    bent = iter(_least_ink(bands))
    cuts = []
    for each in uprights:
        paths = [max(0, column - band) + next(bent) for column in each.columns.tolist()]
        whole = np.array(paths, np.int64).reshape(-1, len(each.ink))
        on_cuts = each.ink[np.arange(len(each.ink)), whole].sum(axis=1, dtype=np.float32)
        cuts.append(Cuts(whole - each.shifts, on_cuts / np.float32(255)))
    return cuts


def numbers_of(parts: npt.NDArray[np.uint16]) -> list[int]:
    """Returns the numbers in `parts` but for 0, ascending."""
    return (np.flatnonzero(np.bincount(parts.ravel())[1:]) + 1).tolist()


def hand_over_stumps(parts: npt.NDArray[np.uint16]) -> None:
    """Gives what cuts have left on the wrong side to the part that it is connected with, in place.

    A cut is one path from top to bottom, and digits reach over and under each other.

    Args:
        parts: (h, w), number of the part between two cuts, 0 where there is no ink.
    """
    before = parts.copy()
    for number in numbers_of(before):
        _, labels, stats, _ = cv2.connectedComponentsWithStats((before == number).view(np.uint8), connectivity=8)
        areas = stats[1:, cv2.CC_STAT_AREA]
        if not 2 <= len(areas) <= MOST_STUMPS:
            continue
        for row in np.flatnonzero(areas <= STUMP * areas.max()).tolist():
            left, top, width, height = stats[row + 1, : cv2.CC_STAT_AREA].tolist()
            near = slice(max(top - 1, 0), top + height + 1), slice(max(left - 1, 0), left + width + 1)
            stump = (labels[near] == row + 1).view(np.uint8)
            around = before[near][cv2.dilate(stump, np.ones((3, 3), np.uint8)) > stump]
            others = around[(around > 0) & (around != number)]
            if len(others):
                parts[near][stump > 0] = np.bincount(others).argmax()


def _columns(upright: Ink, digit_height: float) -> list[int]:
    """Returns the columns of an upright piece at which it may be cut, ascending: those with the least ink."""
    sums = upright.sum(axis=0, dtype=np.float32) / np.float32(255)  # ink on a straight cut at each column, in pixels
    left = np.concatenate(([0.0], sums.cumsum()[:-1]))  # ink on its left
    least = LEAST_INK * digit_height * digit_height
    smooth = np.convolve(sums, np.ones(3) / 3, "same")
    dear = sums > DEAREST * digit_height
    # What is no cheaper than the cheapest dear column is out.
    cheap = smooth < smooth[dear].min(initial=np.inf)
    costs = np.where(cheap & (left >= least) & (left <= sums.sum() - least), smooth, np.inf)
    chosen: list[int] = []
    while len(chosen) < MOST and np.isfinite(costs[column := int(costs.argmin())]):
        chosen.append(column)
        costs[np.abs(left - left[column]) < least] = np.inf
    return sorted(chosen)


def without_slant(ink: Ink) -> tuple[Ink, npt.NDArray[np.int64]]:
    """Returns the piece with upright strokes, (h, wider), and by how much each of its rows was shifted, (h,).

    Strokes are most upright where the columns' sums are most unequal.
    """
    height, width = ink.shape
    reach = round(STEEPEST * height / 2) + 1
    wider = width + 2 * reach
    # Columns to the right by which each row moves at each slant, (slants, h).
    moved = reach - np.rint(SLANTS[:, None] * (height / 2 - np.arange(height))).astype(np.int64)
    step = max(1, cv2.countNonZero(ink) // MOST_INKED)  # of a large piece not all rows
    some = ink[::step].ravel()
    inked = np.flatnonzero(some)
    rows, columns = np.divmod(inked, width)
    places = (moved[:, ::step] + wider * np.arange(len(SLANTS))[:, None])[:, rows] + columns
    levels = np.tile(some[inked].astype(np.float64), len(SLANTS))
    sums = np.bincount(places.ravel(), levels, wider * len(SLANTS)).reshape(len(SLANTS), wider)
    shifts = moved[int((sums * sums).sum(axis=1).argmax())]
    upright = np.zeros((height, wider), np.uint8)
    upright.reshape(-1)[(shifts + wider * np.arange(height))[:, None] + np.arange(width)] = ink
    return upright, shifts


def _least_ink(bands: Sequence[Ink]) -> list[npt.NDArray[np.int64]]:
    """Returns the path with the least ink through each band, (h, w): its column in each row, (h,)."""
    largest = max((len(band) for band in bands), default=1) * max((band.shape[1] for band in bands), default=1)
    at_once = max(1, MOST_AT_ONCE // largest)
    return [path for start in range(0, len(bands), at_once) for path in _paths(bands[start : start + at_once])]


def _paths(bands: Sequence[Ink]) -> list[npt.NDArray[np.int64]]:
    """Returns the paths of some bands, one or more, which are found at the same time."""
    heights = np.array([len(band) for band in bands])
    costs = np.full((heights.max(), len(bands), max(band.shape[1] for band in bands)), np.float32(OUTSIDE))
    for number, band in enumerate(bands):
        costs[: len(band), number, : band.shape[1]] = band / np.float32(255)
    total, steps = _shortest(costs, heights)
    at = total.argmin(axis=1)
    path = np.empty((len(costs), len(bands)), np.int64)
    each = np.arange(len(bands))
    for row in range(len(costs) - 1, -1, -1):
        path[row] = at
        at = at + np.where(row < heights, steps[row, each, at], 0)
    return [path[:height, number] for number, height in enumerate(heights)]


def _shortest(costs: Levels, heights: npt.NDArray[np.int64]) -> tuple[Levels, npt.NDArray[np.int8]]:
    """Returns the ink on the cheapest path to each column of a band's last row, (n, w), and the step into each pixel.

    `costs`: (h, n, w) of n bands, each of `heights` rows. Steps, (h, n, w): -1 from the left, 0 from above, 1 from the
    right.
    """
    total = costs[0].copy()
    steps = np.zeros(costs.shape, np.int8)
    around = np.full((3, *total.shape), np.inf, np.float32)
    for row in range(1, len(costs)):
        around[0, :, 1:] = total[:, :-1] + SIDEWAYS
        around[1] = total
        around[2, :, :-1] = total[:, 1:] + SIDEWAYS
        best = around.argmin(axis=0)
        steps[row] = best - 1
        further = np.take_along_axis(around, best[None], axis=0)[0] + costs[row]
        total = np.where((row < heights)[:, None], further, total)
    return total, steps
