"""New handwriting from old: each training image is bent, turned, scaled, shifted and redrawn with another pen.

Stateless: every draw is a function of the seed and the step, never of what ran before, so that a run that was
interrupted and resumed sees exactly the images of one that was not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from keras import ops

from training.backend import Tensor, take, uniform
from training.config import TrainingConfig
from training.data.arrays import SIDE, Floats

_CENTRE = (SIDE - 1) / 2
_ELASTIC_GRID = 5  # knots per side of the coarse displacement field that is stretched over the image


@dataclass(frozen=True, slots=True)
class Augmentation:
    """Limits of each distortion; every draw is uniform in [-limit, limit].

    `scale` and `aspect` are natural logarithms: 0.1 is about 10 % larger or smaller. Of the images, the share `wild`
    is distorted by up to twice as much.
    """

    rotation_degrees: float
    shear: float
    scale: float
    aspect: float
    shift_pixels: float
    elastic_pixels: float
    stroke: float
    wild: float

    @classmethod
    def from_config(cls, config: TrainingConfig) -> Self:
        """The distortions of a configuration."""
        return cls(
            rotation_degrees=config.rotation_degrees,
            shear=config.shear,
            scale=config.scale,
            aspect=config.aspect,
            shift_pixels=config.shift_pixels,
            elastic_pixels=config.elastic_pixels,
            stroke=config.stroke,
            wild=config.wild,
        )

    def __call__(self, images: Tensor, seed: Tensor) -> Tensor:
        """Distorted copies of `images`.

        Args:
            images: (n, 28, 28) float32 in 0..1, 0 = paper.
            seed: (2,) int32; the same seed gives the same copies.
        """
        draws = uniform([8, ops.shape(images)[0], 1, 1], seed, -1.0, 1.0)
        draws *= ops.where(draws[7] < 2 * self.wild - 1, 2.0, 1.0)
        rows, columns = self._source_coordinates(draws)
        bend = self._displacements(ops.shape(images)[0], seed + np.array([1 << 16, 0], np.int32))
        moved = _sample_bilinear(images, rows + bend[:, 0], columns + bend[:, 1])
        return _redraw_strokes(moved, self.stroke * draws[6])

    def _source_coordinates(self, draws: Tensor) -> tuple[Tensor, Tensor]:
        """Place in the input that each output pixel is read from: rows and columns, (n, 28, 28) float32 each."""
        grid = np.arange(SIDE, dtype=np.float32) - np.float32(_CENTRE)
        y, x = grid[np.newaxis, :, np.newaxis], grid[np.newaxis, np.newaxis, :]
        angle = draws[0] * np.float32(np.deg2rad(self.rotation_degrees))
        stretch_y = ops.exp(self.scale * draws[2] + self.aspect * draws[3])
        stretch_x = ops.exp(self.scale * draws[2] - self.aspect * draws[3])
        y, x = y + self.shift_pixels * draws[4], x + self.shift_pixels * draws[5]
        turned_y = ops.sin(angle) * x + ops.cos(angle) * y
        turned_x = ops.cos(angle) * x - ops.sin(angle) * y + self.shear * draws[1] * y
        return turned_y * stretch_y + _CENTRE, turned_x * stretch_x + _CENTRE

    def _displacements(self, count: int | Tensor, seed: Tensor) -> Tensor:
        """A smooth random field, (n, 2, 28, 28) float32, in pixels: a coarse random grid, interpolated."""
        limit = self.elastic_pixels
        knots = uniform([count, 2, _ELASTIC_GRID, _ELASTIC_GRID], seed, -limit, limit)
        weights = interpolation_weights(_ELASTIC_GRID)
        return ops.einsum("ai,ncij,bj->ncab", weights, knots, weights)


def interpolation_weights(knots: int) -> Floats:
    """(28, knots) float32: how much each knot counts at each pixel (cosine-smoothed linear interpolation)."""
    position = np.linspace(0, knots - 1, SIDE)
    distance = np.clip(np.abs(position[:, None] - np.arange(knots)), 0, 1)
    return ((1 + np.cos(np.pi * distance)) / 2).astype(np.float32)


def _sample_bilinear(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """`images` (n, 28, 28) read at fractional places (n, 28, 28); paper beyond the border."""
    padded_side = SIDE + 2  # a frame of paper, so that what lies outside reads 0 without a mask
    padded = ops.pad(images, [[0, 0], [1, 1], [1, 1]])
    rows = ops.clip(rows + 1, 0, padded_side - 1.001)
    columns = ops.clip(columns + 1, 0, padded_side - 1.001)
    top, left = ops.floor(rows), ops.floor(columns)
    down, right = rows - top, columns - left
    corner = ops.cast(top * padded_side + left, "int32")
    flat = ops.reshape(padded, [-1, padded_side * padded_side])

    def read(offset: int) -> Tensor:
        return take(flat, corner + offset)

    upper = read(0) * (1 - right) + read(1) * right
    lower = read(padded_side) * (1 - right) + read(padded_side + 1) * right
    return upper * (1 - down) + lower * down


def thickest(images: Tensor) -> Tensor:
    """The largest of each pixel's 3x3 neighbourhood: strokes a pixel wider on each side. (n, 28, 28)."""
    return _of_neighbours(images, ops.maximum)


def thinnest(images: Tensor) -> Tensor:
    """The smallest of each pixel's 3x3 neighbourhood: strokes a pixel narrower on each side. (n, 28, 28)."""
    return _of_neighbours(images, ops.minimum)


def _redraw_strokes(images: Tensor, amount: Tensor) -> Tensor:
    """Thicker strokes where `amount` (n, 1, 1) is positive, thinner where negative; 1 is a whole pixel each side."""
    thicker, thinner = ops.maximum(amount, 0), ops.minimum(amount, 0)
    return images + thicker * (thickest(images) - images) + thinner * (images - thinnest(images))


def _of_neighbours(images: Tensor, pick: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The largest or smallest of each pixel's neighbours, by rows and then by columns; paper beyond the border."""
    padded = ops.pad(images, [[0, 0], [1, 1], [1, 1]])
    rows = pick(pick(padded[:, :-2], padded[:, 1:-1]), padded[:, 2:])
    return pick(pick(rows[:, :, :-2], rows[:, :, 1:-1]), rows[:, :, 2:])
