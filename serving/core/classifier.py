"""Classify use case: images in, predictions out. Knows no transport."""

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import IntFlag

import numpy as np

from serving.auth.api_keys import Caller
from serving.auth.rate_limits import RateLimits
from serving.core.admission import MIN_RETRY_SECONDS, Admission
from serving.core.batch_queue import NO_DEADLINE
from serving.core.batcher import Batcher, Result
from serving.core.candidates.canary import Canary
from serving.core.candidates.shadow import Shadow
from serving.core.feedback import Recorder
from serving.core.picture_decoder import Images, PictureDecoder
from serving.core.registry import Registry
from serving.core.results import Admitted, Recorded, Shadowed, Traced, note_batch
from serving.errors import ExpiredError, InvalidRequestError, OverloadedError, TooLateError
from serving.image.picture import Quality
from serving.metrics.metrics import Metrics
from serving.predictions import Pixels, Predictions, Refusal
from serving.traces.request_trace import DECODE_QUEUE, QUEUE

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
        pictures: PictureDecoder,
        max_images_per_request: int,
        metrics: Metrics,
        recorder: Recorder | None = None,
        shadow: Shadow | None = None,
        canary: Canary | None = None,
    ) -> None:
        """Stores its parts. `rates`: limits of API keys. `recorder`: takes what has a request's id; None: nothing.

        `shadow`: takes its share of the requests for a candidate version. `canary`: has its share answered by another.
        """
        self._canary = canary
        self._recorder = recorder
        self._shadow = shadow
        self.pictures = pictures
        self.max_images_per_request = max_images_per_request
        self._registry = registry
        self._admission = admission
        self._rates = rates
        self._metrics = metrics

    async def classify(
        self, images: Images, caller: Caller, version: int = 0, deadline: float = NO_DEADLINE
    ) -> Predictions:
        """Predicts `images`, at most max_images_per_request, in their order.

        `caller`: admission divides the room by its name, and its key's rate limit applies. `version`: of the model,
        0 for the highest served. `deadline`: in time.monotonic() seconds.

        Raises InvalidRequestError, UnknownVersionError, OverloadedError, DecodersFullError, RateLimitedError,
        TooLateError, NotReadyError or ExpiredError; then no image of the request is answered.
        """
        if isinstance(images, np.ndarray):
            result: asyncio.Future[Predictions] = asyncio.get_running_loop().create_future()
            admitted = self.begin(images, caller, result, version, deadline)
            try:
                return await result
            finally:
                admitted.release()
        served = self._registry.served(version)
        if self._canary and not version:
            served = self._canary.chosen(caller, served)
        count = len(images)
        if not count:
            raise InvalidRequestError("the request holds no image")
        costs, trace = self.pictures.costs(images), caller.trace
        if trace is not None:
            trace.admit(served.model.name, served.model.version, count)
        with self.admitted(caller, count, served.batcher, deadline, decoding=sum(costs.values())):
            began = time.monotonic()
            if trace is not None and costs:
                trace.enter(DECODE_QUEUE)
            pixels, remarks = await self.pictures.decode(images, costs, caller, deadline)
            decode_seconds = time.monotonic() - began
            if served.batcher.is_closing:  # another version replaced it while the pictures were decoded
                served = self._registry.served_after_admission(version)
            if trace is not None:
                trace.enter(QUEUE)
            predictions = await served.batcher.submit(pixels, deadline)
            if trace is not None:
                note_batch(trace, predictions)
            if self._shadow and self._shadow.is_chosen():
                self._shadow.offer(caller, pixels, predictions)
            predictions = self.with_remarks(predictions, remarks)._replace(decode_seconds=decode_seconds)
            self.record(caller, pixels, predictions)
            return predictions

    def record(self, caller: Caller, pixels: Pixels, predictions: Predictions) -> None:
        """Keeps a request's images, (n, 784), and their predictions at hand for feedback, where there is a store."""
        if self._recorder and caller.request_id:
            self._recorder.add(caller, pixels, predictions)

    def begin(
        self, pixels: Pixels, caller: Caller, result: Result, version: int = 0, deadline: float = NO_DEADLINE
    ) -> Admitted:
        """Predicts `pixels` as classify() does, without a coroutine: `result` receives the outcome, later.

        Raises what classify() raises before inference. Release what it returns when the caller has gone.
        """
        served = self._registry.served(version)
        if self._canary and not version:
            served = self._canary.chosen(caller, served)
        count = len(pixels)
        if not count:
            raise InvalidRequestError("the request holds no image")
        trace = caller.trace
        if trace is not None:
            trace.admit(served.model.name, served.model.version, count)
            result = Traced(trace, result)
        self._admit(caller.name, count, served.batcher, deadline)
        if self._recorder and caller.request_id:
            result = Recorded(self._recorder, caller, pixels, result)
        if self._shadow and self._shadow.is_chosen():
            result = Shadowed(self._shadow, caller, pixels, result)
        admitted = Admitted(self._admission, caller.name, count, result)
        try:
            self.charge(caller, count)  # after admission: what the server has no room for costs a key nothing
            if trace is not None:
                trace.enter(QUEUE)
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
    def admitted(
        self, caller: Caller, images: int, batcher: Batcher, deadline: float, held: int = 0, decoding: int = 0
    ) -> Iterator[None]:
        """Holds room for `images`, 1 or more, within the block, and charges the caller's key for them.

        `held`: images of the same request that were admitted before; then the key may be further ahead. `decoding`: the
        work of decoding them. Raises OverloadedError, DecodersFullError, RateLimitedError, TooLateError or
        ExpiredError, and InvalidRequestError for more images than the key's burst, or more work than there is room for.
        """
        self._admit(caller.name, images, batcher, deadline, held, decoding)
        try:
            with self.pictures.admitted(caller, decoding):
                # After admission: what the server has no room for costs a key nothing.
                self.charge(caller, images, held)
                yield
        finally:
            self._admission.release(caller.name, images)

    def charge(self, caller: Caller, images: int, held: int = 0) -> None:
        """Counts `images` against the rate of the caller's key. Raises what RateLimits.charge() raises."""
        if caller.key:
            self._rates.charge(caller.key, images, held)

    def with_remarks(self, predictions: Predictions, remarks: Mapping[int, IntFlag]) -> Predictions:
        """Returns the predictions with the remarks on their pictures; refuses and counts pictures of several glyphs.

        `remarks`: Quality by the image's index, from PictureDecoder.decode().
        """
        several = [index for index, quality in remarks.items() if Quality.SEVERAL_GLYPHS in quality]
        refused = predictions.with_refusal(several, Refusal.SEVERAL_GLYPHS)
        if refused is not predictions:
            images = int(np.count_nonzero(refused.refusals == Refusal.SEVERAL_GLYPHS))
            self._metrics.observe_refused(Refusal.SEVERAL_GLYPHS, images)
        return refused._replace(remarks=remarks)

    def _admit(
        self, client: str, images: int, batcher: Batcher, deadline: float, held: int = 0, decoding: int = 0
    ) -> None:
        """Admits `images` of `client`. Raises ExpiredError or TooLateError by the deadline, or OverloadedError."""
        self._check_deadline(images, batcher, deadline, self.pictures.expected_seconds(client, decoding))
        if not self._admission.admit(client, images, held):
            raise self._overloaded(images, batcher)

    def _check_deadline(self, images: int, batcher: Batcher, deadline: float, decode_seconds: float = 0.0) -> None:
        """Raises ExpiredError or TooLateError unless the response can be ready in time.

        `decode_seconds`: expected for the request's pictures where others are decoded or wait.
        """
        # On an idle server every request is tried: the estimate may be of slower times, and only running corrects it.
        if deadline != NO_DEADLINE and not (batcher.is_idle and not decode_seconds):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise ExpiredError
            if (expected := batcher.expected_seconds(images) + decode_seconds) > remaining * USABLE_SHARE:
                raise TooLateError(expected, remaining)

    def _overloaded(self, images: int, batcher: Batcher) -> OverloadedError:
        admission = self._admission
        # The estimate leaves out images that are being decoded: it is near 0 where only those fill the server.
        wait = max(batcher.expected_seconds(0), MIN_RETRY_SECONDS)
        return OverloadedError(images, admission.held, admission.capacity, wait)
