"""Outlines only: Canny's edge detector (MNIST-C; Canny 1986)."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from training.data.arrays import Images, Intensities, intensities

SIGMA = 1.0  # pixels, of the smoothing
LOW, HIGH = 0.1, 0.2  # thresholds of the gradient, with Sobel's weights 1, 2, 1 as they are
_Mask = npt.NDArray[np.bool_]


def canny_edges(originals: Images, generator: np.random.Generator) -> Images:
    """Edges as lines of full ink, one pixel wide, on bare paper: ridges of the gradient that a steep one leads to."""
    del generator  # nothing about it is random
    smoothed = _smoothed(intensities(originals))
    across, down = _sobel(smoothed, 2), _sobel(smoothed, 1)
    magnitude = np.hypot(across, down)
    ridge = _ridge(magnitude, across, down)
    edges = _connected(ridge & (magnitude >= LOW), ridge & (magnitude >= HIGH))
    return edges.astype(np.uint8) * np.uint8(255)


def _smoothed(ink: Intensities) -> Intensities:
    """Gaussian means over what lies within the image, so that its border is no edge."""

    def summed(values: Intensities) -> Intensities:
        return np.asarray(ndimage.gaussian_filter(values, (0, SIGMA, SIGMA), mode="constant"))

    return summed(ink) / summed(np.ones_like(ink[:1]))


def _sobel(ink: Intensities, axis: int) -> Intensities:
    difference = ndimage.correlate1d(ink, [-1, 0, 1], axis=axis, mode="reflect")
    return np.asarray(ndimage.correlate1d(difference, [1, 2, 1], axis=3 - axis, mode="reflect"))


def _ridge(magnitude: Intensities, across: Intensities, down: Intensities) -> _Mask:
    """Pixels whose gradient is no smaller than on either side along its direction (non-maximum suppression).

    One step along the direction ends between two neighbours, a straight and a diagonal one: interpolated. The border
    is never a ridge, it lacks neighbours.
    """
    step_down, step_right = np.sign(down).astype(np.intp), np.sign(across).astype(np.intp)
    steep = np.abs(down) > np.abs(across)
    larger, smaller = np.maximum(np.abs(down), np.abs(across)), np.minimum(np.abs(down), np.abs(across))
    share = smaller / np.where(larger > 0, larger, 1)  # of the diagonal neighbour
    image, row, column = np.ix_(*map(np.arange, magnitude.shape))
    padded = np.pad(magnitude, ((0, 0), (1, 1), (1, 1)))
    ridge = magnitude > 0
    for side in (-1, 1):
        straight = padded[
            image,
            row + 1 + side * np.where(steep, step_down, 0),
            column + 1 + side * np.where(steep, 0, step_right),
        ]
        diagonal = padded[image, row + 1 + side * step_down, column + 1 + side * step_right]
        ridge &= straight * (1 - share) + diagonal * share <= magnitude
    ridge[:, [0, -1], :] = False
    ridge[:, :, [0, -1]] = False
    return ridge


def _connected(weak: _Mask, strong: _Mask) -> _Mask:
    """The weak edges that hang together with a strong one of the same image, diagonals included (hysteresis)."""
    within_an_image = np.zeros((3, 3, 3), np.bool_)
    within_an_image[1] = True
    parts, count = ndimage.label(weak, within_an_image)
    kept = np.zeros(count + 1, np.bool_)
    kept[parts[strong]] = True
    return np.asarray(kept[parts] & weak)
