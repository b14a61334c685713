"""Queues requests, runs the model on batches of them, and gives each request its own predictions: the batcher.

1. All state belongs to the event loop, so there is no lock. The runner decides on which thread the model runs.
2. Requests submitted in one turn of the loop leave together at the loop's next turn: no delay is added.
3. While a batch runs, later requests queue. They leave when it has ended, as one batch.
4. A request whose caller has gone is dropped. The other requests of its batch are not affected.
5. A batch whose inference raises is run again request by request: only requests fail whose own images cause it.
6. close() answers every request submitted before it, then ends the runner.
7. The batcher estimates how long a response takes from the time between the ends of consecutive batches under load.
"""

import asyncio
import time
from collections import deque
from typing import Protocol

import numpy as np

from serving.core.batch_queue import NO_DEADLINE, BatchQueue, Taken
from serving.core.drift import DriftObserver
from serving.core.runner import InferenceRunner
from serving.errors import ExpiredError, NotReadyError
from serving.metrics.metrics import Metrics
from serving.predictions import BatchPredictions, Pixels, Predictions, join

MOST_GROWTH = 10.0  # of one batch's seconds per image, to the average so far
SMOOTHING = 0.2  # weight of the newest batch in the moving average of seconds per image


class Result(Protocol):
    """Receives the predictions of one request, or its error: an asyncio.Future, or an object that acts at once."""

    def cancelled(self) -> bool:
        """Returns True when the caller has gone: the request need not run."""

    def done(self) -> bool:
        """Returns True when the caller has gone or has a result: it takes no other."""

    def set_result(self, predictions: Predictions, /) -> None:
        """Takes the predictions. It must not raise."""

    def set_exception(self, error: Exception, /) -> None:
        """Takes the error. It must not raise."""


class _Request:
    """One request's images, (n, 784) uint8, and what receives their predictions."""

    __slots__ = ("arrived", "deadline", "images", "pixels", "result")

    def __init__(self, pixels: Pixels, arrived: float, deadline: float, result: Result) -> None:
        self.pixels = pixels
        self.images = len(pixels)
        self.arrived = arrived
        self.deadline = deadline
        self.result = result

    def is_abandoned(self) -> bool:
        """Returns True when the caller has gone."""
        return self.result.cancelled()  # of a future: asyncio cancels what a cancelled task awaits


class _Whole:
    """Result of a request that is larger than a batch, from those of its parts."""

    def __init__(self, result: Result, parts: int) -> None:
        self.result = result
        self._parts: list[Predictions | None] = [None] * parts

    def add(self, index: int, predictions: Predictions) -> None:
        """Takes the predictions of one part. The last one completes the result."""
        self._parts[index] = predictions
        found = [part for part in self._parts if part is not None]
        if len(found) == len(self._parts):
            self.result.set_result(join(found))


class _Part:
    """Result of a part. When another part failed or the caller left, it need not run."""

    def __init__(self, whole: _Whole, index: int) -> None:
        self._whole = whole
        self._index = index

    def cancelled(self) -> bool:
        return self._whole.result.done()

    def done(self) -> bool:
        return self._whole.result.done()

    def set_result(self, predictions: Predictions, /) -> None:
        self._whole.add(self._index, predictions)

    def set_exception(self, error: Exception, /) -> None:
        self._whole.result.set_exception(error)


