"""Blur: of frosted glass, and of a hand or a camera that moves (MNIST-C)."""

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from training.data.arrays import SIDE, Images, Intensities, images, intensities

GLASS_SIGMA, GLASS_PASSES = 0.7, 2  # pixels: MNIST-C's severity 1, which moves pixels by one at most
MOTION_TAPS, MOTION_SIGMA = 21, 3.0  # pixels: MNIST-C's severity 1, ImageMagick's radius 10 and sigma 3
MOTION_DEGREES = 45.0  # largest angle from the horizontal


def glass_blur(originals: Images, generator: np.random.Generator) -> Images:
    """Blurred, neighbouring pixels swapped at random, and blurred again.

    Both blurs run down the columns only: MNIST-C's code hands its 28x28 images to a filter that takes their second
    axis for colours, and what it published came out of that.
    """
    blurred = (_down_the_columns(intensities(originals)) * 255).astype(np.uint8)
    return images(_down_the_columns(intensities(_shuffled(blurred, generator))))


def _down_the_columns(ink: Intensities) -> Intensities:
    return np.asarray(ndimage.gaussian_filter1d(ink, GLASS_SIGMA, axis=1, mode="nearest"))


def _shuffled(blurred: Images, generator: np.random.Generator) -> Images:
    """Twice over all pixels from the lower right corner, each swapped, half of the time, with one to its upper left."""
    count = len(blurred)
    shuffled = np.ascontiguousarray(blurred.transpose(1, 2, 0))  # pixels first: a step touches one pixel of all images
    every = np.arange(count)
    for _ in range(GLASS_PASSES):
        for row in range(SIDE - 1, 1, -1):
            for column in range(SIDE - 1, 1, -1):
                draws = generator.integers(0, 8, count, np.uint8)  # three bits: whether, rows up, columns left
                whether, up, left = draws & 1, (draws >> 1) & 1, draws >> 2
                from_row, from_column = row - (whether & up), column - (whether & left)
                other = shuffled[from_row, from_column, every]
                shuffled[from_row, from_column, every] = shuffled[row, column]
                shuffled[row, column] = other
    return np.ascontiguousarray(shuffled.transpose(2, 0, 1))


def motion_blur(originals: Images, generator: np.random.Generator) -> Images:
    """Smeared along a line of any angle up to 45 degrees from the horizontal, as ImageMagick's motion blur does.

    A pixel becomes a weighted mean of itself and what lies on one side of it, at whole pixels; weights fall as a
    Gaussian. Beyond the image, its edge goes on.
    """
    angles = np.radians(generator.uniform(-MOTION_DEGREES, MOTION_DEGREES, len(originals)))
    weights = np.exp(-0.5 * (np.arange(MOTION_TAPS) / MOTION_SIGMA) ** 2)
    weights /= weights.sum()
    ink = intensities(originals)
    smeared = np.zeros_like(ink)
    for tap, weight in enumerate(weights.astype(np.float32)):
        smeared += weight * _moved(ink, _whole(tap * np.sin(angles)), _whole(tap * np.cos(angles)))
    return images(smeared)


def _whole(offsets: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    return np.ceil(offsets - 0.5).astype(np.intp)


def _moved(ink: Intensities, down: npt.NDArray[np.intp], right: npt.NDArray[np.intp]) -> Intensities:
    """The value `down` and `right` (n,) pixels from each pixel."""
    rows = np.clip(np.arange(SIDE) + down[:, np.newaxis], 0, SIDE - 1)
    columns = np.clip(np.arange(SIDE) + right[:, np.newaxis], 0, SIDE - 1)
    every = np.arange(len(ink))[:, np.newaxis, np.newaxis]
    return np.asarray(ink[every, rows[:, :, np.newaxis], columns[:, np.newaxis, :]])
