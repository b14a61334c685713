"""The use case: images in, predictions out. Knows no transport."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from serving.admission import Admission
from serving.batcher import Batcher, Rows
from serving.errors import InvalidRequestError, NotReadyError, UnknownVersionError
from serving.image.decode import ImageLimits, decode
from serving.image.framing import Framed, frame
from serving.image.quality import Quality
from serving.metrics import Metrics
from serving.model_repository import ModelVersion
from serving.onnx_model import PIXELS


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """The bytes of a picture file, still to be decoded."""

    content: bytes


# 784 bytes, row-major 28x28, 0 = paper, 255 = ink, taken as they are; or a picture file.
ImageInput = bytes | EncodedImage


_BLANK = bytes(PIXELS)
# Raw pixels have no remarks: what nearly everybody sends makes no dictionary.
NO_REMARKS: Mapping[int, Quality] = MappingProxyType({})


class Refusal(Enum):
    """Why the service does not stand by a digit. The value is the metric's label."""

    NOVEL = "novel"
    BLANK = "blank"


@dataclass(frozen=True, slots=True)
class Predictions:
    """The answers for n images, in the order asked, and the version that gave them.

    `qualities` holds, by an image's index, the remarks on those encoded pictures that have any.
    """

    rows: Rows
    refusals: list[Refusal | None]
    version: int
    qualities: Mapping[int, Quality] = field(default_factory=lambda: NO_REMARKS)


@dataclass(frozen=True, slots=True)
class Served:
    """A model version with its own batcher: no batch mixes versions, and work in flight ends where it began."""

    version: ModelVersion
    batcher: Batcher


class Classifier:
    """Admits, decodes, batches and answers. Used from the event loop; `served` is None until a model is warm."""

    def __init__(
        self,
        admission: Admission,
        limits: ImageLimits,
        max_images_per_request: int,
        decoders: Executor,
        metrics: Metrics,
    ) -> None:
        self.limits = limits
        self.max_images_per_request = max_images_per_request
        self._admission = admission
        self._decoders = decoders
        self._metrics = metrics
        # Made before they are needed: a series that appears with its first event hides that event from rate().
        self._refused = {refusal: metrics.refused.labels(refusal.value) for refusal in Refusal}
        self._remarks = {quality: metrics.remarks.labels((quality.name or "").lower()) for quality in Quality}
        self._served: Served | None = None
        self._not_ready = "no model is ready yet; try again soon"

    @property
    def served(self) -> Served:
        """What is served now. Raises NotReadyError while nothing is."""
        if self._served is None:
            raise NotReadyError(self._not_ready)
        return self._served

    def serve(self, served: Served) -> None:
        """Swaps what is served."""
        self._served = served

    def refuse(self, reason: str) -> None:
        """From now on callers get NotReadyError with this reason; those admitted are still answered."""
        self._served, self._not_ready = None, reason

    async def classify(
        self, images: Sequence[ImageInput], version: int = 0, deadline: float = float("inf")
    ) -> Predictions:
        """Answers for `images`, at most max_images_per_request, in their order.

        `version`: of the model, 0 for whichever is served. `deadline`: in time.monotonic() seconds.

        Raises InvalidRequestError, UnknownVersionError, OverloadedError, NotReadyError or ExpiredError; then no image
        of the call is answered.
        """
        served = self.served
        if version not in (0, served.version.version):
            raise UnknownVersionError(asked=version, served=served.version.version)
        if not images:
            raise InvalidRequestError("the request holds no image")
        with self._admission.permit(len(images)):
            pixels, blank, qualities = await self._pixels(images)
            rows = await served.batcher.submit(pixels, deadline)
        refusals = self._refusals(rows, served.version.novelty_threshold, blank)
        return Predictions(rows, refusals, served.version.version, qualities)

    async def _pixels(self, images: Sequence[ImageInput]) -> tuple[bytes, set[int], Mapping[int, Quality]]:
        """All images as n x 784 bytes, the indices of the blank ones, and the remarks on encoded pictures."""
        parts: list[bytes] = []
        blank: set[int] = set()
        encoded: dict[int, bytes] = {}
        for index, image in enumerate(images):  # what costs nothing to refuse goes before anything is decoded
            if isinstance(image, EncodedImage):
                encoded[index] = image.content
                parts.append(b"")
                continue
            if len(image) != PIXELS:
                raise InvalidRequestError(f"image {index}: expected {PIXELS} pixels, got {len(image)}")
            if image == _BLANK:
                blank.add(index)
            parts.append(image)
        qualities = NO_REMARKS
        if encoded:
            framed = await self._decode_all(encoded)
            for index, digit in framed.items():
                parts[index] = digit.pixels.tobytes()
                if digit.is_blank:
                    blank.add(index)
            qualities = {index: digit.quality for index, digit in framed.items() if digit.quality}
            for quality in qualities.values():
                for remark in quality:
                    self._remarks[remark].inc()
        return (parts[0] if len(parts) == 1 else b"".join(parts)), blank, qualities

    async def _decode_all(self, encoded: dict[int, bytes]) -> dict[int, Framed]:
        """Decodes off the event loop, several at a time. The first bad image fails the call."""
        loop = asyncio.get_running_loop()
        tasks = [loop.run_in_executor(self._decoders, self._decode, *item) for item in encoded.items()]
        try:
            framed = [await task for task in tasks]
        finally:
            for task in tasks:
                task.cancel()  # those not begun are not needed when one failed or the caller left
        return dict(zip(encoded, framed, strict=True))

    def _decode(self, index: int, content: bytes) -> Framed:
        started = time.perf_counter()
        try:
            return frame(decode(content, self.limits))
        except InvalidRequestError as error:
            raise InvalidRequestError(f"image {index}: {error}") from error
        finally:
            self._metrics.decode_seconds.observe(time.perf_counter() - started)

    def _refusals(self, rows: Rows, threshold: float, blank: set[int]) -> list[Refusal | None]:
        refusals = [Refusal.NOVEL if novelty > threshold else None for novelty in rows.novelties]
        for index in blank:
            refusals[index] = Refusal.BLANK
        for refusal in refusals:
            if refusal is not None:
                self._refused[refusal].inc()
        return refusals
