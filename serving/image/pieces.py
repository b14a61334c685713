"""The connected pieces of a picture's ink: which are specks or remnants of ruled lines, and how many glyphs are left.

1. A piece is ink that hangs together, diagonals included.
2. A remnant of a ruled line hugs one side of the picture (or several: a frame), touches it, and keeps a distance from
   the rest; the rest is large enough to be the digit.
3. A speck holds next to no ink beside the largest piece, or little and stands far off.
4. A piece goes with its soft edge: what is nearer to it than to any piece that stays.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from serving.image.paper import STROKE, Ink

SPECK_SHARE, FAR_SPECK_SHARE = 0.02, 0.06  # of the largest piece's ink
FAR = 0.1  # of the largest piece's longer side
LINE_BAND = 0.16  # of the picture's side: how deep a remnant reaches in
LINE_IN_BAND = 0.9  # share of its ink that lies there
LINE_LENGTH = 0.3  # of the picture's side: the shortest remnant
LINE_GAP = 0.05  # of the picture's side: how far the rest keeps off, at least two pixels
SMALLEST_DIGIT = 0.25  # of the picture's longer side
SMALLEST_RULED_SIDE = 12  # pixels; below it a stroke cannot be told from a line
GLYPH_HEIGHT = 0.5  # of the tallest glyph: a piece this tall beside it is another
GLYPH_OVERLAP = 0.2  # of the narrower one's width

_ALL_AROUND = np.ones((3, 3))
Labels = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Pieces:
    """All pieces; their row here is their label less one. A hostile picture has thousands: no loop goes over them."""

    labels: Labels  # (h, w), 0 = no piece
    amounts: npt.NDArray[np.float64]  # (n,) ink
    boxes: npt.NDArray[np.int64]  # (n, 4): top, bottom, left, right; bottom and right lie outside

    @property
    def heights(self) -> npt.NDArray[np.int64]:
        return self.boxes[:, 1] - self.boxes[:, 0]

    @property
    def longer_sides(self) -> npt.NDArray[np.int64]:
        longer: npt.NDArray[np.int64] = np.maximum(self.heights, self.boxes[:, 3] - self.boxes[:, 2])
        return longer

    def distances_from(self, main: int) -> npt.NDArray[np.float64]:
        """(n,) the pixels from each piece to the piece in row `main`."""
        away = ndimage.distance_transform_edt(self.labels != main + 1)
        return np.asarray(ndimage.minimum(away, self.labels, np.arange(1, len(self.amounts) + 1)))


def without_lines(ink: Ink) -> Ink:
    """The ink less the remnants of ruled lines at the picture's border, where a digit stands clear of them."""
    if min(ink.shape) < SMALLEST_RULED_SIDE or not _touches_border(ink >= STROKE):
        return ink
    pieces = _pieces(ink)
    hugging = _hug_border(ink, pieces)
    if not hugging.any() or hugging.all() or pieces.longer_sides[~hugging].max() < SMALLEST_DIGIT * max(ink.shape):
        return ink
    main = int(np.where(hugging, -1.0, pieces.amounts).argmax())
    gap = max(2.0, LINE_GAP * max(ink.shape))
    return _without(ink, pieces.labels, hugging & (pieces.distances_from(main) > gap))


def without_specks(ink: Ink) -> Ink:
    """The ink less its small pieces."""
    pieces = _pieces(ink)
    if len(pieces.amounts) <= 1:
        return ink
    main = int(pieces.amounts.argmax())
    specks = pieces.amounts < SPECK_SHARE * pieces.amounts[main]
    doubtful = ~specks & (pieces.amounts / pieces.amounts[main] < FAR_SPECK_SHARE)
    if doubtful.any():
        far = max(1.5, FAR * pieces.longer_sides[main])
        specks |= doubtful & (pieces.distances_from(main) > far)
    return _without(ink, pieces.labels, specks)


def has_several_glyphs(ink: Ink) -> bool:
    """True when two pieces of similar height stand side by side, as digits of a number do."""
    pieces = _pieces(ink)
    tall = pieces.heights >= GLYPH_HEIGHT * pieces.heights.max(initial=0)
    left, right = pieces.boxes[tall, 2], pieces.boxes[tall, 3]
    order = np.argsort(left, kind="stable")
    left, right = left[order], right[order]
    narrower = np.minimum((right - left)[:-1], (right - left)[1:])
    return bool((right[:-1] - left[1:] <= GLYPH_OVERLAP * narrower).any())


def touches_border(ink: Ink) -> bool:
    """True when a stroke reaches the picture's border: some of the digit may be cut off."""
    return _touches_border(ink >= 2 * STROKE)


def _touches_border(strokes: Mask) -> bool:
    return bool(strokes[[0, -1]].any() or strokes[:, [0, -1]].any())


def _pieces(ink: Ink) -> _Pieces:
    labels, count = ndimage.label(ink >= STROKE, structure=_ALL_AROUND)
    amounts = np.bincount(labels.ravel(), weights=ink.ravel(), minlength=count + 1)[1:].astype(np.float64)
    rows, columns = np.nonzero(labels)
    piece = labels[rows, columns] - 1
    boxes = np.zeros((count, 4), np.int64)
    for side, lines in ((0, rows), (2, columns)):
        boxes[:, side] = max(ink.shape)
        np.minimum.at(boxes[:, side], piece, lines)
        np.maximum.at(boxes[:, side + 1], piece, lines + 1)
    return _Pieces(labels, amounts, boxes)


def _hug_border(ink: Ink, pieces: _Pieces) -> Mask:
    """(n,) True for pieces that touch the border, are long, and lie nearly all within one band along it."""
    height, width = ink.shape
    top, bottom, left, right = pieces.boxes.T
    touches = (top == 0) | (left == 0) | (bottom == height) | (right == width)
    is_long = pieces.longer_sides >= LINE_LENGTH * max(ink.shape)
    rows, columns = (slice(deep, -deep) for deep in (max(2, round(LINE_BAND * side)) for side in ink.shape))
    labels = pieces.labels[rows, columns].ravel()
    inside = np.bincount(labels, weights=ink[rows, columns].ravel(), minlength=len(touches) + 1)[1:]
    return np.asarray(touches & is_long & (inside <= (1 - LINE_IN_BAND) * pieces.amounts))


def _without(ink: Ink, labels: Labels, dropped: Mask) -> Ink:
    """The ink less the pieces that are `dropped`, (n,), each with its soft edge."""
    if not dropped.any():
        return ink
    nearest = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    return np.where(np.append(False, dropped)[labels[tuple(nearest)]], 0.0, ink)
