import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import numpy.typing as npt
import pytest
from prometheus_client import CollectorRegistry

from serving.batcher import Batcher, Rows
from serving.errors import ExpiredError, NotReadyError
from serving.metrics import Metrics
from serving.onnx_model import Answers
from tests.tiny_model import image_of


class GatedModel:
    """Answers like the tiny model, one batch for each opening of its gate; remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.began = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.error: Exception | None = None

    def __call__(self, pixels: npt.NDArray[np.uint8]) -> Answers:
        self.batches.append(len(pixels))
        self.began.release()
        assert self.gate.acquire(timeout=30)
        if self.error:
            error, self.error = self.error, None
            raise error
        digit = pixels[:, :10].argmax(axis=1)
        return Answers(np.eye(10, dtype=np.float32)[digit], digit, np.zeros(len(pixels), np.float32))

    async def until_began(self) -> None:
        await asyncio.to_thread(self.began.acquire)

    def open(self, batches: int = 100) -> None:
        self.gate.release(batches)


@asynccontextmanager
async def running(model: GatedModel, largest: int = 4, delay: float = 0.0) -> AsyncIterator[tuple[Batcher, Metrics]]:
    metrics = Metrics(CollectorRegistry())
    batcher = Batcher(model, metrics, largest, delay)
    batcher.start()
    try:
        yield batcher, metrics
    finally:
        model.open()
        await batcher.close()


async def submit_behind_a_running_batch(
    model: GatedModel, batcher: Batcher, *pixels: bytes
) -> tuple[asyncio.Task[Rows], list[asyncio.Task[Rows]]]:
    """A first request that runs and holds the model, and the others, queued behind it."""
    first: asyncio.Task[Rows] = asyncio.create_task(batcher.submit(image_of(0)))
    await model.until_began()
    others: list[asyncio.Task[Rows]] = [asyncio.create_task(batcher.submit(part)) for part in pixels]
    await asyncio.sleep(0)
    return first, others


async def test_what_queues_while_a_batch_runs_becomes_the_next_batch_and_each_caller_gets_its_own() -> None:
    model = GatedModel()
    async with running(model) as (batcher, _):
        _, others = await submit_behind_a_running_batch(model, batcher, image_of(3), image_of(1) + image_of(4))
        model.open()
        rows = await asyncio.gather(*others)
        assert [row.digits for row in rows] == [[3], [1, 4]]
        assert model.batches == [1, 3]


async def test_a_request_larger_than_the_largest_batch_is_split_and_answered_in_order() -> None:
    model = GatedModel()
    model.open()
    async with running(model, largest=4) as (batcher, _):
        digits = [n % 10 for n in range(11)]
        rows = await batcher.submit(b"".join(map(image_of, digits)))
        assert rows.digits == digits
        assert sum(model.batches) == 11
        assert max(model.batches) <= 4


async def test_a_cancelled_caller_leaves_its_neighbours_answered_and_is_counted() -> None:
    model = GatedModel()
    async with running(model) as (batcher, metrics):
        _, (gone, stays) = await submit_behind_a_running_batch(model, batcher, image_of(5), image_of(6))
        gone.cancel()
        await asyncio.sleep(0)
        model.open()
        assert (await stays).digits == [6]
        assert model.batches == [1, 1]
        assert metrics.registry.get_sample_value("mnist_dropped_total", {"reason": "abandoned"}) == 1


async def test_a_caller_cancelled_while_its_batch_runs_harms_nobody() -> None:
    model = GatedModel()
    async with running(model) as (batcher, _):
        first, (second,) = await submit_behind_a_running_batch(model, batcher, image_of(2))
        first.cancel()
        model.open()
        assert (await second).digits == [2]


async def test_an_expired_caller_is_told_and_never_run() -> None:
    model = GatedModel()
    model.open()
    async with running(model) as (batcher, metrics):
        with pytest.raises(ExpiredError):
            await batcher.submit(image_of(1), deadline=0.0)
        assert model.batches == []
        assert metrics.registry.get_sample_value("mnist_dropped_total", {"reason": "expired"}) == 1


async def test_an_inference_that_raises_fails_its_own_callers_only() -> None:
    model = GatedModel()
    async with running(model) as (batcher, _):
        first, (second,) = await submit_behind_a_running_batch(model, batcher, image_of(8))
        model.error = ValueError("broken")
        model.open()
        with pytest.raises(ValueError, match="broken"):
            await first
        assert (await second).digits == [8]


async def test_a_split_request_fails_whole_when_one_part_fails() -> None:
    model = GatedModel()
    model.error = ValueError("broken")
    model.open()
    async with running(model, largest=1) as (batcher, _):
        with pytest.raises(ValueError, match="broken"):
            await batcher.submit(image_of(1) * 3)


async def test_a_delay_is_cut_short_when_the_batch_is_full() -> None:
    model = GatedModel()
    model.open()
    async with running(model, largest=2, delay=600.0) as (batcher, _):
        rows = await asyncio.gather(batcher.submit(image_of(1)), batcher.submit(image_of(2)))
        assert [row.digits for row in rows] == [[1], [2]]
        assert model.batches == [2]


async def test_close_answers_what_is_queued_and_refuses_what_comes_after() -> None:
    model = GatedModel()
    async with running(model) as (batcher, _):
        first, others = await submit_behind_a_running_batch(model, batcher, image_of(1), image_of(2))
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(NotReadyError, match="shutting down"):
            await batcher.submit(image_of(3))
        model.open()
        await closing
        assert len(await asyncio.gather(first, *others)) == 3


async def test_batches_and_answers_are_counted() -> None:
    model = GatedModel()
    async with running(model) as (batcher, metrics):
        _, others = await submit_behind_a_running_batch(model, batcher, image_of(3), image_of(3))
        assert metrics.registry.get_sample_value("mnist_queue_depth") == 2
        model.open()
        await asyncio.gather(*others)
        await batcher.close()
        value = metrics.registry.get_sample_value
        assert value("mnist_batch_size_sum") == 3
        assert value("mnist_batch_size_count") == value("mnist_inference_seconds_count") == 2
        assert value("mnist_queue_wait_seconds_count") == 3
        assert value("mnist_predictions_total", {"digit": "3"}) == 2
        assert value("mnist_confidence_count") == 3
