"""Pen strokes that are no digit: tangles, spirals, hatchings, signs. Each kind of sign is one function of the table."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from training.data.arrays import Floats
from training.synthetic.drawing import Canvas, arc, slanted

Pen = Callable[[Canvas, float, np.random.Generator], None]


def scribble(generator: np.random.Generator) -> Floats:
    """One of the signs below, with a random pen, slightly turned and slanted."""
    canvas = Canvas()
    pen = float(np.exp(generator.uniform(np.log(0.015), np.log(0.11))))
    names = list(SIGNS)
    SIGNS[names[int(generator.integers(len(names)))]](canvas, pen, generator)
    return slanted(canvas.ink(), float(generator.uniform(-12, 12)), float(generator.normal(0, 0.1)))


def _tangle(canvas: Canvas, pen: float, generator: np.random.Generator) -> None:
    """One smooth stroke that crosses itself again and again: a digit has at most a few turns."""
    knots = generator.uniform(0.08, 0.92, (int(generator.integers(9, 18)), 2))
    canvas.line(_smooth(knots), pen)


def _loose_strokes(canvas: Canvas, pen: float, generator: np.random.Generator) -> None:
    for _ in range(int(generator.integers(4, 8))):
        start = generator.uniform(0.08, 0.92, 2)
        knots = np.clip(start + np.cumsum(generator.normal(0, 0.16, (4, 2)), axis=0), 0.05, 0.95)
        canvas.line(_smooth(knots), pen)


def _zigzag(canvas: Canvas, pen: float, generator: np.random.Generator) -> None:
    """At least five strokes: fewer are a Z or an N, and so a 2."""
    count = int(generator.integers(6, 12))
    along = np.linspace(0.1, 0.9, count)
    across = np.where(np.arange(count) % 2, 0.2, 0.8) + generator.normal(0, 0.06, count)
    points = np.stack([along, across] if generator.random() < 0.5 else [across, along], axis=1)
    canvas.line(_pairs(points), pen)


def _spiral(canvas: Canvas, pen: float, generator: np.random.Generator) -> None:
    """More than two whole turns: fewer are a 6 or a 9."""
    turns = generator.uniform(2.3, 4.5)
    steps = np.linspace(0, 1, 160)
    angle = 2 * np.pi * (turns * steps + generator.random()) * generator.choice([-1, 1])
    radius = 0.42 * steps ** generator.uniform(0.7, 1.2)
    points = np.stack([0.5 + radius * np.cos(angle), 0.5 + radius * np.sin(angle)], axis=1)
    canvas.line(_pairs(points), min(pen, 0.05))


def _hatching(canvas: Canvas, pen: float, generator: np.random.Generator) -> None:
    directions = 1 if generator.random() < 0.5 else 2
    count = int(generator.integers(4, 9))
    for direction in range(directions):
        for place in np.linspace(0.12, 0.88, count):
            ends = [(place + generator.normal(0, 0.03), at + generator.normal(0, 0.04)) for at in (0.1, 0.9)]
            points = ends if direction == 0 else [(y, x) for x, y in ends]
            canvas.line(points, min(pen, 0.06))


def _cross(canvas: Canvas, pen: float, generator: np.random.Generator) -> None:
    """A plus or an x of two to four strokes through the middle."""
    count, start = int(generator.integers(2, 5)), generator.choice([0.0, 0.125])
    for number in range(count):
        angle = np.pi * (start * 2 + number / count) + generator.normal(0, 0.08)
        reach = generator.uniform(0.28, 0.42) * np.array([np.cos(angle), np.sin(angle)])
        middle = 0.5 + generator.normal(0, 0.02, 2)
        canvas.line(_pairs(np.stack([middle - reach, middle + reach])), pen)


def _barred_circle(canvas: Canvas, pen: float, generator: np.random.Generator) -> None:
    """A ring with a cross or several bars; a ring alone, or crossed once by a slant, is a 0."""
    radii = (generator.uniform(0.25, 0.42), generator.uniform(0.25, 0.42))
    canvas.line(arc((0.5, 0.5), radii, 0, 1), pen)
    for angle in generator.choice(4, size=int(generator.integers(2, 4)), replace=False) * np.pi / 4:
        reach = generator.uniform(0.6, 1.25) * np.array([radii[0] * np.cos(angle), radii[1] * np.sin(angle)])
        canvas.line(_pairs(np.stack([0.5 - reach, 0.5 + reach])), pen)


def _check_mark(canvas: Canvas, pen: float, generator: np.random.Generator) -> None:
    x, y = generator.uniform(0.3, 0.42), generator.uniform(0.68, 0.85)
    left = (generator.uniform(0.08, 0.2), generator.uniform(0.4, 0.6))
    canvas.line([left, (x, y), (generator.uniform(0.75, 0.92), generator.uniform(0.12, 0.3))], pen)


def _smiley(canvas: Canvas, pen: float, generator: np.random.Generator) -> None:
    thin = min(pen, 0.06)
    canvas.line(arc((0.5, 0.5), (0.4, 0.4), 0, 1), thin)
    for x in (0.36, 0.64):
        canvas.line(arc((x, generator.uniform(0.36, 0.44)), (0.025, 0.03), 0, 1), thin)
    mood = generator.choice([0.0, 0.5])
    canvas.line(arc((0.5, 0.62 if mood == 0 else 0.76), (0.2, 0.12), mood, mood + 0.5), thin)


def _arrow(canvas: Canvas, pen: float, generator: np.random.Generator) -> None:
    """In any direction, with a wide head: a narrow one makes a 1."""
    angle = generator.uniform(0, 2 * np.pi)
    along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    tip, tail = 0.5 + 0.4 * along, 0.5 - 0.4 * along
    back, side = generator.uniform(0.2, 0.35), generator.uniform(0.22, 0.34)
    canvas.line(_pairs(np.stack([tail, tip])), pen)
    canvas.line(_pairs(np.stack([tip - back * along + side * across, tip, tip - back * along - side * across])), pen)
    if generator.random() < 0.3:
        canvas.line(
            _pairs(np.stack([tail + back * along + side * across, tail, tail + back * along - side * across])), pen
        )


def _drawn_star(canvas: Canvas, pen: float, generator: np.random.Generator) -> None:
    """Five strokes without lifting the pen."""
    turn = generator.normal(-np.pi / 2, 0.15)
    angles = turn + 4 * np.pi / 5 * np.arange(6)
    points = np.stack([0.5 + 0.42 * np.cos(angles), 0.5 + 0.42 * np.sin(angles)], axis=1)
    canvas.line(_pairs(points + generator.normal(0, 0.015, points.shape)), min(pen, 0.06))


def _waves(canvas: Canvas, pen: float, generator: np.random.Generator) -> None:
    """Two to four wavy lines below one another, or one with many crests."""
    lines = int(generator.integers(1, 5))
    crests = generator.uniform(3, 5) if lines == 1 else generator.uniform(1, 3)
    x = np.linspace(0.08, 0.92, 60)
    for middle in np.linspace(0.2, 0.8, lines) if lines > 1 else [0.5]:
        y = middle + 0.09 * np.sin(2 * np.pi * (crests * x + generator.random()))
        canvas.line(_pairs(np.stack([x, y], axis=1)), min(pen, 0.07))


def _tally(canvas: Canvas, pen: float, generator: np.random.Generator) -> None:
    count = int(generator.integers(3, 6))
    for x in np.linspace(0.15, 0.85, count):
        canvas.line([(x + generator.normal(0, 0.02), 0.15), (x + generator.normal(0, 0.02), 0.85)], min(pen, 0.07))
    if generator.random() < 0.6:
        canvas.line([(0.05, generator.uniform(0.6, 0.8)), (0.95, generator.uniform(0.2, 0.4))], min(pen, 0.07))


def _dots(canvas: Canvas, pen: float, generator: np.random.Generator) -> None:
    for x, y in generator.uniform(0.1, 0.9, (int(generator.integers(2, 12)), 2)):
        canvas.line([(x, y), (x + 0.01, y)], max(pen, 0.05))


def _smooth(knots: npt.NDArray[np.float64]) -> list[tuple[float, float]]:
    """A Catmull-Rom curve through the knots."""
    ends = np.concatenate([knots[:1], knots, knots[-1:]])
    t = np.linspace(0, 1, 10, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(ends[:-3], ends[1:-2], ends[2:-1], ends[3:], strict=True):
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return _pairs(np.concatenate([*pieces, knots[-1:]]))


def _pairs(points: npt.NDArray[np.float64]) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in points]


SIGNS: dict[str, Pen] = {
    "tangle": _tangle,
    "loose strokes": _loose_strokes,
    "zigzag": _zigzag,
    "spiral": _spiral,
    "hatching": _hatching,
    "cross": _cross,
    "barred circle": _barred_circle,
    "check mark": _check_mark,
    "smiley": _smiley,
    "arrow": _arrow,
    "star": _drawn_star,
    "waves": _waves,
    "tally": _tally,
    "dots": _dots,
}
