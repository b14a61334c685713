"""The shell around the batch queue: a thread that runs the model, and the way of each answer back to its caller.

1. Callers submit on the event loop; one inference thread takes batches. The queue's lock is held for microseconds.
2. While a batch runs, others queue; the thread takes them as its next batch. No delay is added unless configured.
3. A finished batch goes back to the loop in one hand-over, however many callers it answers.
4. A caller that has gone is skipped: its result is dropped, its neighbours' are not touched.
5. An inference that raises fails the callers of that batch and no others; the thread goes on.
6. close() answers all that was submitted before it, then ends the thread.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._metrics = metrics
        self._max_batch_size = max_batch_size
        self._clock = clock
        self._queue: BatchQueue[_Request] = BatchQueue(max_batch_size, max_queue_delay_seconds)
        self._changed = threading.Condition()
        self._is_idle = False
        self._is_closing = False
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)

    def start(self) -> None:
        """Starts the inference thread. Call on the event loop that will submit."""
        self._loop = asyncio.get_running_loop()
        self._metrics.queue_depth.set_function(lambda: self._queue.images)
        self._thread.start()

    async def close(self) -> None:
        """Lets the thread answer what is queued, then ends it. A second call is harmless."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)
        await asyncio.sleep(0)  # the last hand-over was scheduled before the thread ended

    async def submit(self, pixels: bytes, deadline: float = float("inf")) -> Rows:
        """Answers for the n images in `pixels`: n x 784 bytes, n at least 1. `deadline`: in the clock's seconds.

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
        now = self._clock()
        requests = [_Request(part, len(part) // PIXELS, now, deadline, self._loop.create_future()) for part in parts]
        with self._changed:
            if self._is_closing:
                raise NotReadyError("the server is shutting down")
            for request in requests:
                self._queue.offer(request)
            if self._is_idle:
                self._changed.notify()
        return [request.answer for request in requests]

    def _work(self) -> None:
        while (batch := self._next_batch()) is not None:
            try:
                started = self._clock()
                rows = self._infer(batch)
                ended = self._clock()
                self._hand_over(_answer, batch, rows)
                self._observe(batch, rows, started, ended)
            except Exception as error:  # the border of the thread's loop: these callers fail, the next batch runs
                self._hand_over(_fail, batch, error)

    def _next_batch(self) -> list[_Request] | None:
        """Waits until a batch may leave. None: closing, and nothing is left."""
        with self._changed:
            while True:
                taken = self._queue.take(self._clock())
                if taken.abandoned:
                    self._metrics.dropped.labels("abandoned").inc(len(taken.abandoned))
                if taken.expired:
                    self._metrics.dropped.labels("expired").inc(len(taken.expired))
                    self._hand_over(_fail, taken.expired, ExpiredError())
                if taken.batch:
                    return taken.batch
                ready_at = self._queue.ready_at()
                if ready_at is None and self._is_closing:
                    return None
                self._is_idle = True
                self._changed.wait(None if ready_at is None else max(0.0, ready_at - self._clock()))
                self._is_idle = False

    def _infer(self, batch: list[_Request]) -> Rows:
        images = sum(request.images for request in batch)
        joined = batch[0].pixels if len(batch) == 1 else b"".join([request.pixels for request in batch])
        answers = self._run(np.frombuffer(joined, np.uint8).reshape(images, PIXELS))
        rows = Rows(answers.digit.tolist(), answers.novelty.tolist(), answers.probabilities.tolist())
        if not len(rows.digits) == len(rows.novelties) == len(rows.probabilities) == images:
            raise RuntimeError(f"the model answered {len(rows.digits)} of {images} images: this is a bug")
        return rows

    def _hand_over(self, deliver: Callable[..., None], *arguments: object) -> None:
        self._loop.call_soon_threadsafe(deliver, *arguments)

    def _observe(self, batch: list[_Request], rows: Rows, started: float, ended: float) -> None:
        self._metrics.inference_seconds.observe(ended - started)
        self._metrics.batch_size.observe(len(rows.digits))
        for request in batch:
            self._metrics.queue_wait_seconds.observe(started - request.arrived)
        confidences = [row[digit] for row, digit in zip(rows.probabilities, rows.digits, strict=True)]
        self._metrics.observe_predictions(rows.digits, confidences)


def _answer(batch: list[_Request], rows: Rows) -> None:
    """Gives each caller its own rows. On the event loop."""
    start = 0
    for request in batch:
        end = start + request.images
        if not request.answer.done():
            request.answer.set_result(
                Rows(rows.digits[start:end], rows.novelties[start:end], rows.probabilities[start:end])
            )
        start = end


def _fail(batch: list[_Request], error: Exception) -> None:
    """Fails each caller that still waits. On the event loop."""
    for request in batch:
        if not request.answer.done():
            request.answer.set_exception(error)
