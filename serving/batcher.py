"""The shell around the batch queue: who waits for what, when the model runs, and each answer's way back.

1. All state belongs to the event loop; where the model runs is the runner's affair. So there is no lock.
2. Whatever was submitted in one turn of the loop leaves together, at the loop's next turn: no delay is added.
3. While a batch runs, others queue; they leave when it is back, as one batch.
4. A caller that has gone is skipped: its result is dropped, its neighbours' are not touched.
5. An inference that raises fails the callers of that batch and no others; the next batch runs.
6. close() answers all that was submitted before it, then ends the runner.
"""

import asyncio
import time

import numpy as np

from serving.batch_queue import BatchQueue
from serving.errors import ExpiredError, NotReadyError
from serving.inference_runner import Inference, InferenceRunner
from serving.metrics import Metrics
from serving.rows import BatchRows, Pixels, Rows, Timing, joined


class _Request:
    """One caller's images and the future that waits for their rows."""

    __slots__ = ("answer", "arrived", "deadline", "images", "pixels")

    def __init__(self, pixels: Pixels, arrived: float, deadline: float, answer: "asyncio.Future[Rows]") -> None:
        self.pixels = pixels
        self.images = len(pixels)
        self.arrived = arrived
        self.deadline = deadline
        self.answer = answer

    def is_abandoned(self) -> bool:
        return self.answer.cancelled()


class Batcher:
    """Owns the queue and the runner from start() to close()."""

    def __init__(
        self,
        runner: InferenceRunner,
        metrics: Metrics,
        max_batch_size: int,
        max_queue_delay_seconds: float = 0.0,
    ) -> None:
        self._runner = runner
        self._metrics = metrics
        self.max_batch_size = max_batch_size
        self._queue: BatchQueue[_Request] = BatchQueue(max_batch_size, max_queue_delay_seconds)
        self._running: list[_Request] = []  # the batch that is with the runner
        # Made before they are needed: a series that appears with its first event hides that event from rate().
        self._dropped = {reason: metrics.dropped.labels(reason) for reason in ("abandoned", "expired")}
        self._looks_soon = False  # at the queue, at the next turn of the loop
        self._look_later: asyncio.TimerHandle | None = None  # when the configured delay is over
        self._is_closing = False
        self._is_drained = asyncio.Event()

    def start(self) -> None:
        """Starts the runner. Call on the event loop that will submit."""
        self._loop = asyncio.get_running_loop()
        self._metrics.queue_depth.set_function(lambda: self._queue.images)
        self._runner.start()

    async def close(self) -> None:
        """Answers what is queued, then ends the runner. A second call is harmless."""
        self._is_closing = True
        self._dispatch()
        await self._is_drained.wait()
        await self._runner.close()

    async def submit(self, pixels: Pixels, deadline: float = float("inf")) -> Rows:
        """Answers for `pixels`: (n, 784) uint8, n at least 1. `deadline`: in time.monotonic() seconds.

        Raises ExpiredError when the deadline passes in the queue, NotReadyError after close(), or what inference
        raised.
        """
        largest = self.max_batch_size
        if len(pixels) <= largest:
            return await self._enqueue(pixels, deadline)
        parts = [self._enqueue(pixels[i : i + largest], deadline) for i in range(0, len(pixels), largest)]
        try:
            return joined(await asyncio.gather(*parts))
        finally:
            for part in parts:
                part.cancel()  # when one part failed or the caller left, nobody waits for the others

    def _enqueue(self, pixels: Pixels, deadline: float) -> "asyncio.Future[Rows]":
        if self._is_closing:
            raise NotReadyError("the server is shutting down")
        request = _Request(pixels, time.monotonic(), deadline, self._loop.create_future())
        self._queue.offer(request)
        waits_for_delay = self._look_later is not None and not self._queue.is_full
        if not (self._running or waits_for_delay):
            self._look_soon()
        return request.answer

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
        if self._running:
            return
        taken = self._queue.take(time.monotonic())
        if taken.abandoned:
            self._dropped["abandoned"].inc(len(taken.abandoned))
        if taken.expired:
            self._dropped["expired"].inc(len(taken.expired))
            _fail(taken.expired, ExpiredError())
        if batch := taken.batch:
            self._running = batch
            pixels = batch[0].pixels if len(batch) == 1 else np.concatenate([request.pixels for request in batch])
            self._runner.run(pixels, self._finish)
        elif (ready_at := self._queue.ready_at()) is not None:
            self._look_later = self._loop.call_later(max(0.0, ready_at - time.monotonic()), self._dispatch)
        elif self._is_closing:
            self._is_drained.set()

    def _finish(self, inference: Inference) -> None:
        """Gives the batch's callers their answers; what has queued meanwhile leaves at the loop's next turn."""
        batch, self._running = self._running, []
        if self._queue.images or self._is_closing:
            self._look_soon()
        self._metrics.inference_seconds.observe(inference.ended - inference.started)
        if isinstance(inference.outcome, Exception):
            _fail(batch, inference.outcome)
        else:
            _answer(batch, inference.outcome, inference)
            self._metrics.observe_batch(inference.outcome, [inference.started - request.arrived for request in batch])


def _answer(batch: list[_Request], rows: BatchRows, inference: Inference) -> None:
    """Gives each caller its own rows."""
    images, seconds, start = len(rows), inference.ended - inference.started, 0
    for request in batch:
        end = start + request.images
        if not request.answer.done():
            timing = Timing(inference.started - request.arrived, seconds, images)
            request.answer.set_result(Rows(rows, start, end, timing))
        start = end


def _fail(batch: list[_Request], error: Exception) -> None:
    """Fails each caller that still waits."""
    for request in batch:
        if not request.answer.done():
            request.answer.set_exception(error)
