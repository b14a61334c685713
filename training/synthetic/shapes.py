"""Geometric shapes, filled and outlined. A ring, an upright box and an upright bar are left out: they read as 0, 1."""

import numpy as np

from training.data.arrays import Floats
from training.synthetic.drawing import Canvas, arc, slanted

Outline = list[tuple[float, float]]


def shape(generator: np.random.Generator) -> Floats:
    """One shape, or two that overlap or stand in one another."""
    canvas = Canvas()
    filled = generator.random() < 0.55
    if filled:
        if generator.random() < 0.75:
            canvas.polygon(_filled_outline(generator))
        else:  # with a jagged hole, and not round: that would make a 0
            canvas.polygon(_open_outline(generator))
            hole = _star(generator) if generator.random() < 0.5 else _plus(generator)
            canvas.polygon(_moved(hole, 0.5, generator), level=0)
    else:
        pen = float(generator.uniform(0.02, 0.1))
        outline = _open_outline(generator)
        canvas.line([*outline, outline[0]], pen)
        if generator.random() < 0.4:
            inner = _moved(_open_outline(generator), generator.uniform(0.35, 0.6), generator)
            canvas.line([*inner, inner[0]], pen)
    return slanted(canvas.ink(), float(generator.uniform(-20, 20)), float(generator.normal(0, 0.1)))


def _filled_outline(generator: np.random.Generator) -> Outline:
    kind = int(generator.integers(9))
    if kind == 0:
        return arc((0.5, 0.5), (float(generator.uniform(0.25, 0.45)), float(generator.uniform(0.25, 0.45))), 0, 1)
    if kind == 1:
        return _box(generator)
    if kind == 2:
        return _star(generator)
    if kind == 3:
        return _crescent(generator)
    if kind == 4:
        return _heart()
    if kind == 5:
        return _plus(generator)
    if kind == 6:
        return arc((0.5, 0.5), (0.42, 0.42), 0.1, 0.1 + float(generator.uniform(0.5, 0.8)))
    return _polygon(int(generator.integers(3, 7)), generator)


def _open_outline(generator: np.random.Generator) -> Outline:
    """An outline that is no 0: corners few and sharp, or wider than high."""
    kind = int(generator.integers(6))
    if kind == 0:
        return _box(generator)
    if kind == 1:
        return _star(generator)
    if kind == 2:
        return _heart()
    if kind == 3:
        return _plus(generator)
    if kind == 4:
        return _crescent(generator)
    return _polygon(3, generator)


def _polygon(corners: int, generator: np.random.Generator) -> Outline:
    angles = 2 * np.pi * (np.arange(corners) / corners + generator.random()) + generator.normal(0, 0.12, corners)
    return [(0.5 + 0.42 * float(np.cos(a)), 0.5 + 0.42 * float(np.sin(a))) for a in angles]


def _box(generator: np.random.Generator) -> Outline:
    """Wider than high, or nearly square."""
    width = float(generator.uniform(0.3, 0.45))
    height = width * float(generator.uniform(0.15, 0.95))
    return [
        (0.5 - width, 0.5 - height),
        (0.5 + width, 0.5 - height),
        (0.5 + width, 0.5 + height),
        (0.5 - width, 0.5 + height),
    ]


def _star(generator: np.random.Generator) -> Outline:
    points, depth = int(generator.integers(4, 9)), float(generator.uniform(0.35, 0.6))
    turn = generator.random()
    steps = [(2 * np.pi * (i / (2 * points) + turn), 0.44 if i % 2 == 0 else 0.44 * depth) for i in range(2 * points)]
    return [(0.5 + r * float(np.cos(a)), 0.5 + r * float(np.sin(a))) for a, r in steps]


def _crescent(generator: np.random.Generator) -> Outline:
    depth = float(generator.uniform(0.1, 0.25))
    outer = arc((0.5, 0.5), (0.42, 0.42), -0.3, 0.3)
    inner = arc((0.5 - depth, 0.5), (0.33, 0.4), 0.28, -0.28)
    return [*outer, *inner]


def _heart() -> Outline:
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return [(0.5 + float(a) * 0.025, 0.47 - float(b) * 0.025) for a, b in zip(x, y, strict=True)]


def _plus(generator: np.random.Generator) -> Outline:
    arm, half = 0.42, float(generator.uniform(0.08, 0.18))
    corner = [(-half, -arm), (half, -arm), (half, -half), (arm, -half), (arm, half), (half, half)]
    corner += [(half, arm), (-half, arm), (-half, half), (-arm, half), (-arm, -half), (-half, -half)]
    return [(0.5 + x, 0.5 + y) for x, y in corner]


def _moved(outline: Outline, scale: float, generator: np.random.Generator) -> Outline:
    x0, y0 = generator.normal(0.5, 0.06, 2)
    return [(float(x0) + scale * (x - 0.5), float(y0) + scale * (y - 0.5)) for x, y in outline]
