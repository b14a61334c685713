"""Segments a picture into lines, pieces and candidates for digits, which the network then reads in one batch.

1. Ink is separated from paper, and ruled lines, boxes and grids are removed.
2. Connected pieces are grouped into lines. Where a piece is wide enough for two digits it is cut into atoms.
3. Each run of neighbouring atoms that is not too wide for a digit is a candidate, framed as a digit is.

Which candidates are the digits is decided by what the network says of each: serving.core.line_decoding.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from serving.image.components import HEIGHT, LEFT, TOP, WIDTH, Components, components_of, without
from serving.image.cuts import cuts_of
from serving.image.decode import decode_upright
from serving.image.framing import frame, frame_ink
from serving.image.paper import Grey, Ink, ink_on_paper
from serving.image.picture import ImageLimits, Quality
from serving.image.polarity import is_paper_light
from serving.image.reduction import reduced_to
from serving.image.ruling import without_ruling
from serving.image.sheet import find_sheet
from serving.image.text_lines import lines_of
from serving.readings import Layout

MAX_CANDIDATES = 1024  # of one picture
MAX_PIECES = 400  # of one picture: the largest. A page of noise has thousands
LARGEST_SIDE = 2048  # pixels; a larger picture is reduced. An A4 page at 150 dpi has 1,754
LOOK_SIDE = 320  # pixels a side at which polarity and the sheet are looked for
SMALLEST_WINDOW, WINDOW = 48, 0.08  # pixels, and of the longer side: ink is narrower
WIDEST_WINDOW = 0.6  # of the shorter side
SMALLEST_DIGIT = 6  # pixels of height
SPECK = 0.12  # of the digit's height: what is smaller in both directions is none
TALLEST, WIDEST = 2.2, 12.0  # of the digit's height: what is larger is no piece of a line
FRAME_FILL = 0.35  # of its box: what fills less and holds other pieces is a box drawn around them
FRAME_DEPTH, FRAME_INSIDE = 0.15, 0.1  # of its sides, and of its ink that may lie deeper than that
SMALL_PART = 0.5  # of the digit's height: a smaller piece over or under a larger one is part of it
PART_OVERLAP = 0.5  # of its width that lies over or under the larger one
CUT_WIDTH = 0.6  # of the digit's height: a wider piece may be two digits
CANDIDATE_WIDTH = 1.6  # of the digit's height: a candidate of several atoms is no wider
CANDIDATE_GAP = 0.35  # of the digit's height: atoms further apart are not one digit
MOST_ATOMS = 5  # of one candidate
FEW_ATOMS = 6  # a picture with no more may be one digit, as a whole


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """Candidates for digits in one picture: n of them, at most MAX_CANDIDATES, 0 for a blank picture.

    Atoms of a line are numbered from 0 in reading order. A path through a line takes candidates that cover each of its
    atoms once.
    """

    pixels: npt.NDArray[np.uint8]  # (n, 784), framed, 0 = paper, 255 = ink
    boxes: npt.NDArray[np.int32]  # (n, 4): x, y, width, height in pixels of the upright picture as sent
    spans: npt.NDArray[np.int32]  # (n, 3): line, first atom, and one past the last atom that the candidate covers
    # (n, 5): width, height and the ink on the cuts at its ends, by a digit's height; number of cuts; gaps that it spans.
    shapes: npt.NDArray[np.float32]
    width: int  # of the upright picture as sent, in pixels
    height: int
    quality: Quality


@dataclass(frozen=True, slots=True)
class _Atoms:
    """Atoms of all lines, in reading order."""

    labels: npt.NDArray[np.uint16]  # (h, w): number of the atom, from 1; 0: none
    lines: list[int]  # line of each atom
    boxes: list[tuple[int, int, int, int]]  # left, top, right, bottom
    pieces: list[int]  # number of the piece that each atom is of
    cut_inks: list[float]  # ink on the cut on each atom's left, in pixels; 0 at the start of a piece


def segment(encoded: bytes, limits: ImageLimits, layout: Layout) -> Segmentation:
    """Segments the first picture of a file. Raises InvalidRequestError as decode() does."""
    upright = decode_upright(encoded, limits, LARGEST_SIDE // 2)
    return segment_grey(upright.grey, layout, (upright.width, upright.height))


def segment_grey(grey: Grey, layout: Layout = Layout.AUTO, size: tuple[int, int] | None = None) -> Segmentation:
    """Segments grey levels, (h, w) uint8. `size`: width and height of the picture as sent, if `grey` is smaller."""
    width, height = size or grey.shape[::-1]
    working = reduced_to(grey, LARGEST_SIDE)
    left, top, working = _on_sheet(working)
    ink, components, digit_height = _pieces(working)
    atoms = _atoms(ink, components, digit_height, layout)
    scale = np.array([width, height, width, height]) / np.tile(reduced_to(grey, LARGEST_SIDE).shape[::-1], 2)
    candidates = _candidates(atoms, digit_height)
    framed = [frame_ink(_candidate_ink(ink, atoms, first, last, box)) for _, first, last, box in candidates]
    starts = {line: atoms.lines.index(line) for line in set(atoms.lines)}
    spans = [(line, first - starts[line], last - starts[line]) for line, first, last, _ in candidates]
    boxes = [box for *_, box in candidates]
    quality = Quality(0)
    if layout is Layout.DIGIT or len(atoms.lines) <= FEW_ATOMS:
        whole = frame(grey)
        quality = whole.quality & ~Quality.SEVERAL_GLYPHS
        is_one = layout is Layout.DIGIT or (Quality.SEVERAL_GLYPHS not in whole.quality and len(starts) <= 1)
        if not whole.is_blank and is_one:
            if layout is Layout.DIGIT:
                framed, spans, boxes, candidates = [], [], [], []
            framed.append(whole.pixels)
            spans.append((0, 0, max(1, len(atoms.lines)) if layout is not Layout.DIGIT else 1))
            boxes.append(_around(atoms.boxes) if atoms.boxes else (0, 0, working.shape[1], working.shape[0]))
    elif not framed:
        quality = Quality.BLANK
    placed = np.array(boxes, np.float64).reshape(-1, 4)
    placed[:, 2:] -= placed[:, :2]
    shapes = np.zeros((len(boxes), 5), np.float32)
    shapes[:, :2] = placed[:, 2:]
    if candidates:
        shapes[: len(candidates), 2:] = [_ends_and_gaps(atoms, first, last) for _, first, last, _ in candidates]
    shapes[:, :3] /= max(digit_height, 1.0)
    placed[:, 0] += left
    placed[:, 1] += top
    return Segmentation(
        np.array(framed, np.uint8).reshape(-1, 784),
        np.rint(placed * scale).astype(np.int32),
        np.array(spans, np.int32).reshape(-1, 3),
        shapes,
        width,
        height,
        quality,
    )


def _on_sheet(grey: Grey) -> tuple[int, int, Grey]:
    """Returns the sheet that the writing is on, cut out, and where its left and top lie in `grey`."""
    small = reduced_to(grey, LOOK_SIDE)
    box = find_sheet(small)
    if box is None:
        return 0, 0, grey
    scale = grey.shape[1] / small.shape[1]
    left, top, width, height = (round(value * scale) for value in box)
    return left, top, grey[top : top + height, left : left + width]


def _pieces(grey: Grey) -> tuple[Ink, Components, float]:
    """Returns the ink without ruling, its pieces, and the height that digits have, in pixels."""
    shorter, longer = sorted(grey.shape)
    window = min(WIDEST_WINDOW, max(SMALLEST_WINDOW, WINDOW * longer) / max(shorter, 1))
    inked = None
    if grey.min() < grey.max():
        is_light = is_paper_light(reduced_to(grey, LOOK_SIDE))
        inked = ink_on_paper(grey, is_light, window)
    ink = np.zeros_like(grey) if inked is None else inked.ink
    components = components_of(ink)
    digit_height = _digit_height(components, grey)
    ink = without_ruling(without(ink, components, _holds_others(components)), digit_height)
    components = components_of(ink)
    digit_height = _digit_height(components, grey)
    return ink, components, digit_height


def _digit_height(components: Components, grey: Grey) -> float:
    """Returns the height that most of the larger pieces have; of none, a guess by the picture's height."""
    boxes = components.boxes
    heights = boxes[:, HEIGHT]
    usual = (heights >= SMALLEST_DIGIT) & (boxes[:, WIDTH] <= 3 * heights) & (heights < 0.98 * grey.shape[0])
    usual &= components.areas < 0.9 * boxes[:, WIDTH] * heights
    usual |= (heights >= SMALLEST_DIGIT) & (boxes[:, WIDTH] < 0.4 * heights)
    usual &= ~_holds_others(components)
    if not usual.any():
        return 0.4 * min(grey.shape)
    heights = heights[usual]
    # Specks are many and small: each piece weighs as much as it is high.
    order = np.argsort(heights)
    weights = heights[order].astype(np.float64).cumsum()
    return float(heights[order][np.searchsorted(weights, weights[-1] / 2)])


