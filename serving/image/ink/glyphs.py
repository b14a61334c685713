"""Decides whether a picture holds one glyph or several: digits side by side, or over one another."""

import cv2
import numpy as np
import numpy.typing as npt

from serving.image.ink.components import HEIGHT, LEFT, TOP, WIDTH
from serving.image.ink.paper import Ink, strokes_of

GLYPH_HEIGHT = 0.5  # of the tallest piece: a piece at least this tall may be a glyph of its own
SIDE_OVERLAP = 0.2  # of the narrower piece's width: glyphs side by side overlap no more than this
SAME_LINE = 0.5  # of the shorter piece's height that glyphs side by side share: the bar of a 5 lies over its body
SAME_COLUMN = 0.5  # of the narrower piece's width that glyphs over one another share
NARROW = 0.4  # width by height of a piece of a 1; two of them over one another are a broken 1
# Height by width of two digits over one another. A broken 8 has about 2, and its halves lie close together.
TALL, VERY_TALL = 1.8, 2.6
GAP = 0.05  # of their height together: least distance of two digits over one another, unless they are very tall
APART = 0.09  # of the shorter side, or sideways of a piece's height: what is closer is one piece, a glyph in parts
MOST_PIECES = 32  # that are compared with one another, the largest: noise has thousands


def has_several_glyphs(ink: Ink) -> bool:
    """Returns True when two pieces of similar height stand side by side, or over one another."""
    boxes = _pieces(ink)
    boxes = boxes[boxes[:, HEIGHT] >= GLYPH_HEIGHT * boxes[:, HEIGHT].max(initial=0)]
    first, second = np.triu_indices(len(boxes), 1)
    one, other = boxes[first], boxes[second]
    (overlap_x, width, narrower), (overlap_y, height, shorter) = (
        _along(one, other, *sides) for sides in ((LEFT, WIDTH), (TOP, HEIGHT))
    )
    beside = (overlap_x <= SIDE_OVERLAP * narrower) & (overlap_y >= SAME_LINE * shorter)
    narrow = (one[:, WIDTH] < NARROW * one[:, HEIGHT]) & (other[:, WIDTH] < NARROW * other[:, HEIGHT])
    tall = height >= np.where(-overlap_y >= GAP * height, TALL, VERY_TALL) * width
    over = (overlap_x >= SAME_COLUMN * narrower) & (overlap_y <= 0) & tall & ~narrow
    return bool((beside | over).any())


def _pieces(ink: Ink) -> npt.NDArray[np.int32]:
    """Returns the boxes, (n, 4), of the largest pieces of ink: components that lie close to one another are one."""
    strokes = strokes_of(ink)
    _, _, width, height = cv2.boundingRect(strokes)
    apart = APART * min(width, height)
    # The parts of one narrow digit stand further apart, beside one another, than its width tells: its height does.
    boxes = _boxes(strokes, apart, apart)
    across = APART * float(boxes[:, HEIGHT].max(initial=0))
    return _boxes(strokes, across, apart) if across > apart else boxes


def _boxes(strokes: Ink, across: float, down: float) -> npt.NDArray[np.int32]:
    """Returns the boxes, (n, 4), of what lies closer to one another than that, in pixels."""
    size = max(1, round(across)), max(1, round(down))
    shape = cv2.MORPH_RECT if min(size) == 1 else cv2.MORPH_ELLIPSE  # an ellipse that flat is a point
    near = cv2.dilate(strokes, cv2.getStructuringElement(shape, size))
    count, labels = cv2.connectedComponents(near, connectivity=8)
    labels[strokes == 0] = 0
    largest = 1 + np.argsort(-np.bincount(labels.ravel(), minlength=count)[1:], kind="stable")[:MOST_PIECES]
    boxes = [cv2.boundingRect((labels == number).astype(np.uint8)) for number in largest]
    return np.array(boxes, np.int32).reshape(-1, 4)


def _along(one: np.ndarray, other: np.ndarray, start: int, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns for each pair of boxes how far they overlap along an axis (negative: their gap), the extent of both
    together, and the shorter length of the two."""
    ends = one[:, start] + one[:, length], other[:, start] + other[:, length]
    overlap = np.minimum(*ends) - np.maximum(one[:, start], other[:, start])
    extent = np.maximum(*ends) - np.minimum(one[:, start], other[:, start])
    return overlap, extent, np.minimum(one[:, length], other[:, length])
