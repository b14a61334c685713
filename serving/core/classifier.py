"""The classify use case: images in, predictions out. Knows no transport."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from enum import IntFlag

import numpy as np

from serving.auth.api_keys import Caller
from serving.auth.rate_limits import RateLimits
from serving.core.admission import Admission
from serving.core.batcher import Batcher
from serving.core.registry import Registry
from serving.errors import ExpiredError, InvalidRequestError, OverloadedError, TooLateError
from serving.image.picture import Framed, ImageLimits, Quality
from serving.metrics.metrics import Metrics
from serving.predictions import NO_REMARKS, PIXELS, Pixels, Predictions


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """The bytes of a picture file, still to be decoded."""

    content: bytes


# 784 bytes, row-major 28x28, 0 = paper, 255 = ink, taken as they are; or a picture file.
ImageInput = bytes | EncodedImage
# Raw pixels and nothing else, in one array; or a mixture, one by one.
Images = Pixels | Sequence[ImageInput]

NO_DEADLINE = float("inf")
MIN_RETRY_SECONDS = 0.05  # before a refused client should try again
USABLE = 0.5  # of the time left to a caller; the rest is for what the batcher does not see, and for its errors


class Classifier:
    """Admits, decodes, batches and answers. Used from the event loop."""

    def __init__(
        self,
        registry: Registry,
        admission: Admission,
        rates: RateLimits,
        limits: ImageLimits,
        max_images_per_request: int,
        decoders: Executor,
        metrics: Metrics,
    ) -> None:
        self.limits = limits
        self.max_images_per_request = max_images_per_request
        self._registry = registry
        self._admission = admission
        self._rates = rates
        self._decoders = decoders
        self._metrics = metrics
        # Made before they are needed: a series that appears with its first event hides that event from rate().
        self._remarks = {quality: metrics.remarks.labels((quality.name or "").lower()) for quality in Quality}

    async def classify(
        self, images: Images, caller: Caller, version: int = 0, deadline: float = NO_DEADLINE
    ) -> Predictions:
        """Predicts `images`, at most max_images_per_request, in their order.

        `caller`: the room is divided among callers, and the rate of the caller's key counts. `version`: of the model,
        0 for the highest served. `deadline`: in time.monotonic() seconds.

        Raises InvalidRequestError, UnknownVersionError, OverloadedError, RateLimitedError, TooLateError, NotReadyError
        or ExpiredError; then no image of the call is answered.
        """
        served = self._registry.served(version)
        count = len(images)
        if not count:
            raise InvalidRequestError("the request holds no image")
        self._admit(caller.name, count, served.batcher, deadline)
        try:
            self.charge(caller, count)
            if isinstance(images, np.ndarray):
                return await served.batcher.submit(images, deadline)
            began = time.monotonic()
            pixels, remarks = await self.decode(images)
            decode_seconds = time.monotonic() - began
            if served.batcher.is_closing:  # another version took its place while the pictures were decoded
                served = self._registry.served_after_admission(version)
            predictions = await served.batcher.submit(pixels, deadline)
            return predictions._replace(decode_seconds=decode_seconds, remarks=remarks)
        finally:
            self._admission.release(caller.name, count)

    def charge(self, caller: Caller, images: int) -> None:
        """Counts `images` against the rate of the caller's key. Raises RateLimitedError."""
        if caller.key:
            self._rates.charge(caller.key, images)

    async def decode(self, images: Sequence[ImageInput]) -> tuple[Pixels, Mapping[int, IntFlag]]:
        """Decodes and frames all images: (n, 784), and by index the Quality of encoded pictures that have remarks.

        Raises InvalidRequestError.
        """
        pixels = np.empty((len(images), PIXELS), np.uint8)
        encoded: dict[int, bytes] = {}
        for index, image in enumerate(images):  # refuses what costs nothing to refuse before anything is decoded
            if isinstance(image, EncodedImage):
                encoded[index] = image.content
                continue
            if len(image) != PIXELS:
                raise InvalidRequestError(f"image {index}: expected {PIXELS} pixels, got {len(image)}")
            pixels[index] = np.frombuffer(image, np.uint8)
        if not encoded:
            return pixels, NO_REMARKS
        framed = await self._decode_all(encoded)
        for index, digit in framed.items():
            pixels[index] = digit.pixels
        qualities = {index: digit.quality for index, digit in framed.items() if digit.quality}
        for quality in qualities.values():
            for remark in quality:
                self._remarks[remark].inc()
        return pixels, qualities

    def _admit(self, client: str, images: int, batcher: Batcher, deadline: float) -> None:
        """Refuses at once what would be answered too late, and what there is no room for."""
        if deadline != NO_DEADLINE and not batcher.is_idle:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise ExpiredError
            if (expected := batcher.expected_seconds(images)) > remaining * USABLE:
                raise TooLateError(expected, remaining)
        if not self._admission.admit(client, images):
            admission = self._admission
            wait = max(batcher.expected_seconds(0), MIN_RETRY_SECONDS)  # it does not see what is being decoded
            raise OverloadedError(images, admission.held, admission.capacity, wait)

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
        # SciPy and Pillow take 25 MB and a quarter of a second: not before the first picture comes.
        from serving.image.decode import decode
        from serving.image.framing import frame

        started = time.perf_counter()
        try:
            return frame(decode(content, self.limits))
        except InvalidRequestError as error:
            raise InvalidRequestError(f"image {index}: {error}") from error
        finally:
            self._metrics.decode_seconds.observe(time.perf_counter() - started)
