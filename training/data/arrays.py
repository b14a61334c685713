"""The few array types that travel between modules, so that a signature says what it holds."""

from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[np.uint8]  # (n, 784), row-major 28x28, 0 = paper, 255 = ink
Images: TypeAlias = npt.NDArray[np.uint8]  # (n, 28, 28), 0 = paper, 255 = ink
Intensities: TypeAlias = npt.NDArray[np.float32]  # (n, 28, 28), 0 = paper, 1 = ink
Labels: TypeAlias = npt.NDArray[np.int64]  # (n,), 0..9
Floats: TypeAlias = npt.NDArray[np.float32]
Doubles: TypeAlias = npt.NDArray[np.float64]
Arrays: TypeAlias = dict[str, npt.NDArray[Any]]  # of any kind, by name
Weights: TypeAlias = dict[str, Floats]  # by variable path, such as "convolution_1/kernel"

SIDE = 28
PIXELS = SIDE * SIDE
CLASSES = 10
NOT_A_DIGIT = -1  # the label of an image that shows none


@dataclass(frozen=True, slots=True)
class LabelledDigits:
    """Images and what they show: pixels (n, 784) uint8, 0 = paper, 255 = ink; labels (n,) int64 in 0..9.

    Synthetic rows may also be labelled NOT_A_DIGIT.
    """

    pixels: Pixels
    labels: Labels

    def __post_init__(self) -> None:
        if self.pixels.shape != (len(self.labels), PIXELS):
            raise ValueError(
                f"{len(self.labels)} labels need ({len(self.labels)}, {PIXELS}) pixels, got {self.pixels.shape}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.int64]) -> Self:
        """The digits of these rows, in this order."""
        return type(self)(self.pixels[rows], self.labels[rows])


def intensities(images: Images) -> Intensities:
    """(n, 28, 28) uint8 to float32 in 0..1."""
    return images.astype(np.float32) / np.float32(255)


def images(intensities: Intensities) -> Images:
    """(n, 28, 28) float32, cut to 0..1, to the nearest uint8."""
    return np.asarray(np.rint(np.clip(intensities, 0, 1) * np.float32(255)), np.uint8)
