"""Runs the model on batches: runners for the event loop's thread and for a thread of their own.

On the loop's thread no other thread has to be woken, which costs more than the inference of one digit; but the loop
handles no calls meanwhile. A thread of its own pays where the model computes elsewhere: on several processors, or on a
GPU. Decision 0002 has the figures.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol

from serving.predictions import BatchPredictions, Pixels

RunModel = Callable[[Pixels], BatchPredictions]
# Receives the predictions or the error of one run, and its start and end in time.monotonic() seconds.
Done = Callable[[BatchPredictions | Exception, float, float], None]


class InferenceRunner(Protocol):
    """Runs one batch at a time."""

    def start(self) -> None:
        """Prepares for run(). Call on the event loop that will run batches."""

    def run(self, pixels: Pixels, done: Done) -> None:
        """Runs the model on `pixels`, (n, 784) uint8, and calls `done` on the event loop, perhaps before returning."""

    async def close(self) -> None:
        """Ends the runner. Call when no batch is running."""


class LoopRunner:
    """Runs the model on the calling thread, the event loop's."""

    def __init__(self, run: RunModel) -> None:
        self._run = run

    def start(self) -> None:
        """Does nothing: there is nothing to start."""

    def run(self, pixels: Pixels, done: Done) -> None:
        """Runs the model, then calls `done`."""
        done(*_infer(self._run, pixels))

    async def close(self) -> None:
        """Does nothing: there is nothing to end."""


class ThreadRunner:
    """Runs the model on a thread of its own, from start() to close()."""

    def __init__(self, run: RunModel) -> None:
        self._run = run
        self._to_thread: SimpleQueue[tuple[Pixels, Done] | None] = SimpleQueue()  # at most one batch, then None to end
        # A daemon: an inference that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def run(self, pixels: Pixels, done: Done) -> None:
        """Hands the batch to the thread and returns; `done` is called on the event loop later."""
        self._to_thread.put((pixels, done))

    async def close(self) -> None:
        """Ends the thread and waits for its end."""
        self._to_thread.put(None)
        await asyncio.to_thread(self._thread.join)  # a thread that joins may block; the loop may not

    def _work(self) -> None:
        while (work := self._to_thread.get()) is not None:
            pixels, done = work
            self._loop.call_soon_threadsafe(done, *_infer(self._run, pixels))


def _infer(run: RunModel, pixels: Pixels) -> tuple[BatchPredictions | Exception, float, float]:
    started = time.monotonic()
    outcome: BatchPredictions | Exception
    try:
        outcome = run(pixels)
        if len(outcome) != len(pixels):
            raise RuntimeError(f"the model answered {len(outcome)} of {len(pixels)} images: this is a bug")
    except Exception as error:  # the border of a batch: its callers fail, the next batch runs
        outcome = error
    return outcome, started, time.monotonic()
