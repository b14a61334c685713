"""Shear, scale, rotate and translate, about the image's centre and with bilinear interpolation (MNIST-C)."""

import numpy as np
import numpy.typing as npt

from training.data.arrays import SIDE, Images, Intensities, images, intensities

SHEAR_RADIANS = 0.4  # MNIST-C's severity 2
ROTATION_RADIANS = 0.4  # severity 2
SCALE = 0.7  # severity 3
TRANSLATION_PIXELS = 3  # severity 3
_CENTRE = (SIDE - 1) / 2


def shear(originals: Images, generator: np.random.Generator) -> Images:
    """Slanted to the left or to the right, equally often: each row moves by sin(0.4) times its height off the centre.

    The way back turns the vertical axis by 0.4 radians and keeps its length, so that digits also grow by
    1 / cos(0.4), a twelfth, in height.
    """
    angles = SHEAR_RADIANS * _signs(generator, len(originals))
    return _mapped(originals, _matrices(1.0, -np.sin(angles), 0.0, np.cos(angles)))


def scale(originals: Images, generator: np.random.Generator) -> Images:
    """Shrunk to 70 %."""
    del generator  # nothing about it is random
    return _mapped(originals, _matrices(np.full(len(originals), 1 / SCALE), 0.0, 0.0, 1 / SCALE))


def rotate(originals: Images, generator: np.random.Generator) -> Images:
    """Turned by 0.4 radians, 23 degrees, to the left or to the right, equally often."""
    angles = ROTATION_RADIANS * _signs(generator, len(originals))
    return _mapped(originals, _matrices(np.cos(angles), -np.sin(angles), np.sin(angles), np.cos(angles)))


def translate(originals: Images, generator: np.random.Generator) -> Images:
    """Moved by three pixels up or down and by three to the left or right: one of four diagonal moves."""
    margin, moved = TRANSLATION_PIXELS, np.empty_like(originals)
    padded = np.pad(originals, ((0, 0), (margin, margin), (margin, margin)))
    down, right = _signs(generator, len(originals)), _signs(generator, len(originals))
    for vertical in (-1, 1):
        for horizontal in (-1, 1):
            top, left = margin - vertical * margin, margin - horizontal * margin
            chosen = (down == vertical) & (right == horizontal)
            moved[chosen] = padded[chosen, top : top + SIDE, left : left + SIDE]
    return moved


def _signs(generator: np.random.Generator, count: int) -> npt.NDArray[np.int64]:
    return generator.integers(0, 2, count) * 2 - 1


def _matrices(xx: object, xy: object, yx: object, yy: object) -> npt.NDArray[np.float32]:
    """(n, 2, 2): from a place in the result, as (column, row) from the centre, to the place in the original."""
    entries = np.broadcast_arrays(*(np.asarray(entry, np.float32) for entry in (xx, xy, yx, yy)))
    return np.stack(entries, axis=-1).reshape(-1, 2, 2)


def _mapped(originals: Images, matrices: npt.NDArray[np.float32]) -> Images:
    rows, columns = np.mgrid[:SIDE, :SIDE].reshape(2, -1).astype(np.float32) - np.float32(_CENTRE)
    places = matrices @ np.stack([columns, rows]) + np.float32(_CENTRE)
    return images(_interpolated(intensities(originals), places[:, 1], places[:, 0]).reshape(originals.shape))


def _interpolated(ink: Intensities, rows: Intensities, columns: Intensities) -> Intensities:
    """The ink at `rows` and `columns` (n, places), bilinear; outside of the image there is paper."""
    margin = SIDE  # wider than any of these maps reaches
    width = SIDE + 2 * margin
    padded = np.pad(ink, ((0, 0), (margin, margin), (margin, margin))).reshape(len(ink), width * width)
    top, left = np.floor(rows), np.floor(columns)
    below, across = rows - top, columns - left
    corner = (top.astype(np.intp) + margin) * width + left.astype(np.intp) + margin

    def at(offset: int) -> Intensities:
        return np.take_along_axis(padded, corner + offset, axis=1)

    upper = at(0) * (1 - across) + at(1) * across
    lower = at(width) * (1 - across) + at(width + 1) * across
    return np.asarray(upper * (1 - below) + lower * below, np.float32)
