"""The batcher: queues requests, runs the model on batches of them, and gives each request its own predictions.

1. All state belongs to the event loop; where the model runs is the runner's affair. So there is no lock.
2. Whatever was submitted in one turn of the loop leaves together, at the loop's next turn: no delay is added.
3. While a batch runs, others queue; they leave when it is back, as one batch.
4. A caller that has gone is skipped: its result is dropped, its neighbours' are not touched.
5. A batch whose inference raises is run again request by request: only those fail whose images made it fail.
6. close() answers all that was submitted before it, then ends the runner.
7. While BACKLOG requests wait, batches run on the loop one after the other, for LONGEST_TURN_SECONDS at a time: under a
   flood of small calls the loop would spend its time on taking in what can only be refused (decision 0030).
8. It knows how long an answer takes: the time from one batch's end to the next one's, while there is always a next.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from serving.core.batch_queue import BatchQueue, Taken
from serving.core.runner import Done, InferenceRunner
from serving.errors import ExpiredError, NotReadyError
from serving.metrics.metrics import Metrics
from serving.predictions import BatchPredictions, Pixels, Predictions, join

BACKLOG = 256
LONGEST_TURN_SECONDS = 0.05
LEARNING_RATE = 0.2  # of the seconds for an image, with each batch


class _Request:
    """One request's images and the future that waits for their predictions."""

    __slots__ = ("arrived", "deadline", "images", "pixels", "result")

    def __init__(self, pixels: Pixels, arrived: float, deadline: float, result: "asyncio.Future[Predictions]") -> None:
        self.pixels = pixels
        self.images = len(pixels)
        self.arrived = arrived
        self.deadline = deadline
        self.result = result

    def is_abandoned(self) -> bool:
        return self.result.cancelled()


