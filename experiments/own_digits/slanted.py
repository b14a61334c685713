"""Strongly slanted handwriting, as in old registers: digits of a tablet's writers, each with a slant and a pen.

The digits are the held-out pen digits, which train nothing. Writers' rows follow one another, but the file does not say
where one begins: five blocks of rows stand for five writers, and one person may be in two of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from training.data.arrays import Floats
from training.data.other_handwriting.pen_digits import PenDigits, load_pen_digits
from training.other_handwriting.pen import Pen, curved
from training.other_handwriting.sets import Picture
from training.synthetic.placing import exposed

WRITERS = 5
LEARNED = (0, 1, 2)  # writers whose pictures are given to `adapt`; the others are fresh
_SEED = 20261129
_LEAST_SLANT, _MOST_SLANT = 0.7, 1.1  # horizontal over vertical: 35 to 48 degrees


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture, grey levels of any polarity; its digit, and who wrote it, counted from 0."""

    picture: Picture
    digit: int
    writer: int


def slanted_digits(digits: PenDigits | None = None) -> Iterator[Drawn]:
    """All held-out pen digits, once each; the same on every call.

    Raises:
        DataError: the committed file is damaged.
    """
    digits = digits or load_pen_digits().split()[1]
    points = digits.points.astype(np.float32) / np.float32(100) - np.float32(0.5)
    points[..., 1] *= -1
    writers = np.arange(len(points)) * WRITERS // len(points)
    for writer in range(WRITERS):
        generator = np.random.default_rng([_SEED, writer])
        slant, width = generator.uniform(_LEAST_SLANT, _MOST_SLANT), generator.uniform(5, 14)
        for row in np.flatnonzero(writers == writer):
            way = curved(points[row]) if generator.random() < 0.5 else points[row]
            own = slant + generator.normal(0, 0.07)
            pen = Pen(width * generator.uniform(0.85, 1.15), generator.uniform(0, 0.4), generator.uniform(2, 9))
            ink = pen.stroke(_placed(np.stack([way[:, 0] - own * way[:, 1], way[:, 1]], 1), generator), generator)
            yield Drawn(exposed(ink, generator), int(digits.labels[row]), writer)


def _placed(way: Floats, generator: np.random.Generator) -> Floats:
    """A way (k, 2) of any size, somewhere on the sheet, half to three quarters as large."""
    way = (way - way.min(axis=0)) / np.float32(max(np.ptp(way, axis=0).max(), 1e-6))
    size = generator.uniform(0.5, 0.75)
    corner = generator.uniform(0.08, 0.92 - size, 2)
    placed: Floats = (way * size + corner).astype(np.float32)
    return placed
