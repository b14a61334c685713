"""Lines of drawn digits, and the lines, boxes and combs that forms print around them."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from tests.support.drawn_digits import DIGITS, Floats, Generator, Grey, drawn

Box = tuple[int, int, int, int]  # left, top, right, bottom; the last two lie outside


@dataclass(frozen=True, slots=True)
class Row:
    """Digits beside one another: the share of each pixel that ink covers, and each digit's box, from the left."""

    ink: Floats
    boxes: list[Box]

    @property
    def grey(self) -> Grey:
        """Picture of it: black on white."""
        return np.rint(255 * (1 - self.ink)).astype(np.uint8)


def row_of(digits: list[Grey], height: int, gap: float, rng: Generator, jitter: float = 0.0) -> Row:
    """Draws `digits` with their longer sides near `height`. `gap`, `jitter` of the baseline: shares of the height."""
    inks = [tight(drawn(digit, height * rng.uniform(0.92, 1.08), rng)) for digit in digits]
    margin = height
    ink = np.zeros((3 * height, 2 * margin + sum(each.shape[1] + round(gap * height) for each in inks)), np.float32)
    boxes, left = [], margin
    for each in inks:
        down, right = each.shape
        top = 2 * height - down + round(rng.uniform(-jitter, jitter) * height)
        area = ink[top : top + down, left : left + right]
        np.maximum(area, each, out=area)
        boxes.append((left, top, left + right, top + down))
        left += right + round(gap * height)
    return Row(ink, boxes)


def tight(ink: Floats) -> Floats:
    """Returns the ink without what is paper, or nearly so, around its strokes."""
    rows, columns = np.nonzero(ink > 0.25)
    return ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def some_digits(count: int, rng: Generator) -> list[Grey]:
    """Returns so many of the committed digits."""
    return [DIGITS[index] for index in rng.choice(len(DIGITS), count)]


def bars(shape: tuple[int, int], ends: list[tuple[float, float, float, float]], thickness: float) -> Floats:
    """Returns straight lines with soft edges, each from x, y to x, y: the share of each pixel that ink covers."""
    rows, columns = np.indices(shape, np.float32)
    ink = np.zeros(shape, np.float32)
    for x, y, to_x, to_y in ends:
        length = float(np.hypot(to_x - x, to_y - y))
        along = ((columns - x) * (to_x - x) + (rows - y) * (to_y - y)) / length
        across = np.abs((columns - x) * (to_y - y) - (rows - y) * (to_x - x)) / length
        beyond = np.maximum(np.maximum(-along, along - length), 0)
        ink = np.maximum(ink, np.clip(thickness / 2 + 0.5 - np.maximum(across, beyond), 0, 1))
    return ink


def turned(ink: Floats, degrees: float) -> Floats:
    """Returns the ink turned around its middle."""
    height, width = ink.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    result: Floats = np.clip(cv2.warpAffine(ink, turn, (width, height)), 0, 1)
    return result


def as_ink(coverage: Floats) -> npt.NDArray[np.uint8]:
    """Returns the ink, 0 = paper, 255 = full ink."""
    return np.rint(255 * coverage).astype(np.uint8)
