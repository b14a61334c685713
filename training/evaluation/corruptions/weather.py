"""Light and weather: brightness, fog, and spatter on the page (MNIST-C)."""

import numpy as np
from scipy import ndimage

from training.data.arrays import SIDE, Images, Intensities, images, intensities

BRIGHTENING = 0.5  # MNIST-C's severity 5
FOG_DENSITY, FOG_DECAY = 3.0, 1.4  # MNIST-C's severity 5
SPATTER_SIGMA, SPATTER_EDGE_SIGMA, SPATTER_DENSE = 1.0, 1.5, 0.8  # MNIST-C's severity 4, as the next line
SPATTER_MEAN, SPATTER_DEVIATION, SPATTER_THRESHOLD, SPATTER_COLOUR = 0.65, 0.3, 0.65, 63 / 255
_FOG_SIDE = 256  # of the height map that the fog is a corner of
_MAPS_AT_ONCE = 16  # 4 MiB: what stays in a processor's cache


def brightness(originals: Images, generator: np.random.Generator) -> Images:
    """Half of the full range added to every pixel: paper turns grey."""
    del generator  # nothing about it is random
    return images(intensities(originals) + np.float32(BRIGHTENING))


def fog(originals: Images, generator: np.random.Generator) -> Images:
    """Three parts of a plasma fractal over one part of digit."""
    ink = intensities(originals)
    brightest = ink.max(axis=(1, 2), keepdims=True)
    starts = range(0, len(ink), _MAPS_AT_ONCE)
    plasma = [_plasma(min(_MAPS_AT_ONCE, len(ink) - start), generator) for start in starts]
    foggy = ink + np.float32(FOG_DENSITY) * np.concatenate([np.empty((0, SIDE, SIDE), np.float32), *plasma])
    return images(foggy * brightest / (brightest + np.float32(FOG_DENSITY)))


def _plasma(count: int, generator: np.random.Generator) -> Intensities:
    """The upper left (28, 28) corners of `count` square height maps on a torus, each scaled to 0..1 as a whole.

    Diamond-square: from one point, the grid's spacing is halved again and again; each new point is the mean of the
    four around it, plus a random part that shrinks with the spacing. MNIST-C multiplies that part by its size twice.
    """
    heights = np.zeros((count, _FOG_SIDE, _FOG_SIDE), np.float32)
    spacing, roughness = _FOG_SIDE, 1.0
    while spacing >= 2:
        half = spacing // 2
        known = heights[:, ::spacing, ::spacing]
        pairs = known + np.roll(known, -1, axis=2)
        centres = _varied(pairs + np.roll(pairs, -1, axis=1), roughness**2, generator)
        below = known + np.roll(known, -1, axis=1)
        heights[:, half::spacing, half::spacing] = centres
        heights[:, ::spacing, half::spacing] = _varied(
            centres + np.roll(centres, 1, axis=1) + pairs, roughness**2, generator
        )
        heights[:, half::spacing, ::spacing] = _varied(
            centres + np.roll(centres, 1, axis=2) + below, roughness**2, generator
        )
        spacing, roughness = half, roughness / FOG_DECAY
    lowest, highest = heights.min(axis=(1, 2), keepdims=True), heights.max(axis=(1, 2), keepdims=True)
    return np.asarray((heights[:, :SIDE, :SIDE] - lowest) / (highest - lowest), np.float32)


def _varied(sums_of_four: Intensities, size: float, generator: np.random.Generator) -> Intensities:
    variation = generator.random(sums_of_four.shape, np.float32) * 2 - 1
    return sums_of_four * np.float32(0.25) + variation * np.float32(size)


def spatter(originals: Images, generator: np.random.Generator) -> Images:
    """Blots of dark grey mud that cover ink and paper alike, soft at their edges."""
    liquid = generator.normal(SPATTER_MEAN, SPATTER_DEVIATION, originals.shape).astype(np.float32)
    wet = _blurred(liquid, SPATTER_SIGMA) > SPATTER_THRESHOLD
    mud = _blurred(wet.astype(np.float32), SPATTER_EDGE_SIGMA)
    mud[mud < SPATTER_DENSE] = 0
    return images(intensities(originals) * (1 - mud) + np.float32(SPATTER_COLOUR) * mud)


def _blurred(values: Intensities, sigma: float) -> Intensities:
    return np.asarray(ndimage.gaussian_filter(values, (0, sigma, sigma), mode="nearest"))
