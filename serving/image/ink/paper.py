"""Turns grey levels into ink: the paper's level, even or not, becomes 0 and full ink becomes 255.

1. Paper of one flat level is subtracted exactly: everything else in the picture is kept.
2. Uneven paper (a photo with a shadow) is what is left when everything narrower than a window has been removed, by a
   morphological opening. It follows the edge of a shadow, and of a table under the paper, as sharply as the picture
   has it. Ink is measured as a share of the paper's light, so that it is as dark in the shadow as outside it.
3. Full ink is the level of the strokes' cores. Fainter strokes keep their share of it.
4. Faint ink far from any stroke (a JPEG's ringing, the paper's texture) is paper.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from serving.image.ink.histogram import LEVELS, Counts, histogram, otsu_level, percentile, roughness

cv2.setNumThreads(1)  # a decoder has one thread of its own; OpenCV's would fight for the same processors

FAINTEST_INK = 16.0  # grey levels of 255 between paper and full ink; with less a picture is blank
STROKE = 64  # of 255 of full ink: from here on it is a stroke, below it its soft edge
FLAT_PAPER_SHARE = 0.3  # share of all pixels that must have one level for flat paper
NO_OUTLIER = 0.97  # of the highest level: with a core this high the highest level is no outlier
SOFT_EDGE_SHARE = 0.03  # of the longer side: reach of a soft edge from its stroke, at least one pixel
WIDEST_SOFT_EDGE_SIDE = 160  # pixels; in a larger picture soft edges reach no further
SMALLEST_WINDOW_SIDE = 20  # pixels of the shorter side; in a smaller picture the paper has one level
SMOOTHED_SIDE = 64  # pixels of the shorter side from which paper is smoothed before it is opened, against its noise
DIMMEST_PAPER = 0.35  # of the lightest: darker paper is measured as if it were so light, or its noise would be ink
PAPER_PERCENTILE = 30  # of the levels above the opened paper: in the middle of paper's own, which are the lower ones
LOW_PERCENTILE = 5
NORMAL_WIDTH = 1.1  # standard deviations between those two, where most of a picture is paper

Grey = npt.NDArray[np.uint8]
Ink = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Inked:
    """Ink of a picture, (h, w) uint8, 0 = paper, 255 = full ink, and the grey levels between paper and full ink."""

    ink: Ink
    contrast: float
    is_flat: bool  # the paper has one level


def ink_on_paper(grey: Grey, is_paper_light: bool, window: float) -> Inked | None:
    """Returns what is written in `grey`, (h, w) uint8, on paper that is lighter or darker; None: nothing stands out.

    `window`: a share of the shorter side. What is wider than this is paper, where the paper is uneven.
    """
    return next(inks_on_paper(grey, is_paper_light, [window], histogram(grey)), None)


def inks_on_paper(grey: Grey, is_paper_light: bool, windows: Iterable[float], counts: Counts) -> Iterator[Inked]:
    """Yields ink_on_paper() of each window in which something stands out; of the first alone where paper has one level.

    `counts`: histogram(grey).
    """
    levels = cv2.bitwise_not(grey) if is_paper_light else grey  # ink is lighter than paper from here on, as in MNIST
    counts = counts[::-1] if is_paper_light else counts
    middle = otsu_level(levels)
    paper = int(counts[: middle + 1].argmax())
    is_even = bool(counts[paper] >= FLAT_PAPER_SHARE * grey.size)
    if is_even or min(grey.shape) < SMALLEST_WINDOW_SIDE:
        if not is_even:
            paper = percentile(counts[: middle + 1], 25)  # soft edges may be most of the rest
        inked = _inked(levels, counts, paper, 0.0, is_flat=True)
        if inked is not None:
            yield inked
        return
    for window in windows:
        above = _above_uneven_paper(levels, window, is_paper_light)
        counts = histogram(above)
        paper = percentile(counts, PAPER_PERCENTILE)
        # Texture of paper is smoother than noise: neighbours differ by less. Where much of the noise lies below the
        # opened paper, its levels are all 0, and their spread says too little.
        rough = roughness(above)
        noise = min(max((paper - percentile(counts, LOW_PERCENTILE)) / NORMAL_WIDTH, rough), 2 * rough)
        inked = _inked(above, counts, paper, noise, is_flat=False)
        if inked is not None:
            yield inked


def _inked(levels: Grey, counts: Counts, paper: int, noise: float, *, is_flat: bool) -> Inked | None:
    """Returns what stands out from paper of this level and noise. `counts`: histogram(levels)."""
    full = _full_ink(counts, paper)
    if full < max(FAINTEST_INK, 5 * noise):  # the highest of many thousand normal values lies at about 4 sigma
        return None
    floor = min(4 * noise, full / 2)  # what noise may reach counts as paper; at least the upper half stays ink
    table = np.clip((LEVELS - (paper + floor)) * (255.0 / (full - floor)), 0, 255)
    return Inked(_near_strokes(cv2.LUT(levels, np.rint(table).astype(np.uint8))), full, is_flat)


def _full_ink(counts: Counts, paper: int) -> float:
    """Returns the level of the strokes' cores above paper: the highest, unless it is an outlier; 0 without ink."""
    highest = int(np.flatnonzero(counts)[-1]) - paper
    if highest <= 0:
        return 0.0
    half = paper + highest // 2 + 1  # the first level above half of the highest
    core = half + percentile(counts[half:], 75) - paper  # the lower quartiles hold the soft edges
    return float(highest if core >= NO_OUTLIER * highest else core)


def _above_uneven_paper(levels: Grey, window: float, is_paper_light: bool) -> Grey:
    """Returns the levels above the paper, (h, w) uint8, as they would be if the paper were lit evenly."""
    paper = opened_paper(levels, window)
    above: Grey = cv2.subtract(levels, paper)
    if not is_paper_light:
        return above
    light = cv2.bitwise_not(paper)
    brightest = float(light.max())
    light = cv2.max(light, np.array(DIMMEST_PAPER * brightest))
    lit_evenly: Grey = cv2.divide(above, light, scale=brightest)
    return lit_evenly


def opened_paper(levels: Grey, window: float) -> Grey:
    """Returns the paper's level at each pixel of `levels`, (h, w) uint8, in which ink is lighter than paper.

    `window`: as for ink_on_paper().
    """
    side = min(levels.shape)
    size = max(3, round(window * side)) | 1
    smooth = cv2.blur(levels, (3, 3)) if side >= SMOOTHED_SIDE else levels
    paper: Grey = cv2.morphologyEx(smooth, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_RECT, (size, size)))
    return paper


def _near_strokes(ink: Ink) -> Ink:
    """Returns the ink without what lies further from a stroke than a soft edge reaches."""
    reach = max(1, round(SOFT_EDGE_SHARE * min(max(ink.shape), WIDEST_SOFT_EDGE_SIDE)))
    size = 2 * reach + 1
    near = cv2.dilate(strokes_of(ink), cv2.getStructuringElement(cv2.MORPH_RECT, (size, size)))
    kept: Ink = cv2.bitwise_and(ink, near)
    return kept


def strokes_of(ink: Ink) -> Grey:
    """Returns 255 where there is a stroke, 0 elsewhere, (h, w) uint8."""
    strokes: Grey = cv2.threshold(ink, STROKE - 1, 255, cv2.THRESH_BINARY)[1]
    return strokes
