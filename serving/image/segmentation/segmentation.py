"""Segments a picture into lines, pieces and candidates for digits, which the network then reads.

1. Ink is separated from paper, and ruled lines, boxes and grids are removed.
2. Connected pieces are grouped into lines. Where a piece is wide enough for two digits it is cut into atoms.
3. Each run of neighbouring atoms that is not too wide for a digit is a candidate, framed as a digit is.

Which candidates are the digits is decided by what the network says of each: serving.core.line_decoding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from serving.image.decode import decode_upright
from serving.image.framing import frame, frame_ink
from serving.image.ink.paper import Grey, Ink
from serving.image.picture import ImageLimits, Quality
from serving.image.reduction import reduced_to
from serving.image.segmentation.atoms import SOFT_EDGE, Atoms, Box, find_atoms
from serving.image.segmentation.columns import Doubles, ReadStrips
from serving.image.segmentation.cuts import without_slant
from serving.image.segmentation.pieces import find_pieces
from serving.image.segmentation.strips import singles_of, strip_of
from serving.readings import Layout

MAX_CANDIDATES = 1024  # of one picture
# Pixels; a larger picture is reduced to the first, or to the second where its digits would be lower than SMALL_DIGIT.
USUAL_SIDE, LARGEST_SIDE, SMALL_DIGIT = 1280, 2048, 22
CANDIDATE_WIDTH = 1.6  # of a digit's height: a candidate of several atoms is no wider
CANDIDATE_GAP = 0.35  # of a digit's height: atoms further apart are not one digit
WHOLE_WIDTH, WHOLE_HEIGHT = 0.35, 0.7  # of a digit's height: a piece of this size is no part of a broken digit
MOST_ATOMS = 5  # of one candidate
UNREAD = np.full(10, np.nan)  # by the column network
FEW_ATOMS = 6  # a picture with no more may be one digit, as a whole


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """Candidates for digits in one picture: n of them, at most MAX_CANDIDATES, 0 where no ink may be a digit.

    Atoms of a line are numbered from 0 in reading order. A path through a line takes candidates that cover each of its
    atoms once.
    """

    pixels: npt.NDArray[np.uint8]  # (n, 784), framed, 0 = paper, 255 = ink
    boxes: npt.NDArray[np.int32]  # (n, 4): x, y, width, height in pixels of the upright picture as sent
    spans: npt.NDArray[np.int32]  # (n, 3): line, first atom, and one past the last atom that the candidate covers
    # (n, 5): width, height and ink on the cuts at its ends, by a digit's height; number of cuts; gaps that it spans
    shapes: npt.NDArray[np.float32]
    # (n, 10): of each digit, by the column network; NaN where it did not read
    evidence: npt.NDArray[np.float32]
    width: int  # of the upright picture as sent, in pixels
    height: int
    quality: Quality


def segment(encoded: bytes, limits: ImageLimits, layout: Layout, read_strips: ReadStrips) -> Segmentation:
    """Segments the first picture of a file. Raises InvalidRequestError as decode() does."""
    upright = decode_upright(encoded, limits, LARGEST_SIDE // 2)
    return segment_grey(upright.grey, read_strips, layout, (upright.width, upright.height))


def segment_grey(
    grey: Grey, read_strips: ReadStrips, layout: Layout = Layout.AUTO, size: tuple[int, int] | None = None
) -> Segmentation:
    """Segments grey levels, (h, w) uint8. `size`: width and height of the picture as sent, if `grey` is smaller."""
    width, height = size or (grey.shape[1], grey.shape[0])
    working = reduced_to(grey, USUAL_SIDE)
    pieces = find_pieces(working)
    if pieces.digit_height < SMALL_DIGIT and max(grey.shape) > USUAL_SIDE:
        working = reduced_to(grey, LARGEST_SIDE)
        pieces = find_pieces(working)
    atoms = find_atoms(pieces, read_strips, is_one_line=layout is Layout.LINE)
    candidates = [] if layout is Layout.DIGIT else _candidates(atoms, pieces.digit_height)
    inks = [_ink_of(each, pieces.ink, atoms) for each in candidates]
    evidence = _evidence(candidates, inks, atoms, read_strips)
    framed = [frame_ink(each) for each in inks]
    quality = Quality(0) if framed else Quality.BLANK
    if layout is Layout.DIGIT or len(atoms.lines) <= FEW_ATOMS:
        whole = frame(grey)
        quality = whole.quality & ~Quality.SEVERAL_GLYPHS
        is_one = Quality.SEVERAL_GLYPHS not in whole.quality and len(set(atoms.lines)) <= 1
        if not whole.is_blank and (is_one or layout is Layout.DIGIT):
            framed.append(whole.pixels)
            candidates.append(_whole(atoms, pieces.ink))
            evidence.append(UNREAD)
        if framed:  # fine ink is lost where the whole picture is reduced to one digit
            quality &= ~Quality.BLANK
    shapes = np.array([_shape(each, atoms) for each in candidates], np.float32).reshape(-1, 5)
    shapes[:, :3] /= max(pieces.digit_height, 1.0)
    boxes = np.array([each.box for each in candidates], np.float64).reshape(-1, 4)
    boxes += np.tile([pieces.left, pieces.top], 2)
    boxes = np.rint(boxes * np.tile([width / working.shape[1], height / working.shape[0]], 2))
    boxes[:, 2:] -= boxes[:, :2]  # after rounding: both ends stay inside the picture
    starts = {line: atoms.lines.index(line) for line in set(atoms.lines)}
    spans = [
        (each.line, each.first - starts.get(each.line, 0), each.last - starts.get(each.line, 0)) for each in candidates
    ]
    return Segmentation(
        np.array(framed, np.uint8).reshape(-1, 784),
        boxes.astype(np.int32),
        np.array(spans, np.int32).reshape(-1, 3),
        shapes,
        np.array(evidence, np.float32).reshape(-1, 10),
        width,
        height,
        quality,
    )


@dataclass(frozen=True, slots=True)
class _Candidate:
    """Atoms `first` to `last` (exclusive) of a line, numbered through all lines."""

    line: int
    first: int
    last: int
    box: Box


def _whole(atoms: Atoms, ink: Ink) -> _Candidate:
    """Returns the candidate that covers all atoms; of none, the sheet."""
    if not atoms.boxes:
        return _Candidate(0, 0, 1, (0, 0, ink.shape[1], ink.shape[0]))
    left, top, right, bottom = zip(*atoms.boxes, strict=True)
    return _Candidate(0, 0, len(atoms.lines), (min(left), min(top), max(right), max(bottom)))


def _candidates(atoms: Atoms, digit_height: float) -> list[_Candidate]:
    """Returns the candidates of all lines, fewer than MAX_CANDIDATES: of runs of few atoms where there are too many."""
    found: list[_Candidate] = []
    for most in (MOST_ATOMS, 2, 1):
        found = [
            candidate for first in range(len(atoms.lines)) for candidate in _runs(atoms, first, most, digit_height)
        ]
        if len(found) < MAX_CANDIDATES:
            break
    return found[: MAX_CANDIDATES - 1]


def _runs(atoms: Atoms, first: int, most: int, digit_height: float) -> Iterator[_Candidate]:
    """Yields the candidates of at most `most` atoms that begin with atom `first`."""
    line, whole = atoms.lines[first], atoms.boxes[first]
    yield _Candidate(line, first, first + 1, whole)
    piece, others_are_whole = whole, False  # box of the piece so far; whether one before it is a digit by its size
    for last in range(first + 1, min(first + most, len(atoms.lines))):
        box = atoms.boxes[last]
        if atoms.lines[last] != line or box[0] - whole[2] > CANDIDATE_GAP * digit_height:
            return
        whole = _around(whole, box)
        if whole[2] - whole[0] > CANDIDATE_WIDTH * digit_height:
            return
        if atoms.pieces[last] == atoms.pieces[last - 1]:
            piece = _around(piece, box)
        else:
            others_are_whole |= _is_whole(piece, digit_height)
            piece = box
        if others_are_whole and _is_whole(piece, digit_height):
            return  # two digits by their size: parts of a broken digit are low or narrow
        yield _Candidate(line, first, last + 1, whole)


def _around(one: Box, other: Box) -> Box:
    return min(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2]), max(one[3], other[3])


def _is_whole(box: Box, digit_height: float) -> bool:
    return box[2] - box[0] >= WHOLE_WIDTH * digit_height and box[3] - box[1] >= WHOLE_HEIGHT * digit_height


def _shape(candidate: _Candidate, atoms: Atoms) -> tuple[float, float, float, int, int]:
    """Returns width, height and the ink on the cuts at its ends, in pixels; the number of these cuts; gaps inside."""
    left, top, right, bottom = candidate.box
    first, last, pieces = candidate.first, candidate.last, atoms.pieces
    is_cut_before = 0 < first < len(pieces) and pieces[first - 1] == pieces[first]
    is_cut_after = last < len(pieces) and pieces[last] == pieces[last - 1]
    ink = (atoms.cut_inks[first] if is_cut_before else 0.0) + (atoms.cut_inks[last] if is_cut_after else 0.0)
    gaps = max(0, len(set(pieces[first:last])) - 1)
    return right - left, bottom - top, ink, is_cut_before + is_cut_after, gaps


def _evidence(
    candidates: Sequence[_Candidate], inks: Sequence[Ink], atoms: Atoms, read_strips: ReadStrips
) -> list[Doubles]:
    """Returns the column network's probabilities of each candidate, (10,)."""
    evidence = [UNREAD] * len(candidates)
    across: list[int] = []  # candidates made of several pieces: each is a strip of its own
    for row, each in enumerate(candidates):
        piece = atoms.pieces[each.first]
        if atoms.pieces[each.last - 1] != piece:
            across.append(row)
        elif piece in atoms.evidence:
            evidence[row] = atoms.evidence[piece][each.first - piece, each.last - piece]
    strips = [strip_of(without_slant(inks[row])[0]) for row in across]
    for row, (whole, _) in zip(across, singles_of(strips, read_strips), strict=False):
        evidence[row] = whole[1]
    return evidence


def _ink_of(candidate: _Candidate, ink: Ink, atoms: Atoms) -> Ink:
    left, top, right, bottom = candidate.box
    area = (
        slice(max(top - SOFT_EDGE, 0), bottom + SOFT_EDGE),
        slice(max(left - SOFT_EDGE, 0), right + SOFT_EDGE),
    )
    inside = cv2.inRange(atoms.labels[area], candidate.first + 1, candidate.last)
    alone: Ink = cv2.bitwise_and(ink[area], inside)
    return alone