def _holds_others(components: Components) -> npt.NDArray[np.bool_]:
    """Returns True for pieces, (n,), that are boxes drawn around others: hollow, with a larger piece inside."""
    boxes = components.boxes
    hollow = np.flatnonzero(
        (components.areas < FRAME_FILL * boxes[:, WIDTH] * boxes[:, HEIGHT]) & (boxes[:, HEIGHT] > 2 * SMALLEST_DIGIT)
    )
    holds = np.zeros(len(components), np.bool_)
    for row in hollow[:MAX_PIECES]:
        left, top, width, height = boxes[row].tolist()
        inside = (boxes[:, LEFT] > left) & (boxes[:, TOP] > top)
        inside &= (boxes[:, LEFT] + boxes[:, WIDTH] < left + width) & (boxes[:, TOP] + boxes[:, HEIGHT] < top + height)
        if (inside & (boxes[:, HEIGHT] > 0.4 * height)).any():
            across, down = max(2, round(FRAME_DEPTH * width)), max(2, round(FRAME_DEPTH * height))
            inner = components.labels[top + down : top + height - down, left + across : left + width - across]
            holds[row] = np.count_nonzero(inner == row + 1) < FRAME_INSIDE * components.areas[row]
    return holds


def _atoms(ink: Ink, components: Components, digit_height: float, layout: Layout) -> _Atoms:
    boxes = components.boxes
    large = boxes[:, [WIDTH, HEIGHT]].max(axis=1, initial=0) >= max(SPECK * digit_height, 2)
    large &= (boxes[:, HEIGHT] <= TALLEST * digit_height) & (boxes[:, WIDTH] <= WIDEST * digit_height)
    large &= ~_holds_others(components)
    rows = np.flatnonzero(large)
    rows = rows[np.argsort(-components.areas[rows], kind="stable")[:MAX_PIECES]]
    numbers = lines_of(boxes[rows], digit_height)
    if layout is Layout.LINE:
        numbers = np.minimum(numbers, 0)
    labels = np.zeros(ink.shape, np.uint16)
    atoms = _Atoms(labels, [], [], [], [])
    for line in range(numbers.max(initial=-1) + 1):
        for piece in _whole_pieces(boxes, rows[numbers == line], digit_height):
            _add(atoms, line, ink, components, piece, digit_height)
    # A soft edge goes with the stroke that it lies at.
    for _ in range(2):
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