class Batcher:
    """Owns the queue and the runner of one model version, from start() to close(). Not thread-safe."""

    def __init__(
        self,
        runner: InferenceRunner,
        metrics: Metrics,
        max_batch_size: int,
        max_queue_delay_seconds: float = 0.0,
        seconds_per_image: float = 0.0,
        drift: DriftObserver | None = None,
    ) -> None:
        """Creates a batcher with an empty queue.

        `max_batch_size`: images in one batch. `max_queue_delay_seconds`: longest wait for a fuller batch.
        `seconds_per_image`: first estimate, of a full batch; the batches that run refine it.
        `drift`: observes answered batches.
        """
        self._runner = runner
        self._metrics = metrics
        self._drift = drift
        self._pixels: Pixels | None = None  # of the running batch, where drift is observed
        self.max_batch_size = max_batch_size
        self._queue: BatchQueue[_Request] = BatchQueue(max_batch_size, max_queue_delay_seconds)
        self._running: list[_Request] = []  # the batch that the runner has; at most one at a time
        self._running_images = 0
        self._retries: deque[_Request] = deque()  # requests of failed batches, to be run one by one, before the queue
        self._seconds_per_image = seconds_per_image
        self._previous_end: float | None = None  # end of the previous batch; None unless another waited by then
        # Created before they are needed: a series that appears with its first event hides that event from rate().
        self._dropped = {reason: metrics.dropped.labels(reason) for reason in ("abandoned", "expired")}
        self._is_dispatch_due = False  # at the next turn of the loop
        self._delay_timer: asyncio.TimerHandle | None = None  # dispatches when the configured delay is over
        self.is_closing = False
        self.running_since: float | None = None  # start of the running batch, time.monotonic(); the watchdog reads it
        self._is_drained = asyncio.Event()

    def start(self) -> None:
        """Starts the runner. Call on the event loop that will call submit()."""
        self._loop = asyncio.get_running_loop()
        self._runner.start()

    async def close(self) -> None:
        """Answers the requests in the queue, then ends the runner. A second call is harmless."""
        self.is_closing = True  # first: submit() refuses from here on, so the queue can only shrink
        self._queue.delay_seconds = 0.0
        self._dispatch()  # at once, also what waits for the configured delay
        await self._is_drained.wait()
        await self._runner.close()

    async def submit(self, pixels: Pixels, deadline: float = NO_DEADLINE) -> Predictions:
        """Predicts `pixels`, (n, 784) uint8, n at least 1, in as many batches as needed.

        `deadline`: in time.monotonic() seconds. Raises ExpiredError when it passes in the queue, NotReadyError after
        close(), or the error that inference raised.
        """
        result: asyncio.Future[Predictions] = self._loop.create_future()
        self.enqueue(pixels, deadline, result)
        return await result

    def enqueue(self, pixels: Pixels, deadline: float, result: Result) -> None:
        """Queues `pixels` as submit() does; `result` receives the outcome. Raises NotReadyError after close()."""
        if self.is_closing:
            raise NotReadyError("the server is shutting down")
        largest = self.max_batch_size
        if len(pixels) <= largest:
            self._enqueue(pixels, deadline, result)
            return
        starts = range(0, len(pixels), largest)
        whole = _Whole(result, len(starts))
        for index, start in enumerate(starts):
            self._enqueue(pixels[start : start + largest], deadline, _Part(whole, index))

    @property
    def queued_images(self) -> int:
        """Images that wait for a batch, without those of the running one."""
        return self._queue.images

    @property
    def is_idle(self) -> bool:
        """Indicates that no batch runs and no request waits."""
        return not (self._running or self._retries or self._queue.images)

    def expected_seconds(self, images: int) -> float:
        """Estimates the seconds until `images` more would be answered: the running batch, the queue, and they."""
        return (self._running_images + self._queue.images + images) * self._seconds_per_image

    def _enqueue(self, pixels: Pixels, deadline: float, result: Result) -> None:
        self._queue.offer(_Request(pixels, time.monotonic(), deadline, result))
        waits_for_delay = self._delay_timer is not None and not self._queue.is_full
        if not (self._running or waits_for_delay):  # while a batch runs, its end dispatches
            self._dispatch_soon()

    def _dispatch_soon(self) -> None:
        # Not at once: the calls that the loop has yet to handle in this turn join the same batch.
        if not self._is_dispatch_due:
            self._is_dispatch_due = True
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """Runs the next batch, unless one is running; schedules the next dispatch where no batch may leave yet."""
        self._is_dispatch_due = False
        if self._delay_timer is not None:
            self._delay_timer.cancel()
            self._delay_timer = None
        if self._running:
            return
        taken = self._take_retry() if self._retries else self._queue.take(time.monotonic())
        if taken.abandoned:
            self._dropped["abandoned"].inc(len(taken.abandoned))
        if taken.expired:
            self._dropped["expired"].inc(len(taken.expired))
            _fail(taken.expired, ExpiredError())
        if taken.batch:
            self._run(taken.batch)
        elif self._retries:  # the one just taken was abandoned or expired
            self._dispatch_soon()
        elif (ready_at := self._queue.ready_at()) is not None:
            self._delay_timer = self._loop.call_later(max(0.0, ready_at - time.monotonic()), self._dispatch)
        elif self.is_closing:
            self._is_drained.set()

    def _take_retry(self) -> Taken[_Request]:
        """Takes the next request of a failed batch, as a batch of its own unless it is abandoned or expired."""
        queue: BatchQueue[_Request] = BatchQueue(self.max_batch_size)  # for its rules on abandoned and expired ones
        queue.offer(self._retries.popleft())
        return queue.take(time.monotonic())

    def _run(self, batch: list[_Request]) -> None:
        self._running = batch
        self.running_since = time.monotonic()
        self._running_images = sum(request.images for request in batch)
        pixels = batch[0].pixels if len(batch) == 1 else np.concatenate([request.pixels for request in batch])
        if self._drift is not None:
            self._pixels = pixels
        self._runner.run(pixels, self._finish)  # may call _finish before it returns: no statement may follow

    def _finish(self, outcome: BatchPredictions | Exception, started: float, ended: float) -> None:
        """Resolves the running batch's requests. Queued requests leave at the loop's next turn."""
        batch, self._running = self._running, []
        if self._previous_end is not None:  # from end to end: includes what the loop does between two inferences
            seconds = (ended - self._previous_end) / self._running_images
            if self._seconds_per_image:  # a process that was suspended took no time that its callers will have to wait
                seconds = min(seconds, MOST_GROWTH * self._seconds_per_image)
            # What waits leaves in full batches: a small one, which takes more for each image, says little about them.
            is_lower = seconds < self._seconds_per_image or not self._seconds_per_image
            weight = 1.0 if is_lower else self._running_images / self.max_batch_size
            self._seconds_per_image += SMOOTHING * weight * (seconds - self._seconds_per_image)
        else:  # a small batch on an idle server takes more per image than a full one: it may only lower the estimate
            seconds = (ended - started) / self._running_images
            self._seconds_per_image += SMOOTHING * min(0.0, seconds - self._seconds_per_image)
        self._previous_end = ended if self._queue.images else None
        images, self._running_images = self._running_images, 0
        pixels, self._pixels = self._pixels, None
        self.running_since = None
        if self._retries or self._queue.images or self.is_closing:
            self._dispatch_soon()
        self._metrics.observe_inference(images, ended - started)
        if not isinstance(outcome, Exception):
            _deliver(batch, outcome, started, ended - started)
            self._metrics.observe_batch(outcome, [started - request.arrived for request in batch])
            if self._drift is not None and pixels is not None and ended >= self._drift.due:
                self._drift.observe(outcome, pixels)  # last: the answers have left
        elif len(batch) == 1:
            _fail(batch, outcome)
        else:  # one request's images may be the cause: run each by itself
            self._retries += batch
            self._dispatch_soon()


def _deliver(batch: list[_Request], predictions: BatchPredictions, started: float, seconds: float) -> None:
    """Resolves each request that is still awaited with its own rows of `predictions`."""
    images, start = len(predictions), 0
    for request in batch:
        end = start + request.images
        if not request.result.done():
            waited = started - request.arrived
            request.result.set_result(Predictions(predictions, start, end, waited, seconds, images))
        start = end


def _fail(batch: list[_Request], error: Exception) -> None:
    """Fails each request that is still awaited."""
    for request in batch:
        if not request.result.done():
            request.result.set_exception(error)