class Batcher:
    """Owns the queue and the runner from start() to close()."""

    def __init__(
        self,
        runner: InferenceRunner,
        metrics: Metrics,
        max_batch_size: int,
        max_queue_delay_seconds: float = 0.0,
        seconds_per_image: float = 0.0,
    ) -> None:
        """`seconds_per_image`: in a full batch, as far as known; learned from the batches that run."""
        self._runner = runner
        self._metrics = metrics
        self.max_batch_size = max_batch_size
        self._queue: BatchQueue[_Request] = BatchQueue(max_batch_size, max_queue_delay_seconds)
        self._running: list[_Request] = []  # the batch that is with the runner
        self._running_images = 0
        self._alone: deque[_Request] = deque()  # of batches that failed, to be run each for itself
        self._seconds_per_image = seconds_per_image
        self._busy_since: float | None = None  # the end of the last batch, where another waited
        # Made before they are needed: a series that appears with its first event hides that event from rate().
        self._dropped = {reason: metrics.dropped.labels(reason) for reason in ("abandoned", "expired")}
        self._looks_soon = False  # at the queue, at the next turn of the loop
        self._look_later: asyncio.TimerHandle | None = None  # when the configured delay is over
        self.is_closing = False
        self.running_since: float | None = None  # when the batch that is with the runner was given to it
        self._is_drained = asyncio.Event()

    def start(self) -> None:
        """Starts the runner. Call on the event loop that will submit."""
        self._loop = asyncio.get_running_loop()
        self._runner.start()

    async def close(self) -> None:
        """Answers what is queued, then ends the runner. A second call is harmless."""
        self.is_closing = True
        self._dispatch()
        await self._is_drained.wait()
        await self._runner.close()

    async def submit(self, pixels: Pixels, deadline: float = float("inf")) -> Predictions:
        """Predicts `pixels`, (n, 784) uint8, n at least 1. `deadline`: in time.monotonic() seconds.

        Raises ExpiredError when the deadline passes in the queue, NotReadyError after close(), or what inference
        raised.
        """
        largest = self.max_batch_size
        if len(pixels) <= largest:
            return await self._enqueue(pixels, deadline)
        parts = [self._enqueue(pixels[i : i + largest], deadline) for i in range(0, len(pixels), largest)]
        try:
            return join(await asyncio.gather(*parts))
        finally:
            for part in parts:
                part.cancel()  # when one part failed or the caller left, nobody waits for the others

    @property
    def queued_images(self) -> int:
        """Images that wait for a batch."""
        return self._queue.images

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not (self._running or self._alone or self._queue.images)

    def expected_seconds(self, images: int) -> float:
        """How long the answer for `images` more would take: what runs, what waits, and they."""
        return (self._running_images + self._queue.images + images) * self._seconds_per_image

    def _enqueue(self, pixels: Pixels, deadline: float) -> "asyncio.Future[Predictions]":
        if self.is_closing:
            raise NotReadyError("the server is shutting down")
        request = _Request(pixels, time.monotonic(), deadline, self._loop.create_future())
        self._queue.offer(request)
        waits_for_delay = self._look_later is not None and not self._queue.is_full
        if not (self._running or waits_for_delay):
            self._look_soon()
        return request.result

    def _look_soon(self) -> None:
        if not self._looks_soon:
            self._looks_soon = True
            self._loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """Has the next batch run, if there is one and none is running; else sees to the next look."""
        self._looks_soon = False
        if self._look_later is not None:
            self._look_later.cancel()
            self._look_later = None
        turn_ends = time.monotonic() + LONGEST_TURN_SECONDS
        while not self._running and self._is_behind and time.monotonic() < turn_ends:
            self._run_next(self._runner.run_here)
        if not self._running:
            self._run_next(self._runner.run)

    @property
    def _is_behind(self) -> bool:
        return self._queue.is_full and len(self._queue) >= BACKLOG

    def _run_next(self, run: Callable[[Pixels, Done], None]) -> None:
        """Has the next batch run, if there is one; else sees to the next look."""
        taken = self._take_alone() if self._alone else self._queue.take(time.monotonic())
        if taken.abandoned:
            self._dropped["abandoned"].inc(len(taken.abandoned))
        if taken.expired:
            self._dropped["expired"].inc(len(taken.expired))
            _fail(taken.expired, ExpiredError())
        if taken.batch:
            self._run(taken.batch, run)
        elif self._alone:
            self._look_soon()
        elif (ready_at := self._queue.ready_at()) is not None:
            self._look_later = self._loop.call_later(max(0.0, ready_at - time.monotonic()), self._dispatch)
        elif self.is_closing:
            self._is_drained.set()

    def _take_alone(self) -> Taken[_Request]:
        """The next request of a batch that failed, if somebody still waits for it."""
        one: BatchQueue[_Request] = BatchQueue(self.max_batch_size)
        one.offer(self._alone.popleft())
        return one.take(time.monotonic())

    def _run(self, batch: list[_Request], run: Callable[[Pixels, Done], None]) -> None:
        self._running = batch
        self.running_since = time.monotonic()
        self._running_images = sum(request.images for request in batch)
        pixels = batch[0].pixels if len(batch) == 1 else np.concatenate([request.pixels for request in batch])
        run(pixels, self._finish)

    def _finish(self, outcome: BatchPredictions | Exception, started: float, ended: float) -> None:
        """Gives the batch's requests their predictions; what has queued meanwhile leaves at the loop's next turn."""
        batch, self._running = self._running, []
        if self._busy_since is not None:
            seconds = (ended - self._busy_since) / self._running_images
            self._seconds_per_image += LEARNING_RATE * (seconds - self._seconds_per_image)
        else:  # a lone batch takes no less for an image than a busy one: by it the estimate may fall, not rise
            alone = (ended - started) / self._running_images
            self._seconds_per_image += LEARNING_RATE * min(0.0, alone - self._seconds_per_image)
        self._busy_since = ended if self._queue.images else None
        self._running_images = 0
        self.running_since = None
        if self._alone or self._queue.images or self.is_closing:
            self._look_soon()
        self._metrics.inference_seconds.observe(ended - started)
        if not isinstance(outcome, Exception):
            _answer(batch, outcome, started, ended - started)
            self._metrics.observe_batch(outcome, [started - request.arrived for request in batch])
        elif len(batch) == 1:
            _fail(batch, outcome)
        else:
            self._alone += batch
            self._look_soon()


def _answer(batch: list[_Request], predictions: BatchPredictions, started: float, seconds: float) -> None:
    """Gives each request that still waits its own rows."""
    images, start = len(predictions), 0
    for request in batch:
        end = start + request.images
        if not request.result.done():
            waited = started - request.arrived
            request.result.set_result(Predictions(predictions, start, end, waited, seconds, images))
        start = end


def _fail(batch: list[_Request], error: Exception) -> None:
    """Fails each request that still waits."""
    for request in batch:
        if not request.result.done():
            request.result.set_exception(error)
