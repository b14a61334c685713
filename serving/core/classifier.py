"""The use case: images in, predictions out. Knows no transport."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from serving.auth.api_keys import Caller
from serving.auth.rate_limits import RateLimits
from serving.core.admission import Admission
from serving.core.batcher import Batcher
from serving.errors import (
    ExpiredError,
    InvalidRequestError,
    NotReadyError,
    OverloadedError,
    TooLateError,
    UnknownVersionError,
)
from serving.image.picture import Framed, ImageLimits, Quality
from serving.metrics.metrics import Metrics
from serving.models.onnx_session import PIXELS
from serving.models.repository import ModelVersion
from serving.predictions import Pixels, Rows


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """The bytes of a picture file, still to be decoded."""

    content: bytes


# 784 bytes, row-major 28x28, 0 = paper, 255 = ink, taken as they are; or a picture file.
ImageInput = bytes | EncodedImage
# Raw pixels and nothing else, in one array; or a mixture, one by one.
Images = Pixels | Sequence[ImageInput]

NEVER = float("inf")  # the deadline of those who have none
LEAST_PAUSE_SECONDS = 0.05  # before a refused client comes again
USABLE = 0.5  # of the time left to a caller; the rest is for what the batcher does not see, and for its errors

# Raw pixels have no remarks: what nearly everybody sends makes no dictionary.
NO_REMARKS: Mapping[int, Quality] = MappingProxyType({})


class Predictions(NamedTuple):
    """The answers for n images, in the order asked, and the version that gave them.

    `qualities` holds, by an image's index, the remarks on those encoded pictures that have any.
    """

    rows: Rows
    version: int
    decode_seconds: float = 0.0  # from arrival until all pictures were decoded and framed; 0 without any
    qualities: Mapping[int, Quality] = NO_REMARKS


@dataclass(frozen=True, slots=True)
class Served:
    """A model version with its own batcher: no batch mixes versions, and work in flight ends where it began."""

    version: ModelVersion
    batcher: Batcher
    is_tuned: bool  # whether its settings were measured on this host


class Classifier:
    """Admits, decodes, batches and answers. Used from the event loop."""

    def __init__(
        self,
        admission: Admission,
        rates: RateLimits,
        limits: ImageLimits,
        max_images_per_request: int,
        decoders: Executor,
        metrics: Metrics,
    ) -> None:
        self.limits = limits
        self.max_images_per_request = max_images_per_request
        self._admission = admission
        self._rates = rates
        self._decoders = decoders
        self._metrics = metrics
        # Made before they are needed: a series that appears with its first event hides that event from rate().
        self._remarks = {quality: metrics.remarks.labels((quality.name or "").lower()) for quality in Quality}
        self._served: dict[int, Served] = {}  # by version
        self._default: Served | None = None
        self.versions: tuple[int, ...] = ()  # that are served, ascending
        self._refusal: str | None = None

    def served(self, version: int = 0) -> Served:
        """What is served now as `version`, 0: to those who name none.

        Raises NotReadyError while nothing is, and UnknownVersionError.
        """
        if self._refusal:
            raise NotReadyError(self._refusal)
        return self._pick(version)

    def _pick(self, version: int) -> Served:
        """As served(), for those who were admitted before it refused."""
        if self._default is None:
            raise NotReadyError("no model is ready yet; try again soon")
        if not version:
            return self._default
        if version not in self._served:
            raise UnknownVersionError(asked=version, served=self.versions)
        return self._served[version]

    def serve(self, served: Sequence[Served]) -> None:
        """Swaps what is served: one or more versions, ascending. The last answers those who name none."""
        self._served = {each.version.version: each for each in served}
        self._default = served[-1]
        self.versions = tuple(self._served)

    def refuse(self, reason: str) -> None:
        """From now on callers get NotReadyError with this reason, whatever is served; those admitted are answered."""
        self._refusal = reason

    def queued_images(self) -> int:
        """Images that wait for a batch, of all versions."""
        return sum(served.batcher.queued_images for served in self._served.values())

    def stuck_since(self) -> float | None:
        """When the inference began that has been running longest, in time.monotonic() seconds; None: nothing runs."""
        began = [served.batcher.running_since for served in self._served.values()]
        return min((each for each in began if each is not None), default=None)

    async def classify(self, images: Images, caller: Caller, version: int = 0, deadline: float = NEVER) -> Predictions:
        """Answers for `images`, at most max_images_per_request, in their order.

        `caller`: who asks, among whom the room is divided, and whose key's rate counts. `version`: of the model, 0 for
        whichever is served. `deadline`: in time.monotonic() seconds.

        Raises InvalidRequestError, UnknownVersionError, OverloadedError, RateLimitedError, TooLateError, NotReadyError
        or ExpiredError; then no image of the call is answered.
        """
        served = self.served(version)
        count = len(images)
        if not count:
            raise InvalidRequestError("the request holds no image")
        self._admit(caller.name, count, served.batcher, deadline)
        try:
            self.charge(caller, count)
            if isinstance(images, np.ndarray):
                return Predictions(await served.batcher.submit(images, deadline), served.version.version)
            began = time.monotonic()
            pixels, qualities = await self.pixels(images)
            decode_seconds = time.monotonic() - began
            if served.batcher.is_closing:  # another version took its place while the pictures were read
                served = self._pick(version)
            rows = await served.batcher.submit(pixels, deadline)
            return Predictions(rows, served.version.version, decode_seconds, qualities)
        finally:
            self._admission.release(caller.name, count)

    def charge(self, caller: Caller, images: int) -> None:
        """Counts them against the rate of the caller's key. Raises RateLimitedError."""
        if caller.key:
            self._rates.charge(caller.key, images)

    def _admit(self, client: str, images: int, batcher: Batcher, deadline: float) -> None:
        """Refuses what would be answered too late now, and not when it has taken its time."""
        if deadline != NEVER and not batcher.is_idle:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise ExpiredError
            if (expected := batcher.expected_seconds(images)) > remaining * USABLE:
                raise TooLateError(expected, remaining)
        if not self._admission.admit(client, images):
            admission = self._admission
            waits = max(batcher.expected_seconds(0), LEAST_PAUSE_SECONDS)  # it does not see what is being decoded
            raise OverloadedError(images, admission.held, admission.capacity, waits)

    async def pixels(self, images: Sequence[ImageInput]) -> tuple[Pixels, Mapping[int, Quality]]:
        """All images as (n, 784), and the remarks on encoded pictures. Raises InvalidRequestError."""
        pixels = np.empty((len(images), PIXELS), np.uint8)
        encoded: dict[int, bytes] = {}
        for index, image in enumerate(images):  # what costs nothing to refuse goes before anything is decoded
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
        # SciPy and Pillow take 25 MB and a quarter of a second: not before somebody sends a picture.
        from serving.image.decode import decode
        from serving.image.framing import frame

        started = time.perf_counter()
        try:
            return frame(decode(content, self.limits))
        except InvalidRequestError as error:
            raise InvalidRequestError(f"image {index}: {error}") from error
        finally:
            self._metrics.decode_seconds.observe(time.perf_counter() - started)
