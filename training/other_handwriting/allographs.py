"""Forms that MNIST's writers hardly use, drawn as strokes: the European 1, angular digits, the slashed 0.

A ring with an upright stroke through it, which is no digit, is there so that it is not taken for a slashed 0.
Each form is drawn in a unit square, x to the right and y downwards, and fills its height.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from training.data.arrays import CLASSES, NOT_A_DIGIT, Floats
from training.other_handwriting.pen import Pen, curved
from training.synthetic.placing import exposed

DRAWINGS: Mapping[str, int] = MappingProxyType(
    {"european 1": 2_000, "angular": 1_000, "slashed 0": 200, "crossed": 200}
)
_THICKEST = 18  # of 280 pixels: thicker, a 1 and its flag run together, and trousers are read as 1
_RING = np.linspace(0, 2 * np.pi, 25)
# Segments of a seven-segment display: a at the top, then clockwise b to f, g in the middle. A 6 without a, a 9 without
# d and a 7 with f are as common as those with and without.
_SEGMENTS: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        0: ("abcdef",),
        1: ("bc",),
        2: ("abged",),
        3: ("abgcd",),
        4: ("fgbc",),
        5: ("afgcd",),
        6: ("afgedc", "fgedc"),
        7: ("abc", "fabc"),
        8: ("abcdefg",),
        9: ("abcdfg", "abcfg"),
    }
)

Strokes = Sequence[Floats]  # (k, 2) each: x and y in 0..1


def allograph_pictures(
    drawings: Mapping[str, int], generator: np.random.Generator
) -> Iterator[tuple[npt.NDArray[np.uint8], int]]:
    """Pictures (96, 96) uint8 of any polarity and their labels, 0..9 or NOT_A_DIGIT: so many of each form's name."""
    for name, count in drawings.items():
        for number in range(count):
            strokes, label = form(name, number, generator)
            size = np.float32(generator.uniform(0.5, 0.75))
            corner = generator.uniform(0.1, 0.9 - size, 2).astype(np.float32)
            pen = Pen.random(generator)
            pen = replace(pen, width=min(pen.width, _THICKEST))
            ink = [pen.stroke(each * size + corner, generator) for each in strokes]
            yield exposed(np.max(ink, axis=0), generator), label


def form(name: str, number: int, generator: np.random.Generator) -> tuple[Strokes, int]:
    """The strokes of one form of `DRAWINGS`, and its label; angular digits are 0 to 9 by turns of `number`."""
    if name == "european 1":
        return european_one(generator), 1
    if name == "angular":
        return angular(number % CLASSES, generator), number % CLASSES
    if name == "slashed 0":
        return slashed_zero(generator), 0
    return crossed_ring(generator), NOT_A_DIGIT


def european_one(generator: np.random.Generator) -> Strokes:
    """A flag up to the top, straight or arched, and the stem.

    The flag of a 1 is 25 to 55 degrees from the vertical, where the bar of a 7 lies flatter; a short one, as in print,
    up to 75.
    """
    top = np.array([generator.uniform(0.45, 0.65), 0])
    foot = np.array([top[0] + generator.uniform(-0.15, 0.08), 1])
    length = generator.uniform(0.15, 0.65)
    angle = np.radians(generator.uniform(25, np.interp(length, [0.2, 0.4], [75, 55])))
    flag = top + length * np.array([-np.sin(angle), np.cos(angle)])
    way = [flag, top, foot]
    if generator.random() < 0.5:
        arch = length * generator.uniform(0.05, 0.25) * np.array([-np.cos(angle), -np.sin(angle)])
        way = [*curved(np.array([flag, (flag + top) / 2 + arch, top], np.float32)), foot]
    if generator.random() < 0.15:
        serif = np.array([generator.uniform(0.15, 0.3), 0])
        return _strokes(way, [foot - serif, foot + serif])
    return _strokes(way)


def angular(digit: int, generator: np.random.Generator) -> Strokes:
    """A digit of straight strokes between six corners, as displays show it; half of them end short of the corners."""
    half, middle = generator.uniform(0.15, 0.4), generator.uniform(0.4, 0.6)
    lean = generator.uniform(-0.03, 0.12)
    corners = np.array([(side, height) for height in (0, middle, 1) for side in (0.5 - half, 0.5 + half)])
    corners[:, 0] += lean * (0.5 - corners[:, 1])
    corners += generator.normal(0, 0.015, corners.shape)
    ends = {"a": (0, 1), "b": (1, 3), "c": (3, 5), "d": (4, 5), "e": (2, 4), "f": (0, 2), "g": (2, 3)}
    gap = generator.uniform(0.1, 0.2) if generator.random() < 0.5 else 0.0  # of a stroke, at each end
    forms = _SEGMENTS[digit]
    strokes = []
    for segment in forms[int(generator.integers(len(forms)))]:
        begin, end = corners[list(ends[segment])]
        short = gap * (end - begin)
        strokes.append([begin + short, end - short])
    return _strokes(*strokes)


def slashed_zero(generator: np.random.Generator) -> Strokes:
    """An upright ring, and a stroke through it from the lower left to the upper right, within it or beyond."""
    width, reach = generator.uniform(0.2, 0.35), generator.uniform(0.45, 0.94)
    slash = np.array([width, -0.5]) * reach
    return _strokes(_ring(width, 0.5, generator), [0.5 - slash, 0.5 + slash])


def crossed_ring(generator: np.random.Generator) -> Strokes:
    """A ring crossed by an upright stroke that is longer than it, as in the letter phi."""
    lean = generator.uniform(-0.1, 0.1)
    ring = _ring(generator.uniform(0.2, 0.4), generator.uniform(0.18, 0.33), generator)
    return _strokes(ring, [(0.5 + lean, 0), (0.5 - lean, 1)])


def _ring(half_width: float, half_height: float, generator: np.random.Generator) -> Floats:
    """An ellipse around the middle; its ends miss one another by a little, as a hand's do."""
    turn = generator.uniform(0, 2 * np.pi) + _RING * generator.uniform(0.96, 1.04)
    ring: Floats = 0.5 + np.stack([half_width * np.cos(turn), half_height * np.sin(turn)], axis=1).astype(np.float32)
    return ring


def _strokes(*ways: npt.ArrayLike) -> Strokes:
    return [np.asarray(way, np.float32) for way in ways]
