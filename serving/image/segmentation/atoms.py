"""Groups pieces into lines, joins the parts of a digit, and cuts what may be several digits into atoms."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from serving.image.ink.components import HEIGHT, LEFT, TOP, WIDTH
from serving.image.ink.paper import Ink
from serving.image.segmentation.columns import Doubles, ReadStrips, likely_cuts
from serving.image.segmentation.cuts import Cuts, Upright, cuts_of, hand_over_stumps, numbers_of, upright_of
from serving.image.segmentation.pieces import Pieces, holds_others
from serving.image.segmentation.strips import singles_of, strip_of
from serving.image.segmentation.text_lines import lines_of

MAX_PIECES = 400  # of one picture: the largest. A page of noise has thousands
MOST_COVERED = 4  # times the picture's area, by the boxes of all pieces. Those of a hatched sheet lie over one another
SPECK = 0.12  # of the digit's height: what is smaller in both directions is none
TALLEST, WIDEST = 2.2, 12.0  # of the digit's height: what is larger is no piece of a line
SMALL_PART = 0.5  # of the digit's height: a smaller piece over or under a larger one is part of it
PART_OVERLAP = 0.5  # of its width that lies over or under the larger one
READ_HEIGHT = 0.5  # of the digit's height: pieces at least as high are shown to the column network
SOFT_EDGE = 2  # pixels around strokes that go with them

Box = tuple[int, int, int, int]  # left, top, right, bottom; the last two lie outside


@dataclass(frozen=True, slots=True)
class Atoms:
    """Atoms of all lines, in reading order: whole pieces, or what lies between two cuts through one."""

    labels: npt.NDArray[np.uint16]  # (h, w): number of the atom, from 1; 0: none
    lines: list[int]  # line of each atom
    boxes: list[Box]
    pieces: list[int]  # number of the piece that each atom is of
    cut_inks: list[float]  # ink on the cut on each atom's left, in pixels; 0 at the start of a piece
    # By number of a piece that the column network read: how likely it shows one digit between the left edges of two of
    # its atoms, or the last one's right edge, (atoms + 1, atoms + 1, 10).
    evidence: dict[int, Doubles]


def find_atoms(pieces: Pieces, read_strips: ReadStrips, is_one_line: bool = False) -> Atoms:
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
    atoms = Atoms(labels, [], [], [], [], {})
    wholes = [
        (line, _WholePiece(pieces, whole))
        for line in range(numbers.max(initial=-1) + 1)
        for whole in _whole_pieces(boxes, rows[numbers == line], digit_height)
    ]
    uprights, evidence = _read(
        [upright_of(whole.ink(), digit_height) for _, whole in wholes], READ_HEIGHT * digit_height, read_strips
    )
    for (line, whole), cuts, singles in zip(wholes, cuts_of(uprights, digit_height), evidence, strict=True):
        _add(atoms, line, whole, cuts, singles)
    for _ in range(SOFT_EDGE):
        grown = cv2.dilate(labels, np.ones((3, 3), np.uint8))
        cv2.copyTo(grown, (labels == 0).view(np.uint8), labels)
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


def _read(
    uprights: Sequence[Upright], least_height: float, read_strips: ReadStrips
) -> tuple[list[Upright], list[Doubles | None]]:
    """Returns the pieces, to be cut where the column network finds it likely, and its evidence where it read one.

    It is not shown what is lower than `least_height`: in a strip all pieces have one height, and a comma is a 1 there.
    """
    rows = [row for row, each in enumerate(uprights) if len(each.ink) >= least_height]
    strips = [strip_of(uprights[row].ink, uprights[row].columns) for row in rows]
    kept = list(uprights)
    evidence: list[Doubles | None] = [None] * len(uprights)
    for row, singles in zip(rows, singles_of(strips, read_strips), strict=False):
        is_likely = likely_cuts(singles)
        kept[row] = uprights[row].cut_at(is_likely[1:-1])
        evidence[row] = singles[is_likely][:, is_likely]
    return kept, evidence


def _add(atoms: Atoms, line: int, whole: _WholePiece, cuts: Cuts, evidence: Doubles | None) -> None:
    """Adds the atoms of the piece, from left to right."""
    piece = len(atoms.lines)
    parts = whole.mask.astype(np.uint16)  # number of the part between two cuts, from 1 at the left; 0: no ink
    for path in cuts.paths:
        parts += whole.mask & (np.arange(whole.width) >= path[:, None])
    numbers = [1]
    if len(cuts.paths):
        hand_over_stumps(parts)
        numbers = numbers_of(parts)
    if evidence is not None:
        edges = [0, *(number - 1 for number in numbers[1:]), len(evidence) - 1]
        atoms.evidence[piece] = evidence[edges][:, edges]
    for number in numbers:
        inside = parts == number
        x, y, width, height = cv2.boundingRect(inside.view(np.uint8))
        left, top = whole.left + x, whole.top + y
        atoms.lines.append(line)
        atoms.boxes.append((left, top, left + width, top + height))
        atoms.pieces.append(piece)
        atoms.cut_inks.append(float(cuts.inks[number - 2]) if number > 1 else 0.0)
        atoms.labels[whole.area][inside] = len(atoms.lines)
