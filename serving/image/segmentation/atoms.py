"""Groups pieces into lines, joins the parts of a digit, and cuts what may be several digits into atoms."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from serving.image.ink.components import HEIGHT, LEFT, TOP, WIDTH
from serving.image.ink.paper import Ink
from serving.image.segmentation.cuts import cuts_of
from serving.image.segmentation.pieces import Pieces, holds_others
from serving.image.segmentation.text_lines import lines_of

MAX_PIECES = 400  # of one picture: the largest. A page of noise has thousands
MOST_COVERED = 4  # times the picture's area, by the boxes of all pieces. Those of a hatched sheet lie over one another
SPECK = 0.12  # of the digit's height: what is smaller in both directions is none
TALLEST, WIDEST = 2.2, 12.0  # of the digit's height: what is larger is no piece of a line
SMALL_PART = 0.5  # of the digit's height: a smaller piece over or under a larger one is part of it
PART_OVERLAP = 0.5  # of its width that lies over or under the larger one
CUT_WIDTH = 0.7  # of the digit's height: a wider piece may be two digits
SOFT_EDGE = 2  # pixels around strokes that go with them

Path = npt.NDArray[np.int64]  # (h,): column of a cut in each row
Box = tuple[int, int, int, int]  # left, top, right, bottom; the last two lie outside


@dataclass(frozen=True, slots=True)
class Atoms:
    """Atoms of all lines, in reading order: whole pieces, or what lies between two cuts through one."""

    labels: npt.NDArray[np.uint16]  # (h, w): number of the atom, from 1; 0: none
    lines: list[int]  # line of each atom
    boxes: list[Box]
    pieces: list[int]  # number of the piece that each atom is of
    cut_inks: list[float]  # ink on the cut on each atom's left, in pixels; 0 at the start of a piece


def find_atoms(pieces: Pieces, is_one_line: bool = False) -> Atoms:
    """Returns the atoms of all lines. `is_one_line`: the caller knows that there is one line."""
    boxes, digit_height = pieces.components.boxes, pieces.digit_height
    large = boxes[:, [WIDTH, HEIGHT]].max(axis=1, initial=0) >= max(SPECK * digit_height, 2)
    large &= (boxes[:, HEIGHT] <= TALLEST * digit_height) & (boxes[:, WIDTH] <= WIDEST * digit_height)
    large &= ~holds_others(pieces.components)
    rows = np.flatnonzero(large)
    rows = rows[np.argsort(-pieces.components.areas[rows], kind="stable")[:MAX_PIECES]]
    covered = np.cumsum(boxes[rows, WIDTH].astype(np.int64) * boxes[rows, HEIGHT])
    rows = rows[covered <= MOST_COVERED * pieces.ink.size]
    numbers = lines_of(boxes[rows], digit_height)
    if is_one_line:
        numbers = np.minimum(numbers, 0)
    labels = np.zeros(pieces.ink.shape, np.uint16)
    atoms = Atoms(labels, [], [], [], [])
    wholes = [
        (line, _WholePiece(pieces, whole))
        for line in range(numbers.max(initial=-1) + 1)
        for whole in _whole_pieces(boxes, rows[numbers == line], digit_height)
    ]
    wide = [whole for _, whole in wholes if whole.width > CUT_WIDTH * digit_height]
    cuts = dict(zip(map(id, wide), cuts_of([whole.ink() for whole in wide], digit_height), strict=True))
    for line, whole in wholes:
        _add(atoms, line, whole, *cuts.get(id(whole), ((), ())))
    for _ in range(SOFT_EDGE):
        grown = cv2.dilate(labels, np.ones((3, 3), np.uint8))
        np.copyto(labels, grown, where=labels == 0)
    return atoms


def _whole_pieces(boxes: npt.NDArray[np.int32], rows: npt.NDArray[np.int64], digit_height: float) -> list[list[int]]:
    """Returns the pieces of a line from left to right, each the rows of its components: small parts are joined."""
    rows = rows[np.argsort(boxes[rows, LEFT] + boxes[rows, WIDTH] / 2, kind="stable")]
    is_part = boxes[rows, HEIGHT] < SMALL_PART * digit_height
    whole = {int(row): [int(row)] for row in rows[~is_part]}
    for row in rows[is_part]:
        left, width = int(boxes[row, LEFT]), int(boxes[row, WIDTH])
        overlaps = {
            other: min(left + width, int(boxes[other, LEFT] + boxes[other, WIDTH])) - max(left, int(boxes[other, LEFT]))
            for other in whole
        }
        most = max(overlaps, key=overlaps.__getitem__, default=None)
        if most is not None and overlaps[most] >= PART_OVERLAP * width:
            whole[most].append(int(row))
        else:
            whole[int(row)] = [int(row)]
    return [whole[row] for row in sorted(whole, key=lambda row: boxes[row, LEFT] + boxes[row, WIDTH] / 2)]


class _WholePiece:
    """Piece that is made of some components."""

    def __init__(self, pieces: Pieces, rows: list[int]) -> None:
        """`rows`: of the components."""
        boxes = pieces.components.boxes[rows]
        left, top = (int(boxes[:, side].min()) for side in (LEFT, TOP))
        right, bottom = (
            int((boxes[:, side] + boxes[:, length]).max()) for side, length in ((LEFT, WIDTH), (TOP, HEIGHT))
        )
        self.left, self.top, self.width = left, top, right - left
        self.area = (slice(top, bottom), slice(left, right))
        labels = pieces.components.labels[self.area]
        self.mask = labels == rows[0] + 1
        for row in rows[1:]:
            self.mask |= labels == row + 1
        self._pieces = pieces

    def ink(self) -> Ink:
        """Returns the ink of the piece alone, (h, w)."""
        return np.where(self.mask, self._pieces.ink[self.area], np.uint8(0))


def _add(atoms: Atoms, line: int, whole: _WholePiece, paths: Sequence[Path], inks: Sequence[float]) -> None:
    """Adds the atoms of the piece, which is cut along `paths` with this ink on them, from left to right."""
    part = np.zeros(whole.mask.shape, np.uint16)  # number of the part between cuts, from the left
    for path in paths:
        part += np.arange(whole.width)[None, :] >= path[:, None]
    piece = len(atoms.lines)
    for number in np.unique(part[whole.mask]) if len(paths) else (0,):
        inside = whole.mask & (part == number) if len(paths) else whole.mask
        x, y, width, height = cv2.boundingRect(inside.view(np.uint8))
        left, top = whole.left + x, whole.top + y
        atoms.lines.append(line)
        atoms.boxes.append((left, top, left + width, top + height))
        atoms.pieces.append(piece)
        atoms.cut_inks.append(float(inks[number - 1]) if number else 0.0)
        atoms.labels[whole.area][inside] = len(atoms.lines)
