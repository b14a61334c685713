"""Decodes the pictures of requests, on threads that clients share fairly, and counts the remarks on them."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from enum import IntFlag
from functools import partial
from typing import TypeVar

import numpy as np

from serving.auth.api_keys import Caller
from serving.core.batch_queue import NO_DEADLINE
from serving.core.decoders import Decoders
from serving.core.drift import DriftObserver
from serving.errors import ExpiredError, InvalidRequestError
from serving.image.header import decoding_units
from serving.image.picture import Framed, ImageLimits, Quality, is_small_png
from serving.metrics.metrics import Metrics
from serving.predictions import NO_REMARKS, PIXELS, Pixels
from serving.traces.request_trace import RequestTrace


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """Bytes of a picture file, still to be decoded."""

    content: bytes


# One image: 784 bytes, row-major 28x28, 0 = paper, 255 = ink, which are not framed; or a picture file.
ImageInput = bytes | EncodedImage
# Images of one request: raw pixels alone, in one array (n, 784); or a mixture of both kinds.
Images = Pixels | Sequence[ImageInput]

Decoded = TypeVar("Decoded")


@asynccontextmanager
async def before(deadline: float) -> AsyncIterator[None]:
    """Limits the block to `deadline`, in time.monotonic() seconds. Raises ExpiredError."""
    try:
        async with asyncio.timeout(None if deadline == NO_DEADLINE else deadline - time.monotonic()):
            yield
    except TimeoutError:
        raise ExpiredError from None


class PictureDecoder:
    """Decodes pictures of requests. Used from the event loop alone."""

    def __init__(
        self, limits: ImageLimits, decoders: Decoders, metrics: Metrics, drift: DriftObserver | None = None
    ) -> None:
        """Stores its parts. `drift`: observes what decode() frames."""
        self.limits = limits
        self._decoders = decoders
        self._drift = drift
        self._seconds = metrics.decode_seconds
        # Created before they are needed: a series that appears with its first event hides that event from rate().
        self._remarks = {quality: metrics.remarks.labels((quality.name or "").lower()) for quality in Quality}

    def costs(self, images: Sequence[ImageInput]) -> dict[int, int]:
        """Returns the work of decoding each picture file, by index; 0 for one that decode() decodes at once.

        A single small one: it takes a millisecond, and OpenCV gives the interpreter's lock away in each of its forty
        calls, which costs half as much again where another thread wants it. Raises InvalidRequestError for raw pixels
        of another number.
        """
        costs = {}
        for index, image in enumerate(images):
            if isinstance(image, EncodedImage):
                costs[index] = self.cost(image.content)
            elif len(image) != PIXELS:
                raise InvalidRequestError(f"image {index}: expected {PIXELS} pixels, got {len(image)}")
        # The first picture imports the decoder, which takes far longer.
        if len(costs) == 1 and "serving.image.framing" in sys.modules:
            ((index, _),) = costs.items()
            image = images[index]
            if isinstance(image, EncodedImage) and is_small_png(image.content):
                costs[index] = 0
        return costs

    def cost(self, picture: bytes) -> int:
        """Returns the work of decoding a picture file, 1 or more."""
        return decoding_units(picture, self.limits)

    def expected_seconds(self, client: str, cost: int) -> float:
        """Returns how long work of this cost would take, with its wait; 0 where nothing waits or runs."""
        return self._decoders.expected_seconds(client, cost) if cost else 0.0

    def admitted(self, caller: Caller, cost: int) -> AbstractContextManager[None]:
        """Holds room for work of this cost within the block. Raises DecodersFullError or InvalidRequestError."""
        return self._decoders.admitted(caller.name, cost)

    async def decode(
        self, images: Sequence[ImageInput], costs: Mapping[int, int], caller: Caller, deadline: float
    ) -> tuple[Pixels, Mapping[int, IntFlag]]:
        """Decodes and frames picture files, before the deadline; raw pixels stay as they are. `costs`: of costs().

        Returns all pixels, (n, 784) uint8, and the Quality of those pictures that have remarks, by index. The first
        that fails, in order, fails all. Raises InvalidRequestError, which names the index, or ExpiredError.
        """
        pixels = np.empty((len(images), PIXELS), np.uint8)
        works: dict[int, Callable[[], Framed]] = {}
        for index, image in enumerate(images):
            if isinstance(image, EncodedImage):
                works[index] = partial(self._frame, index, image.content, caller.trace)
            else:
                pixels[index] = np.frombuffer(image, np.uint8)
        if not works:
            return pixels, NO_REMARKS
        remarks: dict[int, IntFlag] = {}
        done = await self._done(works, costs, caller, deadline)
        if caller.trace is not None:
            caller.trace.decoded()
        if self._drift is not None:
            self._drift.observe_pictures(done.values())
        for index, framed in done.items():
            pixels[index] = framed.pixels
            if framed.quality:
                remarks[index] = framed.quality
                self.count_remarks(framed.quality)
        return pixels, remarks

    def run(
        self, caller: Caller, cost: int, work: Callable[[], Decoded], *, is_long: bool = False
    ) -> asyncio.Future[Decoded]:
        """Runs the work for one picture on a thread when it is the caller's turn, and observes its time there.

        `is_long`: it may take long, whatever it costs. Cancel the future when its result is no longer needed; a thread
        that has begun cannot be interrupted.
        """
        return self._decoders.run(caller.name, cost, partial(self._timed, work), is_long=is_long)

    def run_after(self, caller: Caller, work: Callable[[], Decoded]) -> asyncio.Future[Decoded]:
        """Runs short work that belongs to a picture which was decoded before."""
        return self._decoders.run(caller.name, 1, work)

    def count_remarks(self, quality: Quality) -> None:
        """Counts the remarks on one picture in the metrics."""
        for remark in quality:
            self._remarks[remark].inc()

    async def _done(
        self, works: Mapping[int, Callable[[], Framed]], costs: Mapping[int, int], caller: Caller, deadline: float
    ) -> dict[int, Framed]:
        if not any(costs.values()):
            return {index: self._timed(work) for index, work in works.items()}
        tasks = {index: self.run(caller, costs[index], work) for index, work in works.items()}
        try:
            async with before(deadline):
                return {index: await task for index, task in tasks.items()}
        finally:
            for task in tasks.values():
                task.cancel()  # when one failed or the caller left

    def _frame(self, index: int, content: bytes, trace: RequestTrace | None) -> Framed:
        if trace is not None:
            trace.note_decoding()
        # Imported here: OpenCV and Pillow take about 30 MiB, and raw pixels need neither.
        from serving.image.decode import decode
        from serving.image.framing import frame

        try:
            grey = decode(content, self.limits)
            if trace is not None:
                trace.note_decoded()
            return frame(grey)
        except InvalidRequestError as error:
            raise InvalidRequestError(f"image {index}: {error}") from error

    def _timed(self, work: Callable[[], Decoded]) -> Decoded:
        started = time.perf_counter()
        try:
            return work()
        finally:
            self._seconds.observe(time.perf_counter() - started)
