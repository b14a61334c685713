"""How a person draws each digit: points that the pen goes through, on a sheet of 280 by 280."""

from math import cos, pi, sin

Point = tuple[float, float]
Stroke = list[Point]


def arc(x: float, y: float, across: float, down: float, begin: float, end: float) -> Stroke:
    """Part of an ellipse around (x, y); angles in turns, clockwise from the right."""
    turns = [begin + (end - begin) * step / 24 for step in range(25)]
    return [(x + across * cos(2 * pi * turn), y + down * sin(2 * pi * turn)) for turn in turns]


DIGITS: list[list[Stroke]] = [
    [arc(140, 140, 55, 80, -0.25, 0.75)],
    [[(115, 85), (145, 55), (145, 225)]],
    [[*arc(140, 105, 52, 50, -0.5, 0.1), (85, 220), (200, 220)]],
    [[*arc(135, 98, 48, 43, -0.42, 0.22), *arc(135, 182, 55, 48, -0.22, 0.42)]],
    [[(120, 60), (85, 150), (195, 150)], [(170, 65), (165, 230)]],
    [[(190, 60), (105, 60), (98, 130), *arc(132, 172, 56, 52, -0.28, 0.4)]],
    [[(165, 55), (115, 110), *arc(140, 175, 48, 48, -0.5, 0.5)]],
    [[(85, 65), (195, 65), (125, 230)]],
    [[*arc(140, 95, 42, 40, 0.25, -0.75), *arc(140, 182, 52, 47, -0.25, 0.75)]],
    [[*arc(138, 105, 45, 45, 0.0, -1.0), (180, 110), (165, 230)]],
]
SCRIBBLE: list[Stroke] = [
    [(40 + 25 * (step % 9), 40 + 200 * ((step * 7) % 10) / 10) for step in range(28)],
    [(60, 60), (220, 220), (60, 220), (220, 60), (140, 30), (140, 250), (30, 140), (250, 140)],
]