def _add(
    atoms: _Atoms, line: int, ink: Ink, components: Components, piece: list[int], digit_height: float
) -> None:
    """Adds the atoms of a piece, from left to right."""
    boxes = components.boxes[piece]
    left, top = int(boxes[:, LEFT].min()), int(boxes[:, TOP].min())
    right, bottom = int((boxes[:, LEFT] + boxes[:, WIDTH]).max()), int((boxes[:, TOP] + boxes[:, HEIGHT]).max())
    found = components.labels[top:bottom, left:right]
    mask = np.isin(found, np.array(piece) + 1)
    number = np.zeros(mask.shape, np.uint16)
    inks = np.zeros(0, np.float32)
    if right - left > CUT_WIDTH * digit_height:
        paths, inks = cuts_of(np.where(mask, ink[top:bottom, left:right], 0).astype(np.uint8), digit_height)
        for path in paths:
            number += np.arange(right - left)[None, :] >= path[:, None]
    labels = atoms.labels[top:bottom, left:right]
    number_of_piece = len(atoms.lines)
    for part in np.unique(number[mask]):
        inside = mask & (number == part)
        x, y, width, height = cv2.boundingRect(inside.astype(np.uint8))
        atoms.lines.append(line)
        atoms.pieces.append(number_of_piece)
        atoms.cut_inks.append(float(inks[part - 1]) if part else 0.0)
        atoms.boxes.append((left + x, top + y, left + x + width, top + y + height))
        labels[inside] = len(atoms.lines)


