"""What is said of images, kept batch by batch: a request's rows are a stretch of its batch's, and nothing is copied."""

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]  # (n, 784), row-major 28x28, 0 = paper, 255 = ink


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


class BatchRows:
    """Answers for the n images of a batch, and what was made of them for the wire.

    An encoder makes bytes of one fixed length for each row. It is asked once for a batch, however many requests share
    it: filling in records for a whole batch takes no longer than for one.
    """

    __slots__ = ("_encoded", "digits", "novelties", "probabilities", "refusals")

    def __init__(
        self,
        digits: npt.NDArray[np.int64],
        novelties: npt.NDArray[np.float32],
        probabilities: npt.NDArray[np.float32],
        refusals: npt.NDArray[np.uint8],
    ) -> None:
        self.digits = digits  # (n,), 0 to 9
        self.novelties = novelties  # (n,), 0: a typical digit, 1: no digit
        self.probabilities = probabilities  # (n, 10), calibrated
        self.refusals = refusals  # (n,), serving.predictions.Refusal
        self._encoded: dict[Encoder, bytes] = {}

    def __len__(self) -> int:
        return len(self.digits)

    def encoded(self, encoder: "Encoder") -> bytes:
        """What `encoder` makes of all rows."""
        made = self._encoded.get(encoder)
        if made is None:
            made = self._encoded[encoder] = encoder(self)
        return made


Encoder = Callable[[BatchRows], bytes]


class Timing(NamedTuple):
    """Where a request's images spent their time, in seconds, and how many images shared their inference."""

    queue_seconds: float
    inference_seconds: float
    batch_images: int


class Rows(NamedTuple):
    """One request's answers: rows `start` to before `end` of a batch."""

    batch: BatchRows
    start: int
    end: int
    timing: Timing

    @property
    def images(self) -> int:
        """How many rows."""
        return self.end - self.start

    @property
    def digits(self) -> npt.NDArray[np.int64]:
        """(n,), 0 to 9."""
        return self.batch.digits[self.start : self.end]

    @property
    def novelties(self) -> npt.NDArray[np.float32]:
        """(n,), 0: a typical digit, 1: no digit."""
        return self.batch.novelties[self.start : self.end]

    @property
    def probabilities(self) -> npt.NDArray[np.float32]:
        """(n, 10), calibrated."""
        return self.batch.probabilities[self.start : self.end]

    @property
    def refusals(self) -> npt.NDArray[np.uint8]:
        """(n,), serving.predictions.Refusal."""
        return self.batch.refusals[self.start : self.end]

    def encoded(self, encoder: Encoder) -> bytes:
        """What `encoder` makes of these rows."""
        whole = self.batch.encoded(encoder)
        size = len(whole) // len(self.batch)
        return whole[self.start * size : self.end * size]


def joined(parts: Sequence[Rows]) -> Rows:
    """The rows of a request that was split: its longest wait, all of its inferences, the largest batch."""
    batch = BatchRows(
        np.concatenate([part.digits for part in parts]),
        np.concatenate([part.novelties for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.refusals for part in parts]),
    )
    queue, inference, images = zip(*(part.timing for part in parts), strict=True)
    return Rows(batch, 0, len(batch), Timing(max(queue), sum(inference), max(images)))
