"""The shell around the batch queue: who waits for what, which thread runs the model, and each answer's way back.

1. All state belongs to the event loop; the inference thread knows only the batch it was given. So there is no lock.
2. Whatever was submitted in one turn of the loop leaves together, at the loop's next turn: no delay is added.
3. While a batch is with the thread, others queue; they leave when it is back. One hand-over each way for all callers.
4. A caller that has gone is skipped: its result is dropped, its neighbours' are not touched.
5. An inference that raises fails the callers of that batch and no others; the thread goes on.
6. close() answers all that was submitted before it, then ends the thread.
"""

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol

import numpy as np
import numpy.typing as npt

from serving.batch_queue import BatchQueue
from serving.errors import ExpiredError, NotReadyError
from serving.metrics import Metrics
from serving.onnx_model import PIXELS, Answers


@dataclass(frozen=True, slots=True)
class Rows:
    """The answers for n images, as plain lists: turning a whole batch at once is cheaper than row by row."""

    digits: list[int]
    novelties: list[float]
    probabilities: list[list[float]]  # [n][10]


@dataclass(slots=True)
class _Request:
    """One caller's images and the future that waits for their rows."""

    pixels: bytes  # images x 784
    images: int
    arrived: float
    deadline: float
    answer: "asyncio.Future[Rows]"

    def is_abandoned(self) -> bool:
        return self.answer.cancelled()


@dataclass(frozen=True, slots=True)
class _Finished:
    """A batch that ran, and its rows or what inference raised. Times in time.monotonic() seconds."""

    batch: list[_Request]
    outcome: Rows | Exception
    started: float
    ended: float


class RunModel(Protocol):
    """One inference: (n, 784) uint8 in, answers for n images out. Called from the inference thread."""

    def __call__(self, pixels: npt.NDArray[np.uint8], /) -> Answers:
        """Runs it."""