def _candidates(atoms: _Atoms, digit_height: float) -> list[tuple[int, int, int, tuple[int, int, int, int]]]:
    """Returns (line, first atom, one past the last atom, box) of each candidate, at most MAX_CANDIDATES.

    Atoms are numbered through all lines. Box: left, top, right, bottom.
    """
    count = len(atoms.lines)
    found = []
    for most in (MOST_ATOMS, 2, 1):
        found = []
        for first in range(count):
            left, top, right, bottom = atoms.boxes[first]
            for last in range(first, min(first + most, count)):
                if atoms.lines[last] != atoms.lines[first]:
                    break
                box = atoms.boxes[last]
                if last > first and box[0] - right > CANDIDATE_GAP * digit_height:
                    break
                left, top, right, bottom = min(left, box[0]), min(top, box[1]), max(right, box[2]), max(bottom, box[3])
                if last > first and right - left > CANDIDATE_WIDTH * digit_height:
                    break
                found.append((atoms.lines[first], first, last + 1, (left, top, right, bottom)))
        if len(found) < MAX_CANDIDATES:
            break
    return found[: MAX_CANDIDATES - 1]


def _ends_and_gaps(atoms: _Atoms, first: int, last: int) -> tuple[float, int, int]:
    """Returns of a candidate the ink on the cuts at its ends, in pixels, their number, and the gaps that it spans."""
    pieces = atoms.pieces
    is_cut_before = first > 0 and pieces[first - 1] == pieces[first]
    is_cut_after = last < len(pieces) and pieces[last] == pieces[last - 1]
    ink = (atoms.cut_inks[first] if is_cut_before else 0.0) + (atoms.cut_inks[last] if is_cut_after else 0.0)
    return ink, is_cut_before + is_cut_after, len(set(pieces[first:last])) - 1


def _candidate_ink(ink: Ink, atoms: _Atoms, first: int, last: int, box: tuple[int, int, int, int]) -> Ink:
    left, top, right, bottom = max(box[0] - 2, 0), max(box[1] - 2, 0), box[2] + 2, box[3] + 2
    labels = atoms.labels[top:bottom, left:right]
    inside = cv2.inRange(labels, first + 1, last)
    return cv2.bitwise_and(ink[top:bottom, left:right], inside)


def _around(boxes: list[tuple[int, int, int, int]]) -> tuple[int, int, int, int]:
    left, top, right, bottom = zip(*boxes, strict=True)
    return min(left), min(top), max(right), max(bottom)
