"""Ink on a square canvas: lines and shapes by Pillow, smooth-edged; and ink turned, slanted, cropped."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from training.data.arrays import Floats

SIDE = 96  # of the canvas, pixels
_OVERSAMPLING = 2  # drawn this much larger and reduced, which smooths the edges
Points = Sequence[tuple[float, float]]


class Canvas:
    """A square sheet; coordinates are 0..1 from the top left, as (x, y), widths a share of the side."""

    def __init__(self) -> None:
        self._picture = Image.new("L", (SIDE * _OVERSAMPLING,) * 2)
        self._draw = ImageDraw.Draw(self._picture)

    def line(self, points: Points, width: float) -> None:
        """A pen stroke through all points, with round joints and ends."""
        scaled, pen = self._scaled(points), max(round(width * SIDE * _OVERSAMPLING), 1)
        self._draw.line(scaled, fill=255, width=pen, joint="curve")
        radius = pen / 2
        for x, y in (scaled[0], scaled[-1]):
            self._draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)

    def polygon(self, points: Points, level: float = 1.0) -> None:
        """A filled outline; `level` 0 erases."""
        self._draw.polygon(self._scaled(points), fill=round(255 * level))

    def ink(self) -> Floats:
        """The drawing, (96, 96) float32 in 0..1."""
        return np.asarray(self._picture.reduce(_OVERSAMPLING), np.float32) / np.float32(255)

    @staticmethod
    def _scaled(points: Points) -> list[tuple[float, float]]:
        return [(x * SIDE * _OVERSAMPLING, y * SIDE * _OVERSAMPLING) for x, y in points]


def arc(center: tuple[float, float], radii: tuple[float, float], start: float, end: float) -> list[tuple[float, float]]:
    """Points along an ellipse from angle `start` to `end` (turns, 0 = right, 0.25 = down)."""
    steps = max(round(abs(end - start) * 40), 4)
    angles = [2 * math.pi * (start + (end - start) * step / steps) for step in range(steps + 1)]
    return [(center[0] + radii[0] * math.cos(a), center[1] + radii[1] * math.sin(a)) for a in angles]


def slanted(ink: Floats, degrees: float, shear: float) -> Floats:
    """`ink` turned and slanted on a canvas large enough to hold it."""
    height, width = ink.shape
    side = math.ceil(math.hypot(height, width) * (1 + abs(shear) / 2)) + 2
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    across = (cosine + shear * sine, -sine + shear * cosine)
    x, y = width / 2, height / 2
    middle = side / 2
    matrix = (
        across[0], across[1], x - middle * (across[0] + across[1]),
        sine, cosine, y - middle * (sine + cosine),
    )  # fmt: skip
    picture = Image.fromarray(np.rint(ink * 255).astype(np.uint8))
    turned = picture.transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return cropped(np.asarray(turned, np.float32) / np.float32(255))


def cropped(ink: Floats) -> Floats:
    """The tight box of the ink; a single empty pixel when there is none."""
    rows, columns = (np.flatnonzero((ink > 0.06).any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return np.zeros((1, 1), np.float32)
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
