"""A model that runs when a test lets it, and what the batcher's tests submit and read."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from prometheus_client import CollectorRegistry

from serving.core.batcher import Batcher
from serving.core.runner import ThreadRunner
from serving.metrics.metrics import Metrics
from serving.predictions import BatchPredictions, Pixels, Predictions
from tests.support.tiny_model import image_of


def images(*digits: int) -> Pixels:
    return np.stack([np.frombuffer(image_of(digit), np.uint8) for digit in digits])


def rows_of(pixels: Pixels) -> BatchPredictions:
    digit = pixels[:, :10].argmax(axis=1)
    zeros = np.zeros(len(pixels), np.float32)
    return BatchPredictions(np.eye(10, dtype=np.float32)[digit], digit, zeros)


def digits_in(answer: Predictions) -> list[int]:
    return [int(digit) for digit in answer.digits]


class GatedModel:
    """Answers like the tiny model, one batch for each permit; remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.began = threading.Semaphore(0)
        self.permits = threading.Semaphore(0)
        self.error: Exception | None = None

    def __call__(self, pixels: Pixels) -> BatchPredictions:
        self.batches.append(len(pixels))
        self.began.release()
        assert self.permits.acquire(timeout=30)
        if self.error:
            error, self.error = self.error, None
            raise error
        return rows_of(pixels)

    async def until_began(self) -> None:
        await asyncio.to_thread(self.began.acquire)

    def open(self, batches: int = 100) -> None:
        self.permits.release(batches)


@asynccontextmanager
async def running(model: GatedModel, largest: int = 4, delay: float = 0.0) -> AsyncIterator[tuple[Batcher, Metrics]]:
    metrics = Metrics(CollectorRegistry())
    batcher = Batcher(ThreadRunner(model), metrics, largest, delay)
    batcher.start()
    try:
        yield batcher, metrics
    finally:
        model.open()
        await batcher.close()


async def submit_behind_a_running_batch(
    model: GatedModel, batcher: Batcher, *pixels: Pixels
) -> tuple[asyncio.Task[Predictions], list[asyncio.Task[Predictions]]]:
    """A first request that runs and holds the model, and the others, queued behind it."""
    first: asyncio.Task[Predictions] = asyncio.create_task(batcher.submit(images(0)))
    await model.until_began()
    others: list[asyncio.Task[Predictions]] = [asyncio.create_task(batcher.submit(part)) for part in pixels]
    await asyncio.sleep(0)
    return first, others
