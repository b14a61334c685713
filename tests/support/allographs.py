"""Forms of digits that MNIST's writers hardly use, as pictures, drawn by another hand than those that train.

A form is lines through points of a unit square, x to the right and y downwards.
"""

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np

from tests.support.drawn_digits import Generator, Grey

PEN = (0.025, 0.09)  # its width, a share of the picture's side
FINER = 4  # times: drawn so large, and averaged
CORNERS = {"a": "tl tr", "b": "tr mr", "c": "mr br", "d": "bl br", "e": "ml bl", "f": "tl ml", "g": "ml mr"}
SEGMENTS = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg")  # of 0 to 9

Lines = Sequence[Sequence[tuple[float, float]]]


def european_one(rng: Generator) -> Lines:
    """A flag of a quarter to a half of the stem's height, 25 to 55 degrees from the vertical."""
    x, y, foot = rng.uniform(0.45, 0.65), rng.uniform(0.1, 0.16), rng.uniform(0.85, 0.92)
    angle, length = np.radians(rng.uniform(25, 55)), rng.uniform(0.2, 0.4)
    return [[(x - length * np.sin(angle), y + length * np.cos(angle)), (x, y), (x + rng.uniform(-0.12, 0.06), foot)]]


def arched_one(rng: Generator) -> Lines:
    """The same with a flag that arches up and to the left, as in many hands and some fonts."""
    [[end, top, foot]] = european_one(rng)
    across, down = top[0] - end[0], top[1] - end[1]
    bend = rng.uniform(0.1, 0.35)
    pull = ((end[0] + top[0]) / 2 + bend * down, (end[1] + top[1]) / 2 - bend * across)  # of a quadratic Bezier curve
    return [[*_bezier(end, pull, top), foot]]


def angular(digit: int, rng: Generator) -> Lines:
    """The digit of a seven-segment display, some leaning to the right."""
    left, right, middle, lean = rng.uniform(0.26, 0.36), rng.uniform(0.64, 0.74), rng.uniform(0.45, 0.55), 0.12
    heights, sides = {"t": 0.12, "m": middle, "b": 0.88}, {"l": left, "r": right}
    lean *= rng.uniform()
    places = {h + s: (x + lean * (0.5 - y), y) for h, y in heights.items() for s, x in sides.items()}
    return [[places[end] for end in CORNERS[segment].split()] for segment in SEGMENTS[digit]]


def slashed_zero(rng: Generator) -> Lines:
    """A ring with a stroke across, from the lower left to the upper right."""
    wide, high, reach = rng.uniform(0.18, 0.28), rng.uniform(0.3, 0.38), rng.uniform(0.45, 0.85)
    return [_ring(wide, high), [(0.5 - reach * wide, 0.5 + reach * high), (0.5 + reach * wide, 0.5 - reach * high)]]


def crossed_ring(rng: Generator) -> Lines:
    """A ring with an upright stroke through it that is longer than it, as the letter phi: no digit."""
    lean = rng.uniform(-0.08, 0.08)
    return [_ring(rng.uniform(0.2, 0.32), rng.uniform(0.16, 0.26)), [(0.5 + lean, 0.1), (0.5 - lean, 0.9)]]


# By name: what draws the n-th, and its label; None where it must be refused.
FORMS: Mapping[str, tuple[Callable[[int, Generator], Lines], Callable[[int], int | None]]] = {
    "european 1": (lambda _, rng: european_one(rng), lambda _: 1),
    "arched 1": (lambda _, rng: arched_one(rng), lambda _: 1),
    "angular": (lambda number, rng: angular(number % 10, rng), lambda number: number % 10),
    "slashed 0": (lambda _, rng: slashed_zero(rng), lambda _: 0),
    "crossed ring": (lambda _, rng: crossed_ring(rng), lambda _: None),
}


def picture(lines: Lines, rng: Generator) -> Grey:
    """Dark lines on white, 60 to 160 pixels a side."""
    side = int(rng.integers(60, 160))
    large = np.full((side * FINER, side * FINER), 255, np.uint8)
    width, ink = round(side * FINER * rng.uniform(*PEN)), int(rng.integers(0, 90))
    for line in lines:
        points = np.rint(np.array(line) * side * FINER).astype(np.int32)
        cv2.polylines(large, [points], isClosed=False, color=ink, thickness=width)
    drawn: Grey = cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA)
    return drawn


def _ring(wide: float, high: float) -> list[tuple[float, float]]:
    return [(0.5 + wide * np.cos(turn), 0.5 + high * np.sin(turn)) for turn in np.linspace(0, 2 * np.pi, 40)]


def _bezier(*points: tuple[float, float]) -> list[tuple[float, float]]:
    begin, pull, end = (np.array(point) for point in points)
    return [tuple((1 - s) ** 2 * begin + 2 * s * (1 - s) * pull + s**2 * end) for s in np.linspace(0, 1, 9)]
