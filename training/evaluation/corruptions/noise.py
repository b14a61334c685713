"""Noise of a sensor: shot noise and impulse noise (MNIST-C)."""

import numpy as np

from training.data.arrays import Images, images, intensities

PHOTONS = 3  # of a pixel of full ink: MNIST-C's severity 5
IMPULSE_SHARE = 0.17  # of the pixels: MNIST-C's severity 4


def shot_noise(originals: Images, generator: np.random.Generator) -> Images:
    """Ink counted in few photons: each pixel becomes a Poisson count around 3 times its intensity, over 3."""
    counts = generator.poisson(intensities(originals) * PHOTONS)
    return images(counts.astype(np.float32) / np.float32(PHOTONS))


def impulse_noise(originals: Images, generator: np.random.Generator) -> Images:
    """Salt and pepper: 17 % of the pixels, chosen at random, become full ink or bare paper, equally often."""
    noise = generator.random(originals.shape, np.float32)
    noisy = np.where(noise < IMPULSE_SHARE, np.uint8(0), originals)
    return np.where(noise < IMPULSE_SHARE / 2, np.uint8(255), noisy)
