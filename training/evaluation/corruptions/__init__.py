"""The fifteen corruptions of MNIST-C, in implementations of our own, each at the one severity its test set has.

Definitions and severities: Mu and Gilmer, MNIST-C (arXiv 1906.02337) and github.com/google-research/mnist-c. The
random draws are others than theirs, so single images differ from the published ones.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from training.data.arrays import SIDE, Images, Pixels
from training.evaluation.corruptions.blur import glass_blur, motion_blur
from training.evaluation.corruptions.drawing import dotted_line, stripe, zigzag
from training.evaluation.corruptions.edges import canny_edges
from training.evaluation.corruptions.geometry import rotate, scale, shear, translate
from training.evaluation.corruptions.noise import impulse_noise, shot_noise
from training.evaluation.corruptions.weather import brightness, fog, spatter

Corruption: TypeAlias = Callable[[Images, np.random.Generator], Images]  # both (n, 28, 28) uint8

CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType(
    {
        "shot_noise": shot_noise,
        "impulse_noise": impulse_noise,
        "glass_blur": glass_blur,
        "motion_blur": motion_blur,
        "shear": shear,
        "scale": scale,
        "rotate": rotate,
        "brightness": brightness,
        "translate": translate,
        "stripe": stripe,
        "fog": fog,
        "spatter": spatter,
        "dotted_line": dotted_line,
        "zigzag": zigzag,
        "canny_edges": canny_edges,
    }
)


def corrupted(pixels: Pixels, name: str, seed: int) -> Pixels:
    """The images with one corruption; `pixels` itself is left as it is.

    Args:
        pixels: (n, 784) uint8, 0 = paper, 255 = ink.
        name: one of CORRUPTIONS.
        seed: the same seed, name and pixels give the same result; each corruption draws from a stream of its own.

    Returns:
        (n, 784) uint8.

    Raises:
        KeyError: there is no such corruption.
    """
    corruption, generator = CORRUPTIONS[name], np.random.default_rng([seed, *name.encode()])
    return corruption(pixels.reshape(-1, SIDE, SIDE), generator).reshape(pixels.shape)
