"""Draws strokes with a pen: several widths, pressure, soft and hard edges; joints and ends are round."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import ndimage

from training.data.arrays import Floats

SIDE = 96  # of the sheet, pixels
_FIELD = 280  # pixels a side of the canvas that widths are given for; a digit fills 20/28 of it, as in MNIST
_THINNEST, _THICKEST = 6, 30
_MOST_PRESSURE = 0.4
_SOFTEST = 9


@dataclass(frozen=True, slots=True)
class Pen:
    """A pen, in pixels of a canvas of 280x280.

    Attributes:
        width: of the stroke.
        pressure: share of the width by which it grows and shrinks on its way.
        softness: over which the edge fades; 0: a hard edge, without grey levels.
    """

    width: float
    pressure: float = 0.0
    softness: float = 0.0

    @classmethod
    def random(cls, generator: np.random.Generator) -> Self:
        """Any width from 6 to 30; half of the pens press evenly, a quarter have hard edges."""
        return cls(
            width=generator.uniform(_THINNEST, _THICKEST),
            pressure=generator.uniform(0, _MOST_PRESSURE) if generator.random() < 0.5 else 0.0,
            softness=generator.uniform(2, _SOFTEST) if generator.random() < 0.75 else 0.0,
        )

    def stroke(self, points: Floats, generator: np.random.Generator) -> Floats:
        """One stroke through all points: ink (96, 96) in 0..1.

        Args:
            points: (k, 2) float32, x and y in 0..1 from the sheet's top left corner.
            generator: of the pressure on the way.
        """
        way = np.linspace(0, 1, len(points))
        pressed = 1 + self.pressure * np.interp(way, [0, 0.5, 1], generator.uniform(-1, 1, 3))
        radii = (pressed * (self.width / 2 * SIDE / _FIELD)).astype(np.float32)
        corners = points * np.float32(SIDE)
        reach = float(radii.max()) + self.softness * SIDE / _FIELD
        nearest = np.full((SIDE, SIDE), np.inf, np.float32)
        for (x, y), (right, down), radius, growth in zip(
            corners[:-1], np.diff(corners, axis=0), radii[:-1], np.diff(radii), strict=True
        ):
            left, last = (
                int(np.clip(each, 0, SIDE)) for each in (min(x, x + right) - reach, max(x, x + right) + reach + 1)
            )
            top, end = (
                int(np.clip(each, 0, SIDE)) for each in (min(y, y + down) - reach, max(y, y + down) + reach + 1)
            )
            columns = np.arange(left, last, dtype=np.float32) + np.float32(0.5) - x
            rows = np.arange(top, end, dtype=np.float32)[:, None] + np.float32(0.5) - y
            length = np.float32(max(float(right**2 + down**2), 1e-6))
            place = np.clip((columns * right + rows * down) / length, 0, 1)
            away = np.hypot(columns - place * right, rows - place * down) - (radius + place * growth)
            part = nearest[top:end, left:last]
            np.minimum(part, away, out=part)
        return self._inked(nearest, SIDE)

    def traced(self, ink: Floats, thickness: float) -> Floats:
        """What was drawn thinly, drawn again: ink of the same shape in 0..1.

        Args:
            ink: (h, w) float32 in 0..1, half of which is an edge.
            thickness: of the strokes that are there, in pixels; a pen that is thinner leaves them so.
        """
        side = max(ink.shape)
        away = ndimage.distance_transform_edt(ink < 0.5).astype(np.float32)
        return self._inked(away - np.float32(max(self.width * side / _FIELD - thickness, 0) / 2), side)

    def _inked(self, away: Floats, side: int) -> Floats:
        """Ink from the distances to the edge, (h, w) in pixels, negative inside."""
        softness = self.softness * side / _FIELD
        if softness < 1 / 255:
            return (away <= 0).astype(np.float32)
        faded: Floats = np.clip(np.float32(0.5) - away / np.float32(softness), 0, 1)
        return faded


def curved(points: Floats) -> Floats:
    """A smooth way (4k - 3, 2) through points (k, 2): Catmull and Rom's curve, in quarters."""
    ends = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    before, begin, end, after = ends[:-3], ends[1:-2], ends[2:-1], ends[3:]
    steps = np.arange(4, dtype=np.float32)[:, None, None] / 4
    way = 0.5 * (
        2 * begin
        + (end - before) * steps
        + (2 * before - 5 * begin + 4 * end - after) * steps**2
        + (3 * begin - before - 3 * end + after) * steps**3
    )
    return np.concatenate([way.transpose(1, 0, 2).reshape(-1, 2), points[-1:]]).astype(np.float32)