class Batcher:
    """Owns the queue and the inference thread from start() to close()."""

    def __init__(
        self,
        run: RunModel,
        metrics: Metrics,
        max_batch_size: int,
        max_queue_delay_seconds: float = 0.0,
    ) -> None:
        self._run = run
        self._metrics = metrics
        self._max_batch_size = max_batch_size
        self._queue: BatchQueue[_Request] = BatchQueue(max_batch_size, max_queue_delay_seconds)
        self._to_thread: SimpleQueue[list[_Request] | None] = SimpleQueue()  # at most one batch, then None to end
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)
        self._is_running = False  # a batch is with the thread
        # Made before they are needed: a series that appears with its first event hides that event from rate().
        self._dropped = {reason: metrics.dropped.labels(reason) for reason in ("abandoned", "expired")}
        self._looks_soon = False  # at the queue, at the next turn of the loop
        self._look_later: asyncio.TimerHandle | None = None  # when the configured delay is over
        self._is_closing = False
        self._is_drained = asyncio.Event()

    def start(self) -> None:
        """Starts the inference thread. Call on the event loop that will submit."""
        self._loop = asyncio.get_running_loop()
        self._metrics.queue_depth.set_function(lambda: self._queue.images)
        self._thread.start()

    async def close(self) -> None:
        """Answers what is queued, then ends the thread. A second call is harmless."""
        self._is_closing = True
        self._dispatch()
        await self._is_drained.wait()
        self._to_thread.put(None)
        await asyncio.to_thread(self._thread.join)

    async def submit(self, pixels: bytes, deadline: float = float("inf")) -> Rows:
        """Answers for the n images in `pixels`: n x 784 bytes, n at least 1. `deadline`: in time.monotonic() seconds.

        Raises ExpiredError when the deadline passes in the queue, NotReadyError after close(), or what inference
        raised.
        """
        largest = self._max_batch_size * PIXELS
        if len(pixels) <= largest:
            return await self._enqueue([pixels], deadline)[0]
        parts = self._enqueue([pixels[i : i + largest] for i in range(0, len(pixels), largest)], deadline)
        try:
            rows = await asyncio.gather(*parts)
        finally:
            for part in parts:
                part.cancel()  # when one part failed or the caller left, nobody waits for the others
        return Rows(
            [digit for part in rows for digit in part.digits],
            [novelty for part in rows for novelty in part.novelties],
            [row for part in rows for row in part.probabilities],
        )

    def _enqueue(self, parts: Sequence[bytes], deadline: float) -> "list[asyncio.Future[Rows]]":
        if self._is_closing:
            raise NotReadyError("the server is shutting down")
        now = time.monotonic()
        requests = [_Request(part, len(part) // PIXELS, now, deadline, self._loop.create_future()) for part in parts]
        for request in requests:
            self._queue.offer(request)
        waits_for_delay = self._look_later is not None and not self._queue.is_full
        if not (self._is_running or self._looks_soon or waits_for_delay):
            self._looks_soon = True
            self._loop.call_soon(self._dispatch)
        return [request.answer for request in requests]

    def _dispatch(self) -> None:
        """Gives the thread its next batch, if there is one and the thread is free; else sees to the next look."""
        self._looks_soon = False
        if self._look_later is not None:
            self._look_later.cancel()
            self._look_later = None
        if self._is_running:
            return
        taken = self._queue.take(time.monotonic())
        if taken.abandoned:
            self._dropped["abandoned"].inc(len(taken.abandoned))
        if taken.expired:
            self._dropped["expired"].inc(len(taken.expired))
            _fail(taken.expired, ExpiredError())
        if taken.batch:
            self._is_running = True
            self._to_thread.put(taken.batch)
        elif (ready_at := self._queue.ready_at()) is not None:
            self._look_later = self._loop.call_later(max(0.0, ready_at - time.monotonic()), self._dispatch)
        elif self._is_closing:
            self._is_drained.set()

    def _finish(self, finished: _Finished) -> None:
        """Gives a batch's callers their answers; the next batch leaves first, so that the model is not kept waiting."""
        self._is_running = False
        self._dispatch()
        self._metrics.inference_seconds.observe(finished.ended - finished.started)
        if isinstance(finished.outcome, Exception):
            _fail(finished.batch, finished.outcome)
        else:
            _answer(finished.batch, finished.outcome)
            self._observe(finished.batch, finished.outcome, finished.started)

    def _work(self) -> None:
        """The inference thread."""
        while (batch := self._to_thread.get()) is not None:
            self._loop.call_soon_threadsafe(self._finish, self._run_batch(batch))

    def _run_batch(self, batch: list[_Request]) -> _Finished:
        started = time.monotonic()
        outcome: Rows | Exception
        try:
            outcome = self._infer(batch)
        except Exception as error:  # the border of a batch: its callers fail, the next batch runs
            outcome = error
        return _Finished(batch, outcome, started, time.monotonic())

    def _infer(self, batch: list[_Request]) -> Rows:
        images = sum(request.images for request in batch)
        joined = batch[0].pixels if len(batch) == 1 else b"".join([request.pixels for request in batch])
        answers = self._run(np.frombuffer(joined, np.uint8).reshape(images, PIXELS))
        rows = Rows(answers.digit.tolist(), answers.novelty.tolist(), answers.probabilities.tolist())
        if not len(rows.digits) == len(rows.novelties) == len(rows.probabilities) == images:
            raise RuntimeError(f"the model answered {len(rows.digits)} of {images} images: this is a bug")
        return rows

    def _observe(self, batch: list[_Request], rows: Rows, started: float) -> None:
        self._metrics.batch_size.observe(len(rows.digits))
        for request in batch:
            self._metrics.queue_wait_seconds.observe(started - request.arrived)
        confidences = [row[digit] for row, digit in zip(rows.probabilities, rows.digits, strict=True)]
        self._metrics.observe_predictions(rows.digits, confidences)


def _answer(batch: list[_Request], rows: Rows) -> None:
    """Gives each caller its own rows."""
    start = 0
    for request in batch:
        end = start + request.images
        if not request.answer.done():
            request.answer.set_result(
                Rows(rows.digits[start:end], rows.novelties[start:end], rows.probabilities[start:end])
            )
        start = end


def _fail(batch: list[_Request], error: Exception) -> None:
    """Fails each caller that still waits."""
    for request in batch:
        if not request.answer.done():
            request.answer.set_exception(error)
