"""The connected pieces of a picture's ink: which are specks or remnants of ruled lines, and how many glyphs are left.

1. A piece is ink that hangs together, diagonals included.
2. A remnant of a ruled line hugs one side of the picture (or several: a frame), touches it, and keeps a distance from
   the rest; the rest is large enough to be the digit.
3. A speck holds next to no ink beside the largest piece, or little and stands far off.
4. A piece goes with its soft edge: what is nearer to it than to any piece that stays.
"""

from dataclasses import dataclass
from itertools import pairwise

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
class _Piece:
    """One piece: its label, ink and box."""

    label: int
    amount: float
    rows: slice
    columns: slice

    @property
    def longer_side(self) -> int:
        return max(int(self.rows.stop - self.rows.start), int(self.columns.stop - self.columns.start))


def without_lines(ink: Ink) -> Ink:
    """The ink less the remnants of ruled lines at the picture's border, where a digit stands clear of them."""
    if min(ink.shape) < SMALLEST_RULED_SIDE or not _touches_border(ink >= STROKE):
        return ink
    labels, pieces = _pieces(ink)
    hugging = [piece for piece in pieces if _hugs_border(ink, labels, piece)]
    rest = [piece for piece in pieces if piece not in hugging]
    if not hugging or not rest or max(p.longer_side for p in rest) < SMALLEST_DIGIT * max(ink.shape):
        return ink
    main = max(rest, key=lambda piece: piece.amount)
    away = ndimage.distance_transform_edt(labels != main.label)
    gap = max(2.0, LINE_GAP * max(ink.shape))
    lines = [p.label for p in hugging if away[labels == p.label].min() > gap]
    return _without(ink, labels, lines)


def without_specks(ink: Ink) -> Ink:
    """The ink less its small pieces."""
    labels, pieces = _pieces(ink)
    if len(pieces) <= 1:
        return ink
    main = max(pieces, key=lambda piece: piece.amount)
    specks = [p.label for p in pieces if p.amount < SPECK_SHARE * main.amount]
    doubtful = [p for p in pieces if SPECK_SHARE <= p.amount / main.amount < FAR_SPECK_SHARE]
    if doubtful:
        away = ndimage.distance_transform_edt(labels != main.label)
        far = max(1.5, FAR * main.longer_side)
        specks += [p.label for p in doubtful if away[labels == p.label].min() > far]
    return _without(ink, labels, specks)


def has_several_glyphs(ink: Ink) -> bool:
    """True when two pieces of similar height stand side by side, as digits of a number do."""
    pieces = _pieces(ink)[1]
    tallest = max((p.rows.stop - p.rows.start for p in pieces), default=0)
    tall = sorted(
        (p.columns for p in pieces if p.rows.stop - p.rows.start >= GLYPH_HEIGHT * tallest), key=lambda c: c.start
    )
    return any(
        left.stop - right.start <= GLYPH_OVERLAP * min(left.stop - left.start, right.stop - right.start)
        for left, right in pairwise(tall)
    )


def touches_border(ink: Ink) -> bool:
    """True when a stroke reaches the picture's border: some of the digit may be cut off."""
    return _touches_border(ink >= 2 * STROKE)


def _touches_border(strokes: Mask) -> bool:
    return bool(strokes[[0, -1]].any() or strokes[:, [0, -1]].any())


def _pieces(ink: Ink) -> tuple[Labels, list[_Piece]]:
    labels, count = ndimage.label(ink >= STROKE, structure=_ALL_AROUND)
    amounts = np.bincount(labels.ravel(), weights=ink.ravel(), minlength=count + 1)
    boxes = ndimage.find_objects(labels)
    return labels, [_Piece(i + 1, float(amounts[i + 1]), *box) for i, box in enumerate(boxes)]


def _hugs_border(ink: Ink, labels: Labels, piece: _Piece) -> bool:
    """True when the piece touches the border, is long, and lies nearly all within one band along it."""
    height, width = ink.shape
    if not (
        piece.rows.start == 0 or piece.columns.start == 0 or piece.rows.stop == height or piece.columns.stop == width
    ):
        return False
    if piece.longer_side < LINE_LENGTH * max(ink.shape):
        return False
    deep = [max(2, round(LINE_BAND * side)) for side in ink.shape]
    inner = (labels == piece.label)[deep[0] : height - deep[0], deep[1] : width - deep[1]]
    inside = float(ink[deep[0] : height - deep[0], deep[1] : width - deep[1]][inner].sum())
    return inside <= (1 - LINE_IN_BAND) * piece.amount


def _without(ink: Ink, labels: Labels, dropped: list[int]) -> Ink:
    if not dropped:
        return ink
    nearest = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    return np.where(np.isin(labels[tuple(nearest)], dropped), 0.0, ink)
