"""Classify use case: images in, predictions out. Knows no transport."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntFlag
from typing import TypeVar

import numpy as np

from serving.auth.api_keys import Caller
from serving.auth.rate_limits import RateLimits
from serving.core.admission import Admission
from serving.core.batcher import Batcher, Result
from serving.core.registry import Registry
from serving.errors import ExpiredError, InvalidRequestError, OverloadedError, TooLateError
from serving.image.picture import Framed, ImageLimits, Quality, is_small_png
from serving.metrics.metrics import Metrics
from serving.predictions import NO_REMARKS, PIXELS, Pixels, Predictions, Refusal


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """Bytes of a picture file, still to be decoded."""

    content: bytes


# One image: 784 bytes, row-major 28x28, 0 = paper, 255 = ink, which are not framed; or a picture file.
ImageInput = bytes | EncodedImage
# Images of one request: raw pixels alone, in one array (n, 784); or a mixture of both kinds.
Images = Pixels | Sequence[ImageInput]


class Admitted:
    """Result of an admitted request: gives its room back at the first outcome, and then hands the outcome on."""

    __slots__ = ("_admission", "_client", "_images", "_result")

    def __init__(self, admission: Admission, client: str, images: int, result: Result) -> None:
        self._admission = admission
        self._client = client
        self._images = images
        self._result = result

    def cancelled(self) -> bool:
        """Returns True when the caller has gone."""
        return self._result.cancelled()

    def done(self) -> bool:
        """Returns True when the caller has gone or has a result."""
        return self._result.done()

    def set_result(self, predictions: Predictions, /) -> None:
        """Takes the predictions."""
        self.release()
        self._result.set_result(predictions)

    def set_exception(self, error: Exception, /) -> None:
        """Takes the error."""
        self.release()
        self._result.set_exception(error)

    def release(self) -> None:
        """Gives the room back: call it when the caller has gone. A second call does nothing."""
        if self._images:
            self._admission.release(self._client, self._images)
            self._images = 0


Decoded = TypeVar("Decoded")
NO_DEADLINE = float("inf")
MIN_RETRY_SECONDS = 0.05  # that a refused client should wait at least
# Share of a caller's remaining time that batches may take. The rest is for decoding, encoding and gRPC, which the
# batcher's estimate leaves out, and for the error of the estimate (decision 0030).
USABLE_SHARE = 0.5


class Classifier:
    """Admits requests, decodes their pictures and has the batcher of a served version predict them.

    Used from the event loop alone.
    """

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
        """Stores its parts. `decoders`: runs decoding off the event loop. `rates`: limits of API keys."""
        self.limits = limits
        self.max_images_per_request = max_images_per_request
        self.decoders = decoders
        self._registry = registry
        self._admission = admission
        self._rates = rates
        self._metrics = metrics
        # Created before they are needed: a series that appears with its first event hides that event from rate().
        self._remarks = {quality: metrics.remarks.labels((quality.name or "").lower()) for quality in Quality}

    async def classify(
        self, images: Images, caller: Caller, version: int = 0, deadline: float = NO_DEADLINE
    ) -> Predictions:
        """Predicts `images`, at most max_images_per_request, in their order.

        `caller`: admission divides the room by its name, and its key's rate limit applies. `version`: of the model,
        0 for the highest served. `deadline`: in time.monotonic() seconds.

        Raises InvalidRequestError, UnknownVersionError, OverloadedError, RateLimitedError, TooLateError, NotReadyError
        or ExpiredError; then no image of the request is answered.
        """
        if isinstance(images, np.ndarray):
            result: asyncio.Future[Predictions] = asyncio.get_running_loop().create_future()
            admitted = self.begin(images, caller, result, version, deadline)
            try:
                return await result
            finally:
                admitted.release()
        served = self._registry.served(version)
        count = len(images)
        if not count:
            raise InvalidRequestError("the request holds no image")
        with self.admitted(caller, count, served.batcher, deadline):
            began = time.monotonic()
            pixels, remarks = await self.decode(images)
            decode_seconds = time.monotonic() - began
            if served.batcher.is_closing:  # another version replaced it while the pictures were decoded
                served = self._registry.served_after_admission(version)
            predictions = await served.batcher.submit(pixels, deadline)
            return self.with_remarks(predictions, remarks)._replace(decode_seconds=decode_seconds)

    def begin(
        self, pixels: Pixels, caller: Caller, result: Result, version: int = 0, deadline: float = NO_DEADLINE
    ) -> Admitted:
        """Predicts `pixels` as classify() does, without a coroutine: `result` receives the outcome, later.

        Raises what classify() raises before inference. Release what it returns when the caller has gone.
        """
        served = self._registry.served(version)
        count = len(pixels)
        if not count:
            raise InvalidRequestError("the request holds no image")
        self._admit(caller.name, count, served.batcher, deadline)
        admitted = Admitted(self._admission, caller.name, count, result)
        try:
            self.charge(caller, count)  # after admission: what the server has no room for costs a key nothing
            served.batcher.enqueue(pixels, deadline, admitted)
        except Exception:
            admitted.release()
            raise
        return admitted

    def check_room(self, caller: Caller, deadline: float) -> None:
        """Refuses a request before its images are read, if there is no room or no time for even one.

        Raises OverloadedError, TooLateError, ExpiredError or NotReadyError.
        """
        batcher = self._registry.served().batcher  # of the version for most requests; the others' are alike
        self._check_deadline(1, batcher, deadline)
        if not self._admission.has_room(caller.name, 1):
            raise self._overloaded(1, batcher)

    @property
    def capacity(self) -> int:
        """Most images that the server holds at once."""
        return self._admission.capacity

    @contextmanager
    def admitted(self, caller: Caller, images: int, batcher: Batcher, deadline: float, held: int = 0) -> Iterator[None]:
        """Holds room for `images`, 1 or more, within the block, and charges the caller's key for them.

        `held`: images of the same request that were admitted before; then the key is charged whatever its rate.
        Raises OverloadedError, RateLimitedError, TooLateError or ExpiredError.
        """
        self._admit(caller.name, images, batcher, deadline, held)
        try:
            # After admission: what the server has no room for costs a key nothing.
            self.charge(caller, images, is_rest=held > 0)
            yield
        finally:
            self._admission.release(caller.name, images)

    def charge(self, caller: Caller, images: int, is_rest: bool = False) -> None:
        """Counts `images` against the rate of the caller's key. Raises RateLimitedError unless `is_rest`."""
        if caller.key:
            self._rates.charge(caller.key, images, is_rest)

    async def decode(self, images: Sequence[ImageInput]) -> tuple[Pixels, Mapping[int, IntFlag]]:
        """Decodes and frames encoded pictures; raw pixels stay as they are.

        Returns all pixels, (n, 784) uint8, and the Quality of those encoded pictures that have remarks, by index.
        Raises InvalidRequestError, which names the index of the image.
        """
        pixels = np.empty((len(images), PIXELS), np.uint8)
        encoded: dict[int, bytes] = {}
        for index, image in enumerate(images):  # refuses wrong lengths, which costs nothing, before anything is decoded
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
            self.count_remarks(quality)
        return pixels, qualities

    def with_remarks(self, predictions: Predictions, remarks: Mapping[int, IntFlag]) -> Predictions:
        """Returns the predictions with the remarks on their pictures; refuses and counts pictures of several glyphs.

        `remarks`: Quality by the image's index, from decode().
        """
        several = [index for index, quality in remarks.items() if Quality.SEVERAL_GLYPHS in quality]
        refused = predictions.with_refusal(several, Refusal.SEVERAL_GLYPHS)
        if refused is not predictions:
            images = int(np.count_nonzero(refused.refusals == Refusal.SEVERAL_GLYPHS))
            self._metrics.observe_refused(Refusal.SEVERAL_GLYPHS, images)
        return refused._replace(remarks=remarks)

    def count_remarks(self, quality: Quality) -> None:
        """Counts the remarks on one picture in the metrics."""
        for remark in quality:
            self._remarks[remark].inc()

    def decoding(self, decode: Callable[..., Decoded], *arguments: object) -> asyncio.Future[Decoded]:
        """Decodes one picture on the decoders' threads and observes the time that it takes there.

        Cancel the future when its result is no longer needed; a thread that has begun cannot be interrupted.
        """
        return asyncio.get_running_loop().run_in_executor(self.decoders, self._timed, decode, *arguments)

    def _timed(self, decode: Callable[..., Decoded], *arguments: object) -> Decoded:
        started = time.perf_counter()
        try:
            return decode(*arguments)
        finally:
            self._metrics.decode_seconds.observe(time.perf_counter() - started)

    def _admit(self, client: str, images: int, batcher: Batcher, deadline: float, held: int = 0) -> None:
        """Admits `images` of `client`. Raises ExpiredError or TooLateError by the deadline, or OverloadedError."""
        self._check_deadline(images, batcher, deadline)
        if not self._admission.admit(client, images, held):
            raise self._overloaded(images, batcher)

    def _check_deadline(self, images: int, batcher: Batcher, deadline: float) -> None:
        """Raises ExpiredError or TooLateError unless the response can be ready in time."""
        # On an idle server every request is tried: the estimate may be of slower times, and only running corrects it.
        if deadline != NO_DEADLINE and not batcher.is_idle:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise ExpiredError
            if (expected := batcher.expected_seconds(images)) > remaining * USABLE_SHARE:
                raise TooLateError(expected, remaining)

    def _overloaded(self, images: int, batcher: Batcher) -> OverloadedError:
        admission = self._admission
        # The estimate leaves out images that are being decoded: it is near 0 where only those fill the server.
        wait = max(batcher.expected_seconds(0), MIN_RETRY_SECONDS)
        return OverloadedError(images, admission.held, admission.capacity, wait)

    async def _decode_all(self, encoded: dict[int, bytes]) -> dict[int, Framed]:
        """Decodes pictures on the executor's threads, by index. The first that fails, in order, fails the request.

        A single small one is decoded at once: it takes a millisecond, and OpenCV gives the interpreter's lock away in
        each of its forty calls, which costs half as much again where another thread wants it.
        """
        ((first, content), *others) = encoded.items()
        # The first picture imports the decoder, which takes far longer.
        if not others and is_small_png(content) and "serving.image.framing" in sys.modules:
            return {first: self._timed(self._decode, first, content)}
        tasks = [self.decoding(self._decode, *item) for item in encoded.items()]
        try:
            framed = [await task for task in tasks]
        finally:
            for task in tasks:
                task.cancel()  # when one failed or the caller left
        return dict(zip(encoded, framed, strict=True))

    def _decode(self, index: int, content: bytes) -> Framed:
        # Imported here: OpenCV and Pillow take about 30 MiB, and raw pixels need neither.
        from serving.image.decode import decode
        from serving.image.framing import frame

        try:
            return frame(decode(content, self.limits))
        except InvalidRequestError as error:
            raise InvalidRequestError(f"image {index}: {error}") from error
