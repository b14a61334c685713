"""Finds the pieces of ink that may be digits: without the paper, ruled lines, and boxes drawn around them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serving.image.ink.components import HEIGHT, LEFT, TOP, WIDTH, Components, components_of, without
from serving.image.ink.paper import Grey, Ink, ink_on_paper
from serving.image.ink.polarity import is_paper_light
from serving.image.ink.sheet import find_sheet
from serving.image.reduction import reduced_to
from serving.image.segmentation.ruling import without_ruling

LOOK_SIDE = 320  # pixels a side at which polarity and the sheet are looked for
SMALLEST_WINDOW, WINDOW = 48, 0.08  # pixels, and of the longer side: ink is narrower
WIDEST_WINDOW = 0.6  # of the shorter side
SMALLEST_DIGIT = 6  # pixels of height
SLIMMEST = 0.4  # width by height of a piece that is a 1, whatever it fills
WIDEST, FULLEST = 3.0, 0.9  # width by height, and of its box, of a piece that tells the height of digits
GUESS = 0.4  # of the picture's shorter side: a digit's height where no piece tells it
FRAME_FILL = 0.35  # of its box: what fills less and holds other pieces is a box drawn around them
FRAME_DEPTH, FRAME_INSIDE = 0.15, 0.1  # of its sides, and of its ink that may lie deeper than that
HELD = 0.4  # of a box's height: height of what it holds, at least
MOST_FRAMES = 400  # that are looked at


@dataclass(frozen=True, slots=True)
class Pieces:
    """Pieces of ink, (h, w) uint8, of the part of a picture at `left` and `top`; in pixels."""

    ink: Ink
    components: Components
    digit_height: float  # that digits have in this picture
    left: int
    top: int


def find_pieces(grey: Grey) -> Pieces:
    """Returns the pieces of ink in `grey`, (h, w) uint8."""
    left, top, sheet = _on_sheet(grey)
    ink = ink_of(sheet)
    components = components_of(ink)
    digit_height = _digit_height(components, sheet)
    clean = without_ruling(without(ink, components, holds_others(components)), digit_height)
    if clean is not ink:  # boxes and lines were taken for digits
        components = components_of(clean)
        digit_height = _digit_height(components, sheet)
    return Pieces(clean, components, digit_height, left, top)


def _on_sheet(grey: Grey) -> tuple[int, int, Grey]:
    """Returns the sheet that the writing is on, cut out, and where its left and top lie in `grey`."""
    small = reduced_to(grey, LOOK_SIDE)
    box = find_sheet(small)
    if box is None:
        return 0, 0, grey
    scale = grey.shape[1] / small.shape[1]
    left, top, width, height = (round(value * scale) for value in box)
    return left, top, grey[top : top + height, left : left + width]


def ink_of(grey: Grey) -> Ink:
    """Returns the ink of a sheet, (h, w) uint8, ruled lines included; all 0 where nothing stands out."""
    shorter, longer = sorted(grey.shape)
    window = min(WIDEST_WINDOW, max(SMALLEST_WINDOW, WINDOW * longer) / max(shorter, 1))
    inked = None
    if grey.min() < grey.max():
        inked = ink_on_paper(grey, is_paper_light(reduced_to(grey, LOOK_SIDE)), window)
    return np.zeros_like(grey) if inked is None else inked.ink


def _digit_height(components: Components, grey: Grey) -> float:
    """Returns the height that most of the larger pieces have; of none, a guess by the picture's height."""
    boxes = components.boxes
    heights = boxes[:, HEIGHT]
    usual = (heights >= SMALLEST_DIGIT) & (boxes[:, WIDTH] <= WIDEST * heights) & (heights < 0.98 * grey.shape[0])
    usual &= components.areas < FULLEST * boxes[:, WIDTH] * heights
    usual |= (heights >= SMALLEST_DIGIT) & (boxes[:, WIDTH] < SLIMMEST * heights)
    usual &= ~holds_others(components)
    if not usual.any():
        return float(GUESS * min(grey.shape))
    heights = heights[usual]
    # Specks are many and small: each piece weighs as much as it is high.
    order = np.sort(heights)
    weights = order.astype(np.float64).cumsum()
    return float(order[int(weights.searchsorted(weights[-1] / 2))])


def holds_others(components: Components) -> npt.NDArray[np.bool_]:
    """Returns True for pieces, (n,), that are boxes drawn around others: hollow, with a larger piece inside."""
    boxes = components.boxes
    hollow = np.flatnonzero(
        (components.areas < FRAME_FILL * boxes[:, WIDTH] * boxes[:, HEIGHT]) & (boxes[:, HEIGHT] > 2 * SMALLEST_DIGIT)
    )
    holds = np.zeros(len(components), np.bool_)
    for row in hollow[:MOST_FRAMES]:
        left, top, width, height = boxes[row].tolist()
        inside = (boxes[:, LEFT] > left) & (boxes[:, TOP] > top)
        inside &= (boxes[:, LEFT] + boxes[:, WIDTH] < left + width) & (boxes[:, TOP] + boxes[:, HEIGHT] < top + height)
        if (inside & (boxes[:, HEIGHT] > HELD * height)).any():
            across, down = max(2, round(FRAME_DEPTH * width)), max(2, round(FRAME_DEPTH * height))
            inner = components.labels[top + down : top + height - down, left + across : left + width - across]
            holds[row] = np.count_nonzero(inner == row + 1) < FRAME_INSIDE * components.areas[row]
    return holds
