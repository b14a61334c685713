"""Predictions in two containers: of one batch, as the model made them, and of one request, as a view on a batch.

Nothing is copied between them: the predictions of a request are a range of the rows of its batch. Only a refusal that
the batch cannot know, for the picture from which the pixels come, gives a request a batch of its own.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum, IntFlag
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

SIDE, PIXELS, DIGITS = 28, 784, 10

Pixels = npt.NDArray[np.uint8]  # (n, 784), row-major 28x28, 0 = paper, 255 = ink
Floats = npt.NDArray[np.float32]

# Shared by all requests of raw pixels, which have no remarks: the usual request allocates no dictionary.
NO_REMARKS: Mapping[int, IntFlag] = MappingProxyType({})


class Refusal(IntEnum):
    """Reason why the service does not vouch for a digit. Its name in lower case is the metric's label."""

    NONE = 0  # the digit is not refused
    NOVEL = 1  # novelty above the model's threshold
    BLANK = 2  # no ink at all
    SEVERAL_GLYPHS = 3  # the picture holds several digits; Read reads them


class BatchPredictions:
    """Predictions for the n images of one inference.

    An encoder turns each row into the same number of bytes. It runs once for a batch, however many requests share the
    batch: NumPy fills the records of a whole batch in the time of one.
    """

    __slots__ = ("_encoded", "digits", "novelties", "probabilities", "refusals", "version")

    def __init__(self, probabilities: Floats, digits: npt.NDArray[np.int64], novelties: Floats) -> None:
        self.probabilities = probabilities  # (n, 10), calibrated
        self.digits = digits  # (n,), 0 to 9
        self.novelties = novelties  # (n,), 0: a typical digit, 1: no digit
        self.refusals = np.zeros(len(digits), np.uint8)  # (n,), Refusal; until refuse() all NONE
        self.version = 0  # of the model; set by LoadedModel.run()
        self._encoded: dict[Encoder, bytes] = {}

    def __len__(self) -> int:
        return len(self.digits)

    def refuse(self, pixels: Pixels, novelty_threshold: float) -> None:
        """Sets `refusals` for `pixels`, (n, 784) uint8: BLANK without ink, NOVEL above the threshold (0 to 1).

        An image for which the model has no numbers is NOVEL, with novelty 1 and equal probabilities: the largest doubt.
        """
        refusals = (self.novelties > novelty_threshold).view(np.uint8)  # NOVEL is 1
        flat = self.probabilities.ravel()
        # NaN and infinity stay so in a sum of squares, whose cost for a batch is that of one call.
        if not math.isfinite(flat.dot(flat) + self.novelties.dot(self.novelties)):
            refusals |= self._replace_what_is_no_number()
        refusals[np.maximum.reduce(pixels, axis=1) == 0] = Refusal.BLANK
        self.refusals = refusals

    def _replace_what_is_no_number(self) -> npt.NDArray[np.bool_]:
        """Returns which images have no numbers, (n,), after giving those others."""
        bad = ~(np.isfinite(self.novelties) & np.isfinite(self.probabilities).all(axis=1))
        self.novelties = np.where(bad, np.float32(1), self.novelties)
        self.probabilities = np.where(bad[:, np.newaxis], np.float32(1 / DIGITS), self.probabilities)
        return bad

    def encoded(self, encoder: "Encoder") -> bytes:
        """Returns all rows as `encoder` encodes them, from a cache."""
        content = self._encoded.get(encoder)
        if content is None:
            content = self._encoded[encoder] = encoder(self)
        return content


Encoder = Callable[[BatchPredictions], bytes]


class Predictions(NamedTuple):
    """Predictions for the images of one request, in their order: rows `start` to `end` (exclusive) of a batch.

    `remarks`: image.picture.Quality of those encoded pictures that have any remark, by the image's index.
    """

    batch: BatchPredictions
    start: int
    end: int
    queue_seconds: float = 0.0
    inference_seconds: float = 0.0
    batch_images: int = 0  # images that shared the inference; of a request that was split: in its largest batch
    decode_seconds: float = 0.0  # from admission until all pictures were decoded and framed; 0 for raw pixels
    remarks: Mapping[int, IntFlag] = NO_REMARKS

    @property
    def images(self) -> int:
        """Number of images."""
        return self.end - self.start

    @property
    def version(self) -> int:
        """Version of the model that made the predictions."""
        return self.batch.version

    @property
    def digits(self) -> npt.NDArray[np.int64]:
        """Digits, (n,) int64, 0 to 9."""
        return self.batch.digits[self.start : self.end]

    @property
    def novelties(self) -> Floats:
        """Novelties, (n,) float32, 0: a typical digit, 1: no digit."""
        return self.batch.novelties[self.start : self.end]

    @property
    def probabilities(self) -> Floats:
        """Calibrated probabilities, (n, 10) float32."""
        return self.batch.probabilities[self.start : self.end]

    @property
    def refusals(self) -> npt.NDArray[np.uint8]:
        """Refusals, (n,) uint8, values of Refusal."""
        return self.batch.refusals[self.start : self.end]

    def with_refusal(self, indices: Iterable[int], refusal: Refusal) -> "Predictions":
        """Returns these predictions with the images at `indices` refused, except those that are refused already.

        Other requests share the batch, so the result has a batch of its own: views of these rows, and copied refusals.
        Without a change it is these predictions themselves.
        """
        changed = [index for index in indices if self.refusals[index] == Refusal.NONE]
        if not changed:
            return self
        batch = BatchPredictions(self.probabilities, self.digits, self.novelties)
        batch.refusals = self.refusals.copy()
        batch.refusals[changed] = refusal
        batch.version = self.version
        return self._replace(batch=batch, start=0, end=self.images)

    def encoded(self, encoder: Encoder) -> bytes:
        """Returns this request's rows as `encoder` encodes them."""
        whole = self.batch.encoded(encoder)  # every row has the same length, so a request's bytes are a slice
        size = len(whole) // len(self.batch)
        return whole[self.start * size : self.end * size]


def join(parts: Sequence[Predictions]) -> Predictions:
    """Joins the parts of a request that was split, in their order: one version, one or more parts.

    Its times are the longest wait and the sum of the inferences; `batch_images` is that of the largest batch.
    """
    batch = BatchPredictions(
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.digits for part in parts]),
        np.concatenate([part.novelties for part in parts]),
    )
    batch.refusals = np.concatenate([part.refusals for part in parts])
    batch.version = parts[0].version
    return Predictions(
        batch,
        0,
        len(batch),
        queue_seconds=max(part.queue_seconds for part in parts),
        inference_seconds=sum(part.inference_seconds for part in parts),
        batch_images=max(part.batch_images for part in parts),
    )
