"""Large pictures brought to a size that framing takes in bounded time, without losing what is drawn thinly in them.

1. A picture of at most WORKING_SIDE pixels a side is not touched. (The training set was framed so.)
2. Where the paper has one flat level and all ink lies on one side of it, the ink's box and some paper around it are cut
   out before the picture is reduced: the digit gets the pixels that empty paper would have taken. A speck that framing
   would drop does not count.
3. A line thinner than a pixel of the reduced picture would be left as a pale trace, paler the larger the picture was:
   it is given back its contrast. Ink that is mostly thicker than that is reduced as in any other picture.
4. Uneven paper is reduced as a whole: what is ink in it is not known here.

Each step is a few passes over the bytes of the picture, whatever it holds.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from serving.image.paper import FAINTEST_INK, FLAT_PAPER_SHARE, Ink
from serving.image.pieces import without_lines, without_specks

# Framing ends at 20 pixels: more than this many a side adds cost and hardly any information. It bounds what a picture
# costs after decoding: each step of framing grows with the area.
WORKING_SIDE = 160

OTHER_SIDE = 0.1  # of the ink's squared contrast: more of it on the other side of the paper's level, and it is not flat
FAINTEST = 0.1  # of full ink: what widens the ink's box
MARGIN, SMALLEST_MARGIN = 0.2, 4  # paper around that box: a share of its longer side; pixels
THIN = 0.5  # the share of a pixel that thin ink fills: a line half a pixel wide
BORDER = 0.05  # of a side: how deep a frame around the picture may reach in
CROWDED = 0.25  # share of pixels with ink beyond which it is no line drawing, but noise or a texture

Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels; right and bottom lie outside


@dataclass(frozen=True, slots=True)
class _FlatPaper:
    """Paper of one `level`, 0..255, with ink up to `contrast` levels above it (below it: negative)."""

    level: int
    contrast: int

    def ink(self, picture: Image.Image) -> npt.NDArray[np.uint8]:
        """What stands out of this paper: (h, w) uint8, 0 = paper, 255 = the highest contrast."""
        share = (np.arange(256) - self.level) * (255 / self.contrast)
        return np.asarray(picture.point(np.rint(np.clip(share, 0, 255)).astype(int).tolist()))

    def inked(self, ink: Ink) -> Image.Image:
        """The picture whose `ink` this is: (h, w), 0 = paper, 255 = the highest contrast."""
        return Image.fromarray(np.rint(self.level + ink * (self.contrast / 255)).astype(np.uint8))


def reduced(picture: Image.Image) -> Image.Image:
    """The picture, mode L, at WORKING_SIDE pixels a side at most; as it is where it has no more."""
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
    """The one level that the paper has; None when it has none, or when nothing stands out on one side of it alone."""
    counts = np.array(picture.histogram(), np.float64)
    level = int(counts.argmax())
    if counts[level] < FLAT_PAPER_SHARE * counts.sum():
        return None
    above = np.arange(256) - level
    energy = counts * above * above
    darker, lighter = float(energy[:level].sum()), float(energy[level + 1 :].sum())
    if min(darker, lighter) > OTHER_SIDE * max(darker, lighter):
        return None
    side = above[(counts > 0) & ((above < 0) if darker > lighter else (above > 0))]
    contrast = int(side[np.abs(side).argmax()]) if side.size else 0
    return _FlatPaper(level, contrast) if abs(contrast) >= FAINTEST_INK else None


def _box_with_margin(averaged: Ink, size: tuple[int, int]) -> Box:
    """The box in a picture of `size` (width, height) around the ink, told from the whole of it `averaged`.

    Specks that framing drops do not widen it. Beside ruled lines nothing is dropped: they are told by where they lie.
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
    coarseness = math.ceil(max(size) / WORKING_SIDE)  # the box is known to so many pixels
    margin = max(SMALLEST_MARGIN, coarseness, round(MARGIN * max(right - left, bottom - top)))
    return max(left - margin, 0), max(top - margin, 0), min(right + margin, size[0]), min(bottom + margin, size[1])


def _resized(picture: Image.Image) -> Image.Image:
    return picture.resize(_working_size(*picture.size), Image.Resampling.HAMMING)  # the box filter can lose a line


def _working_size(width: int, height: int) -> tuple[int, int]:
    scale = WORKING_SIDE / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _averaged(ink: npt.NDArray[np.uint8]) -> Ink:
    """The ink at the working size, each pixel the mean of those it stands for. Pillow would round to whole levels."""
    height, width = ink.shape
    columns, rows = (_edges(n, parts) for n, parts in zip((width, height), _working_size(width, height), strict=True))
    # Slice by slice: ten times as fast as add.reduceat.
    strips = np.stack([ink[a:b].sum(axis=0, dtype=np.float32) for a, b in itertools.pairwise(rows)])
    sums = np.stack([strips[:, a:b].sum(axis=1, dtype=np.float64) for a, b in itertools.pairwise(columns)], axis=1)
    averaged: Ink = sums / np.outer(np.diff(rows), np.diff(columns))
    return averaged


def _edges(length: int, parts: int) -> npt.NDArray[np.int64]:
    """Where `parts` parts of nearly the same size begin, and where the last ends: (parts + 1,)."""
    return np.linspace(0, length, parts + 1).astype(np.int64)


def _typical(averaged: Ink) -> float:
    """The level that a bit of ink finds in its pixel: of a line, its share of the pixel's width.

    Told from the picture's inside, where there is ink: a canvas has often a frame, heavier than the pen.
    """
    height, width = (max(2, round(BORDER * side)) for side in averaged.shape)
    inside = averaged[height:-height, width:-width]
    ink = inside if inside.any() else averaged
    return float((ink * ink).sum() / ink.sum())


def _is_thin(averaged: Ink) -> bool:
    typical = _typical(averaged)
    return typical < THIN * 255 and float((averaged >= typical / 4).mean()) <= CROWDED


def _in_full_contrast(averaged: Ink) -> Ink:
    return np.minimum(averaged * (255 / _typical(averaged)), 255.0)
