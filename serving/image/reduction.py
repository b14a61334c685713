"""Reduces large pictures to a size that framing handles in bounded time, without losing thin lines.

1. A picture of at most WORKING_SIDE pixels a side is not changed. (The training set was framed so.)
2. Where the paper has one flat level and all ink lies on one side of it, the ink's box with a margin is cut out before
   the picture is reduced: the digit gets the pixels that empty paper would have taken. Specks that framing would drop
   do not widen the box.
3. A line thinner than a pixel of the reduced picture would become a pale trace, the paler the larger the picture: its
   contrast is restored. Ink that is mostly thicker is reduced as in any other picture.
4. Pictures with uneven paper are reduced as a whole: which pixels are ink is not known here.

Each step takes a few passes over the bytes of the picture, whatever it holds. Decision 0012 has the measurements.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from serving.image.paper import FAINTEST_INK, FLAT_PAPER_SHARE, Ink
from serving.image.pieces import without_lines, without_specks

# Pixels a side. Framing ends at 20: more than this adds time and hardly any information. It bounds the time of framing,
# each step of which grows with the area.
WORKING_SIDE = 160

OTHER_SIDE = 0.1  # of the ink's squared contrast: with more of it on the paper's other side the paper is not flat
FAINTEST = 0.1  # of full ink: fainter pixels do not widen the ink's box
MARGIN, SMALLEST_MARGIN = 0.2, 4  # paper around that box: a share of its longer side; at least so many pixels
THIN = 0.5  # share of a pixel: ink that fills less of it is thin, as a line of half a pixel's width does
BORDER = 0.05  # of a side: depth to which a drawn frame around the picture may reach
CROWDED = 0.25  # share of pixels with ink; with more it is no line drawing, but noise or a texture

Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels; right and bottom lie outside


@dataclass(frozen=True, slots=True)
class _FlatPaper:
    """Paper of one `level`, 0 to 255, with ink that differs by up to `contrast` levels: negative for darker ink."""

    level: int
    contrast: int

    def ink(self, picture: Image.Image) -> npt.NDArray[np.uint8]:
        """Returns what stands out from this paper, (h, w) uint8, 0 = paper, 255 = the highest contrast."""
        # As a lookup table for Pillow: large pictures need no float array of their size.
        share = (np.arange(256) - self.level) * (255 / self.contrast)
        return np.asarray(picture.point(np.rint(np.clip(share, 0, 255)).astype(int).tolist()))

    def inked(self, ink: Ink) -> Image.Image:
        """Returns the picture, mode L, of this `ink` on this paper: the inverse of ink()."""
        return Image.fromarray(np.rint(self.level + ink * (self.contrast / 255)).astype(np.uint8))


def reduced(picture: Image.Image) -> Image.Image:
    """Returns the picture, mode L, with at most WORKING_SIDE pixels a side; unchanged where it has no more."""
    if max(picture.size) <= WORKING_SIDE:
        return picture
    paper = _flat_paper(picture)
    if paper is None:
        return _resized(picture)
    ink = paper.ink(picture)
    left, top, right, bottom = box = _box_with_margin(_averaged(ink), picture.size)
    cut = picture.crop(box)
    if max(cut.size) <= WORKING_SIDE:
        return cut
    averaged = _averaged(ink[top:bottom, left:right])
    return paper.inked(_in_full_contrast(averaged)) if _is_thin(averaged) else _resized(cut)


def _flat_paper(picture: Image.Image) -> _FlatPaper | None:
    """Returns the paper of the most frequent level; None where it is not flat, or ink is missing or on both sides."""
    counts = np.array(picture.histogram(), np.float64)
    level = int(counts.argmax())
    if counts[level] < FLAT_PAPER_SHARE * counts.sum():
        return None
    above = np.arange(256) - level
    energy = counts * above * above  # squared: many pixels of slight noise weigh little against ink
    darker, lighter = float(energy[:level].sum()), float(energy[level + 1 :].sum())
    if min(darker, lighter) > OTHER_SIDE * max(darker, lighter):
        return None
    side = above[(counts > 0) & ((above < 0) if darker > lighter else (above > 0))]
    contrast = int(side[np.abs(side).argmax()]) if side.size else 0
    return _FlatPaper(level, contrast) if abs(contrast) >= FAINTEST_INK else None


def _box_with_margin(averaged: Ink, size: tuple[int, int]) -> Box:
    """Returns the box around the ink, with a margin, in a picture of `size` (width, height) with this `averaged` ink.

    Specks that framing drops do not widen it. With ruled lines all ink counts: framing recognises those by their place
    at the picture's border.
    """
    ink = _in_full_contrast(averaged)
    if without_lines(ink) is ink:
        ink = without_specks(ink)
    spans = []
    for axis, length in ((0, size[0]), (1, size[1])):
        inked = np.flatnonzero((ink >= FAINTEST * 255).any(axis=axis))
        edges = _edges(length, ink.shape[1 - axis])
        spans.append((int(edges[inked[0]]), int(edges[inked[-1] + 1])))
    (left, right), (top, bottom) = spans
    coarseness = math.ceil(max(size) / WORKING_SIDE)  # pixels of the picture in one of `averaged`: the box's precision
    margin = max(SMALLEST_MARGIN, coarseness, round(MARGIN * max(right - left, bottom - top)))
    return max(left - margin, 0), max(top - margin, 0), min(right + margin, size[0]), min(bottom + margin, size[1])


def _resized(picture: Image.Image) -> Image.Image:
    # Pillow's box filter counts source pixels whole and can lose a line; the Hamming filter does not.
    return picture.resize(_working_size(*picture.size), Image.Resampling.HAMMING)


def _working_size(width: int, height: int) -> tuple[int, int]:
    """Returns width and height with the longer side WORKING_SIDE, in the same aspect ratio."""
    scale = WORKING_SIDE / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _averaged(ink: npt.NDArray[np.uint8]) -> Ink:
    """Returns the ink at the working size, each pixel the mean of those that it covers.

    In floating point: Pillow would round to whole levels, and thin lines in large pictures have only a few.
    """
    height, width = ink.shape
    columns, rows = (_edges(n, parts) for n, parts in zip((width, height), _working_size(width, height), strict=True))
    # Strip by strip: ten times as fast as np.add.reduceat.
    strips = np.stack([ink[a:b].sum(axis=0, dtype=np.float32) for a, b in itertools.pairwise(rows)])
    sums = np.stack([strips[:, a:b].sum(axis=1, dtype=np.float64) for a, b in itertools.pairwise(columns)], axis=1)
    averaged: Ink = sums / np.outer(np.diff(rows), np.diff(columns))
    return averaged


def _edges(length: int, parts: int) -> npt.NDArray[np.int64]:
    """Returns the edges, (parts + 1,), of `parts` parts of nearly equal length."""
    return np.linspace(0, length, parts + 1).astype(np.int64)


def _typical(averaged: Ink) -> float:
    """Returns the mean level of the ink, weighted by the ink: for a line, 255 times its width in reduced pixels.

    Of the picture's inside where there is ink: a canvas often has a frame, heavier than the pen.
    """
    height, width = (max(2, round(BORDER * side)) for side in averaged.shape)
    inside = averaged[height:-height, width:-width]
    ink = inside if inside.any() else averaged
    return float((ink * ink).sum() / ink.sum())


def _is_thin(averaged: Ink) -> bool:
    """Returns True for a line drawing whose lines are thinner than half a pixel."""
    typical = _typical(averaged)
    return typical < THIN * 255 and float((averaged >= typical / 4).mean()) <= CROWDED


def _in_full_contrast(averaged: Ink) -> Ink:
    """Returns the ink scaled so that its typical level is 255."""
    return np.minimum(averaged * (255 / _typical(averaged)), 255.0)
