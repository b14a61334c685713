"""Redraws strokes that are far thinner or thicker than MNIST's at a width that is usual there. Others stay unchanged.

Widths are in pixels of MNIST's 20x20 box. As measured here, 98 % of MNIST's training rows lie between 1.4 and 4.0, and
fewer than 1 % outside the limits below.
"""

import math

import cv2
import numpy as np

from serving.image.ink.paper import Ink
from serving.image.mnist_box import BOX, EDGE_OF_LARGE, area_averaged, enlarged, tight_square

THINNEST, THICKEST = 1.2, 4.6  # between these widths strokes stay unchanged
THIN_TO, THICK_TO = 1.8, 3.8  # widths after redrawing
# Pixels a side while strokes are redrawn: fewer would round the width, more would only take longer.
COARSEST_SIDE, FINEST_SIDE = 4 * BOX, 6 * BOX
OUTLINE = 100  # of 255: the level at which a stroke's outline lies


def width_in_box(square: Ink) -> float:
    """Returns the mean stroke width of `square`, (side, side), in pixels of the 20x20 box that it becomes."""
    return stroke_width(square) * BOX / len(square)


def with_mnist_strokes(square: Ink, width: float) -> Ink:
    """Returns `square`, (side, side), unchanged, or redrawn at another side where its strokes are too thin or thick.

    `width`: width_in_box(square).
    """
    if width < THINNEST:
        return _redrawn(_pooled(square), THIN_TO)
    if width > THICKEST and len(square) >= BOX:  # in a smaller square soft edges make every stroke look thick
        working = square if len(square) <= FINEST_SIDE else _rounded(area_averaged(square, FINEST_SIDE))
        return _redrawn(working, THICK_TO)
    return square


def stroke_width(ink: Ink) -> float:
    """Returns the mean stroke width in pixels: twice the ink's area divided by the length of its outline.

    A long stroke of width w and length l has the area wl and an outline of about 2l. Both are sums over grey levels.
    """
    # In signed numbers; strokes at the border have an outline there too.
    padded = cv2.copyMakeBorder(ink, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    down, across = (
        cv2.subtract(after, padded[:-1, :-1], dtype=cv2.CV_32F) for after in (padded[1:, :-1], padded[:-1, 1:])
    )
    outline = float(cv2.magnitude(down, across).sum())
    return 2 * float(cv2.sumElems(ink)[0]) / outline if outline else 0.0


def _pooled(square: Ink) -> Ink:
    """Returns the square with at most FINEST_SIDE pixels a side, by max pooling, which loses no thin line."""
    factor = math.ceil(len(square) / FINEST_SIDE)
    side = math.ceil(len(square) / factor)
    padded = np.pad(square, (0, side * factor - len(square)))
    pooled: Ink = padded.reshape(side, factor, side, factor).max(axis=(1, 3))
    return pooled


def _redrawn(square: Ink, target: float) -> Ink:
    """Moves the outlines of the strokes in or out until they are `target` pixels of the new 20x20 box wide.

    Returns the square unchanged where that would leave no strokes: ink paler than OUTLINE, apart from a few dots.
    """
    if len(square) < COARSEST_SIDE:
        square = _rounded(enlarged(square, COARSEST_SIDE))
    width = stroke_width(square)
    # Pixels by which each outline moves. The box, of side s, grows with the strokes, and the width is to be a share of
    # the new side: (width + 2 grow) / (s + 2 grow) = target / BOX.
    grow = (target * len(square) / BOX - width) / (2 * (1 - target / BOX))
    margin = max(0, math.ceil(grow)) + 1  # room for strokes that grow beyond the square
    padded = cv2.copyMakeBorder(square, margin, margin, margin, margin, cv2.BORDER_CONSTANT)
    strokes = cv2.threshold(padded, OUTLINE - 1, 255, cv2.THRESH_BINARY)[1]
    inside = cv2.distanceTransform(strokes, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outside = cv2.distanceTransform(cv2.bitwise_not(strokes), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outline = np.where(strokes, inside - 0.5, 0.5 - outside)  # signed distance from the outline, positive inside
    redrawn = _rounded(np.clip(outline + (grow + 0.5), 0.0, 1.0) * 255)  # a soft edge of one pixel
    return tight_square(redrawn) if strokes.any() and redrawn.max() > EDGE_OF_LARGE else square


def _rounded(levels: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Ink:
    return np.rint(levels).astype(np.uint8)
