"""What is said of n images, as arrays with a row for each: cheap to cut and to join. Faces turn them into messages."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]  # (n, 784), row-major 28x28, 0 = paper, 255 = ink


class Rows(NamedTuple):
    """Answers for n images. A named tuple, as one is made for each request: a third of a frozen dataclass's time."""

    digits: npt.NDArray[np.int64]  # (n,), 0 to 9
    novelties: npt.NDArray[np.float32]  # (n,), 0: a typical digit, 1: no digit
    probabilities: npt.NDArray[np.float32]  # (n, 10), calibrated
    refusals: npt.NDArray[np.uint8]  # (n,), serving.refusal.Refusal

    def cut(self, start: int, end: int) -> "Rows":
        """The rows from `start` to before `end`, as views."""
        return Rows(
            self.digits[start:end],
            self.novelties[start:end],
            self.probabilities[start:end],
            self.refusals[start:end],
        )

    @staticmethod
    def joined(parts: "Sequence[Rows]") -> "Rows":
        """The rows of all parts, in order."""
        return Rows(
            np.concatenate([part.digits for part in parts]),
            np.concatenate([part.novelties for part in parts]),
            np.concatenate([part.probabilities for part in parts]),
            np.concatenate([part.refusals for part in parts]),
        )


class Timing(NamedTuple):
    """Where a request's images spent their time, in seconds, and how many images shared their inference."""

    queue_seconds: float
    inference_seconds: float
    batch_images: int
