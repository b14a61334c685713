"""Why the service does not stand by a digit: one small number for each image."""

from enum import IntEnum

import numpy as np
import numpy.typing as npt


class Refusal(IntEnum):
    """The reasons. The lower-case name is the metric's label."""

    NONE = 0  # the digit stands
    NOVEL = 1  # novelty above the model's threshold
    BLANK = 2  # no ink at all


def refusals(
    pixels: npt.NDArray[np.uint8], novelty: npt.NDArray[np.float32], threshold: float
) -> npt.NDArray[np.uint8]:
    """A Refusal for each image, (n,) uint8. `pixels`: (n, 784) uint8, 0 = paper; `novelty`: (n,) float32, 0 to 1."""
    refused = (novelty > threshold).astype(np.uint8)  # NOVEL is 1
    refused[np.maximum.reduce(pixels, axis=1) == 0] = Refusal.BLANK
    return refused
