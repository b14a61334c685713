"""The form in which corruptions compute, and the ways into it and out of it."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Images: TypeAlias = npt.NDArray[np.uint8]  # (n, 28, 28), 0 = paper, 255 = ink
Intensities: TypeAlias = npt.NDArray[np.float32]  # (n, 28, 28), 0 = paper, 1 = ink


def intensities(images: Images) -> Intensities:
    """(n, 28, 28) uint8 to float32 in 0..1."""
    return images.astype(np.float32) / np.float32(255)


def images(intensities: Intensities) -> Images:
    """(n, 28, 28) float32, cut to 0..1, to the nearest uint8."""
    return np.asarray(np.rint(np.clip(intensities, 0, 1) * np.float32(255)), np.uint8)
