"""Reduces large pictures to a size that framing handles in bounded time, without losing thin lines.

1. A picture of at most WORKING_SIDE pixels a side is not changed. (The training set was framed so.)
2. Where the paper has one flat level and all ink lies on one side of it, the ink's box with a margin is cut out before
   the picture is reduced: the digit gets the pixels that empty paper would have taken. Specks that framing would drop
   do not widen the box.
   A picture that is reduced to a half at most is cut at its ink's box, and that is all.
3. A line thinner than a pixel of the reduced picture would become a pale trace, the paler the larger the picture: its
   contrast is restored. Ink that is mostly thicker is reduced as in any other picture.
4. Pictures with uneven paper are reduced as a whole: which pixels are ink is not known here.

Each step takes a few passes over the bytes of the picture, whatever it holds. Decision 0012 has the measurements.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from serving.image.ink.clutter import regions_at_border, specks
from serving.image.ink.components import components_of, without
from serving.image.ink.histogram import LEVELS, histogram
from serving.image.ink.paper import FAINTEST_INK, FLAT_PAPER_SHARE, Grey

# Pixels a side. Framing ends at 20: more than this adds time and hardly any information. It bounds the time of framing,
# each step of which grows with the area.
WORKING_SIDE = 128

# Times that: up to here no line becomes thinner than half a pixel, and specks matter little.
LITTLE_REDUCED = 2
OTHER_SIDE = 0.1  # of the ink's squared contrast: with more of it on the paper's other side the paper is not flat
FAINTEST = 0.1  # of full ink: fainter pixels do not widen the ink's box
MARGIN, SMALLEST_MARGIN = 0.2, 4  # paper around that box: a share of its longer side; at least so many pixels
THIN = 0.5  # share of a pixel: ink that fills less of it is thin, as a line of half a pixel's width does
BORDER = 0.05  # of a side: depth to which a drawn frame around the picture may reach
CROWDED = 0.25  # share of pixels with ink; with more it is no line drawing, but noise or a texture
SQUARES = np.square(np.arange(-255.0, 256.0))
_FINE = 256  # steps of a grey level in the averages: a thin line in a large picture has only a few levels

Averaged = npt.NDArray[np.float32]  # (h, w), 0 = paper, 255 = full ink
Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels; right and bottom lie outside


@dataclass(frozen=True, slots=True)
class _FlatPaper:
    """Paper of one `level`, 0 to 255, with ink that differs by up to `contrast` levels: negative for darker ink."""

    level: int
    contrast: int

    def averaged_ink(self, grey: Grey) -> Averaged:
        """Returns the ink at the working size: what stands out from this paper, each pixel the mean of its area."""
        share = (LEVELS - self.level) * (255 * _FINE / self.contrast)
        ink = cv2.LUT(grey, np.rint(np.clip(share, 0, 255 * _FINE)).astype(np.uint16))
        means = cv2.resize(ink, _size(grey), interpolation=cv2.INTER_AREA)
        averaged: Averaged = means.astype(np.float32) / np.float32(_FINE)
        return averaged

    def box(self, grey: Grey) -> Box:
        """Returns the box around all that stands out from this paper."""
        distance = cv2.absdiff(grey, self.level)
        faintest = max(1.0, FAINTEST * abs(self.contrast))
        x, y, width, height = cv2.boundingRect(cv2.threshold(distance, faintest, 255, cv2.THRESH_BINARY)[1])
        return x, y, x + width, y + height

    def inked(self, ink: Averaged) -> Grey:
        """Returns the picture of this `ink` on this paper."""
        grey: Grey = np.rint(self.level + ink * (self.contrast / 255)).astype(np.uint8)
        return grey


def reduced(grey: Grey) -> Grey:
    """Returns the picture with at most WORKING_SIDE pixels a side; unchanged where it has no more."""
    if max(grey.shape) <= WORKING_SIDE:
        return grey
    paper = _flat_paper(grey)
    if paper is None:
        return reduced_to(grey, WORKING_SIDE)
    if max(grey.shape) <= LITTLE_REDUCED * WORKING_SIDE:
        left, top, right, bottom = _with_margin(paper.box(grey), SMALLEST_MARGIN, grey)
        return reduced_to(grey[top:bottom, left:right], WORKING_SIDE)
    averaged = paper.averaged_ink(grey)
    left, top, right, bottom = _box_with_margin(averaged, grey)
    cut = grey[top:bottom, left:right]
    if max(cut.shape) <= WORKING_SIDE:
        return cut
    if _is_thin(averaged):  # what is thick in the whole picture is no thinner in the cut, which is reduced by less
        averaged = paper.averaged_ink(cut)
        if _is_thin(averaged):
            return paper.inked(_in_full_contrast(averaged))
    return reduced_to(cut, WORKING_SIDE)


def _flat_paper(grey: Grey) -> _FlatPaper | None:
    """Returns the paper of the most frequent level; None where it is not flat, or ink is missing or on both sides."""
    counts = histogram(grey)
    level = int(counts.argmax())
    if counts[level] < FLAT_PAPER_SHARE * grey.size:
        return None
    energy = counts * SQUARES[255 - level : 511 - level]  # squared: much slight noise weighs little against ink
    darker, lighter = float(energy[:level].sum()), float(energy[level + 1 :].sum())
    if min(darker, lighter) > OTHER_SIDE * max(darker, lighter):
        return None
    levels = np.flatnonzero(counts)
    contrast = int(levels[0] if darker > lighter else levels[-1]) - level
    return _FlatPaper(level, contrast) if abs(contrast) >= FAINTEST_INK else None


def _box_with_margin(averaged: Averaged, grey: Grey) -> Box:
    """Returns the box around the ink, with a margin, in the picture `grey` that has this `averaged` ink.

    Specks that framing drops do not widen it. With ruled lines all ink counts: framing recognises those by their place
    at the picture's border.
    """
    full = _in_full_contrast(averaged)
    ink = np.rint(full).astype(np.uint8)
    components = components_of(ink)
    if len(components) > 1 and not regions_at_border(ink, components).any():
        full = np.where(without(ink, components, specks(ink, components)) > 0, full, 0)
    height, width = grey.shape
    scale = max(height, width) / WORKING_SIDE
    x, y, w, h = cv2.boundingRect((full >= FAINTEST * 255).astype(np.uint8))
    box = int(x * scale), int(y * scale), math.ceil((x + w) * scale), math.ceil((y + h) * scale)
    return _with_margin(box, max(SMALLEST_MARGIN, math.ceil(scale)), grey)


def _with_margin(box: Box, smallest: int, grey: Grey) -> Box:
    """Returns the box with a margin, of at least `smallest` pixels, where the picture has it."""
    left, top, right, bottom = box
    height, width = grey.shape
    margin = max(smallest, round(MARGIN * max(right - left, bottom - top)))
    return max(left - margin, 0), max(top - margin, 0), min(right + margin, width), min(bottom + margin, height)


def reduced_to(grey: Grey, side: int) -> Grey:
    """Returns the picture with at most `side` pixels a side, each the mean of its area; unchanged if it has no more."""
    while max(grey.shape) >= 2 * side:  # by a whole number it is many times as fast
        height, width = (max(1, length // 2) for length in grey.shape)
        grey = cv2.resize(grey[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    if max(grey.shape) <= side:
        return grey
    resized: Grey = cv2.resize(grey, _size(grey, side), interpolation=cv2.INTER_AREA)
    return resized


def _size(grey: Grey, side: int = WORKING_SIDE) -> tuple[int, int]:
    """Returns width and height with the longer side `side`, in the same aspect ratio."""
    height, width = grey.shape
    scale = side / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _typical(averaged: Averaged) -> float:
    """Returns the mean level of the ink, weighted by the ink: for a line, 255 times its width in reduced pixels.

    Of the picture's inside where there is ink: a canvas often has a frame, heavier than the pen.
    """
    height, width = (max(2, round(BORDER * side)) for side in averaged.shape)
    inside = averaged[height:-height, width:-width]
    ink = inside if inside.any() else averaged
    return float((ink * ink).sum() / ink.sum())


def _is_thin(averaged: Averaged) -> bool:
    """Returns True for a line drawing whose lines are thinner than half a pixel."""
    typical = _typical(averaged)
    return typical < THIN * 255 and float((averaged >= typical / 4).mean()) <= CROWDED


def _in_full_contrast(averaged: Averaged) -> Averaged:
    """Returns the ink scaled so that its typical level is 255."""
    scaled: Averaged = np.minimum(averaged * np.float32(255 / _typical(averaged)), np.float32(255))
    return scaled
