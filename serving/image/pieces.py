"""Connected pieces of a picture's ink: removes specks and remnants of ruled lines, and counts the glyphs that are left.

1. A piece is a connected component of strokes, diagonals included.
2. A remnant of a ruled line lies along one side of the picture (or several: a frame), touches it, and keeps a distance
   from the rest. The rest must be large enough to be the digit.
3. A speck has next to no ink compared with the largest piece, or little ink and a distance from it.
4. A piece is removed with its soft edge: the faint ink that is nearer to it than to any piece that stays.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from serving.image.paper import STROKE, Ink

# Chosen on simulated pictures and scikit-learn's load_digits (decision 0012).
SPECK_SHARE, FAR_SPECK_SHARE = (
    0.02,
    0.06,
)  # of the largest piece's ink: specks anywhere, and specks that are far from it
FAR = 0.1  # of the largest piece's longer side
LINE_BAND = 0.16  # of the picture's side: depth of the band along the border in which remnants lie
LINE_IN_BAND = 0.9  # least share of a remnant's ink that lies in that band
LINE_LENGTH = 0.3  # of the picture's longer side: the shortest remnant
LINE_GAP = 0.05  # of the picture's longer side: least distance from the digit, and at least two pixels
SMALLEST_DIGIT = 0.25  # of the picture's longer side
SMALLEST_RULED_SIDE = 12  # pixels; in a smaller picture strokes and lines look alike
GLYPH_HEIGHT = 0.5  # of the tallest glyph: a piece at least this tall is a glyph of its own
GLYPH_OVERLAP = 0.2  # of the narrower glyph's width: glyphs side by side overlap no more than this

_ALL_AROUND = np.ones((3, 3))  # ndimage.label's default leaves diagonal neighbours apart
Labels = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Pieces of a picture; a piece's row is its label less one.

    Arrays instead of objects, without loops: a hostile picture has thousands of pieces.
    """

    labels: Labels  # (h, w), 0 = no piece
    amounts: npt.NDArray[np.float64]  # (n,), the sum of each piece's ink
    boxes: npt.NDArray[np.int64]  # (n, 4): top, bottom, left, right; bottom and right lie outside

    @property
    def heights(self) -> npt.NDArray[np.int64]:
        return self.boxes[:, 1] - self.boxes[:, 0]

    @property
    def longer_sides(self) -> npt.NDArray[np.int64]:
        longer: npt.NDArray[np.int64] = np.maximum(self.heights, self.boxes[:, 3] - self.boxes[:, 2])
        return longer

    def distances_from(self, main: int) -> npt.NDArray[np.float64]:
        """Returns the distance of each piece from the piece in row `main`, (n,), in pixels."""
        away = ndimage.distance_transform_edt(self.labels != main + 1)
        return np.asarray(ndimage.minimum(away, self.labels, np.arange(1, len(self.amounts) + 1)))


def without_lines(ink: Ink) -> Ink:
    """Returns the ink without remnants of ruled lines at the border; `ink` itself where none is clear of the digit."""
    if min(ink.shape) < SMALLEST_RULED_SIDE or not _touches_border(ink >= STROKE):
        return ink
    pieces = _pieces(ink)
    along_border = _lie_along_border(ink, pieces)
    if not along_border.any() or along_border.all():
        return ink
    if pieces.longer_sides[~along_border].max() < SMALLEST_DIGIT * max(ink.shape):
        return ink  # the piece along the border is the digit, and the rest is specks
    main = int(np.where(along_border, -1.0, pieces.amounts).argmax())  # the largest of the other pieces
    gap = max(2.0, LINE_GAP * max(ink.shape))
    return _without(ink, pieces.labels, along_border & (pieces.distances_from(main) > gap))


def without_specks(ink: Ink) -> Ink:
    """Returns the ink without its specks."""
    pieces = _pieces(ink)
    if len(pieces.amounts) <= 1:
        return ink
    main = int(pieces.amounts.argmax())
    specks = pieces.amounts < SPECK_SHARE * pieces.amounts[main]
    # Near the digit so much ink may be its own: the bar of a 5, a gap in a thin stroke.
    doubtful = ~specks & (pieces.amounts / pieces.amounts[main] < FAR_SPECK_SHARE)
    if doubtful.any():  # distances take the longest, and most pictures need none
        far = max(1.5, FAR * pieces.longer_sides[main])
        specks |= doubtful & (pieces.distances_from(main) > far)
    return _without(ink, pieces.labels, specks)


def has_several_glyphs(ink: Ink) -> bool:
    """Returns True when two pieces of similar height stand side by side, as the digits of a number do."""
    pieces = _pieces(ink)
    tall = pieces.heights >= GLYPH_HEIGHT * pieces.heights.max(initial=0)
    left, right = pieces.boxes[tall, 2], pieces.boxes[tall, 3]
    order = np.argsort(left, kind="stable")  # from left to right: each is compared with its neighbour alone
    left, right = left[order], right[order]
    narrower = np.minimum((right - left)[:-1], (right - left)[1:])
    return bool((right[:-1] - left[1:] <= GLYPH_OVERLAP * narrower).any())


def touches_border(ink: Ink) -> bool:
    """Returns True when a stroke reaches the picture's border: part of the digit may be cut off."""
    return _touches_border(ink >= 2 * STROKE)  # half of full ink: a soft edge at the border cuts nothing off


def _touches_border(strokes: Mask) -> bool:
    return bool(strokes[[0, -1]].any() or strokes[:, [0, -1]].any())


def _pieces(ink: Ink) -> _Pieces:
    """Returns the connected pieces of strokes in `ink`, (h, w)."""
    labels, count = ndimage.label(ink >= STROKE, structure=_ALL_AROUND)
    amounts = np.bincount(labels.ravel(), weights=ink.ravel(), minlength=count + 1)[1:].astype(np.float64)
    rows, columns = np.nonzero(labels)
    piece = labels[rows, columns] - 1
    boxes = np.zeros((count, 4), np.int64)
    for side, lines in ((0, rows), (2, columns)):
        boxes[:, side] = max(ink.shape)  # the start of a minimum
        np.minimum.at(boxes[:, side], piece, lines)
        np.maximum.at(boxes[:, side + 1], piece, lines + 1)
    return _Pieces(labels, amounts, boxes)


def _lie_along_border(ink: Ink, pieces: _Pieces) -> Mask:
    """Returns, (n,), True for pieces that touch the border, are long, and lie nearly wholly in the band along it."""
    height, width = ink.shape
    top, bottom, left, right = pieces.boxes.T
    touches = (top == 0) | (left == 0) | (bottom == height) | (right == width)
    is_long = pieces.longer_sides >= LINE_LENGTH * max(ink.shape)
    rows, columns = (slice(deep, -deep) for deep in (max(2, round(LINE_BAND * side)) for side in ink.shape))
    labels = pieces.labels[rows, columns].ravel()  # what lies inside the band, by piece
    inside = np.bincount(labels, weights=ink[rows, columns].ravel(), minlength=len(touches) + 1)[1:]
    return np.asarray(touches & is_long & (inside <= (1 - LINE_IN_BAND) * pieces.amounts))


def _without(ink: Ink, labels: Labels, dropped: Mask) -> Ink:
    """Returns the ink without the pieces that are `dropped`, (n,), each with its soft edge."""
    if not dropped.any():
        return ink
    # Every pixel goes with its nearest piece. The prepended False is for label 0, which is never the nearest piece's.
    nearest = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    return np.where(np.append(False, dropped)[labels[tuple(nearest)]], 0.0, ink)
