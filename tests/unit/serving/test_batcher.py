import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from serving.batcher import BACKLOG, Batcher
from serving.errors import ExpiredError, NotReadyError
from serving.inference_runner import LoopRunner, ThreadRunner
from serving.metrics import Metrics
from serving.rows import BatchRows, Pixels, Rows
from tests.tiny_model import image_of


def images(*digits: int) -> Pixels:
    return np.stack([np.frombuffer(image_of(digit), np.uint8) for digit in digits])


def rows_of(pixels: Pixels) -> BatchRows:
    digit = pixels[:, :10].argmax(axis=1)
    zeros = np.zeros(len(pixels), np.float32)
    return BatchRows(digit, zeros, np.eye(10, dtype=np.float32)[digit], zeros.astype(np.uint8))


def digits_in(answer: Rows) -> list[int]:
    return [int(digit) for digit in answer.digits]


class GatedModel:
    """Answers like the tiny model, one batch for each opening of its gate; remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.began = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)
        self.error: Exception | None = None

    def __call__(self, pixels: Pixels) -> BatchRows:
        self.batches.append(len(pixels))
        self.began.release()
        assert self.gate.acquire(timeout=30)
        if self.error:
            error, self.error = self.error, None
            raise error
        return rows_of(pixels)

    async def until_began(self) -> None:
        await asyncio.to_thread(self.began.acquire)

    def open(self, batches: int = 100) -> None:
        self.gate.release(batches)


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
) -> tuple[asyncio.Task[Rows], list[asyncio.Task[Rows]]]:
    """A first request that runs and holds the model, and the others, queued behind it."""
    first: asyncio.Task[Rows] = asyncio.create_task(batcher.submit(images(0)))
    await model.until_began()
    others: list[asyncio.Task[Rows]] = [asyncio.create_task(batcher.submit(part)) for part in pixels]
    await asyncio.sleep(0)
    return first, others


async def test_what_queues_while_a_batch_runs_becomes_the_next_batch_and_each_caller_gets_its_own() -> None:
    model = GatedModel()
    async with running(model) as (batcher, _):
        _, others = await submit_behind_a_running_batch(model, batcher, images(3), images(1, 4))
        model.open()
        answers = await asyncio.gather(*others)
        assert [digits_in(answer) for answer in answers] == [[3], [1, 4]]
        assert model.batches == [1, 3]


async def test_a_request_larger_than_the_largest_batch_is_split_and_answered_in_order() -> None:
    model = GatedModel()
    model.open()
    async with running(model, largest=4) as (batcher, _):
        digits = [n % 10 for n in range(11)]
        answer = await batcher.submit(images(*digits))
        assert digits_in(answer) == digits
        assert sum(model.batches) == 11
        assert max(model.batches) <= 4


async def test_a_cancelled_caller_leaves_its_neighbours_answered_and_is_counted() -> None:
    model = GatedModel()
    async with running(model) as (batcher, metrics):
        _, (gone, stays) = await submit_behind_a_running_batch(model, batcher, images(5), images(6))
        gone.cancel()
        await asyncio.sleep(0)
        model.open()
        assert digits_in(await stays) == [6]
        assert model.batches == [1, 1]
        assert metrics.registry.get_sample_value("mnist_dropped_total", {"reason": "abandoned"}) == 1


async def test_a_caller_cancelled_while_its_batch_runs_harms_nobody() -> None:
    model = GatedModel()
    async with running(model) as (batcher, _):
        first, (second,) = await submit_behind_a_running_batch(model, batcher, images(2))
        first.cancel()
        model.open()
        assert digits_in(await second) == [2]


async def test_an_expired_caller_is_told_and_never_run() -> None:
    model = GatedModel()
    model.open()
    async with running(model) as (batcher, metrics):
        with pytest.raises(ExpiredError):
            await batcher.submit(images(1), deadline=0.0)
        assert model.batches == []
        assert metrics.registry.get_sample_value("mnist_dropped_total", {"reason": "expired"}) == 1


async def test_an_inference_that_raises_fails_its_own_callers_only() -> None:
    model = GatedModel()
    async with running(model) as (batcher, _):
        first, (second,) = await submit_behind_a_running_batch(model, batcher, images(8))
        model.error = ValueError("broken")
        model.open()
        with pytest.raises(ValueError, match="broken"):
            await first
        assert digits_in(await second) == [8]


async def test_a_split_request_fails_whole_when_one_part_fails() -> None:
    model = GatedModel()
    model.error = ValueError("broken")
    model.open()
    async with running(model, largest=1) as (batcher, _):
        with pytest.raises(ValueError, match="broken"):
            await batcher.submit(images(1, 1, 1))


async def test_a_delay_is_cut_short_when_the_batch_is_full() -> None:
    model = GatedModel()
    model.open()
    async with running(model, largest=2, delay=600.0) as (batcher, _):
        answers = await asyncio.gather(batcher.submit(images(1)), batcher.submit(images(2)))
        assert [digits_in(answer) for answer in answers] == [[1], [2]]
        assert model.batches == [2]


async def test_close_answers_what_is_queued_and_refuses_what_comes_after() -> None:
    model = GatedModel()
    async with running(model) as (batcher, _):
        first, others = await submit_behind_a_running_batch(model, batcher, images(1), images(2))
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(NotReadyError, match="shutting down"):
            await batcher.submit(images(3))
        model.open()
        await closing
        assert len(await asyncio.gather(first, *others)) == 3


async def test_batches_and_answers_are_counted() -> None:
    model = GatedModel()
    async with running(model) as (batcher, metrics):
        _, others = await submit_behind_a_running_batch(model, batcher, images(3), images(3))
        assert batcher.queued_images == 2
        model.open()
        await asyncio.gather(*others)
        await batcher.close()
        value = metrics.registry.get_sample_value
        assert value("mnist_batch_size_sum") == 3
        assert value("mnist_batch_size_count") == value("mnist_inference_seconds_count") == 2
        assert value("mnist_queue_wait_seconds_count") == 3
        assert value("mnist_predictions_total", {"digit": "3"}) == 2
        assert value("mnist_confidence_count") == 3


async def test_on_the_loop_what_one_turn_brings_is_one_batch_and_what_does_not_fit_the_next() -> None:
    batches: list[int] = []

    def model(pixels: Pixels) -> BatchRows:
        batches.append(len(pixels))
        return rows_of(pixels)

    batcher = Batcher(LoopRunner(model), Metrics(CollectorRegistry()), max_batch_size=3)
    batcher.start()
    parts = [images(1), images(2, 3), images(4), images(5, 6)]
    answers = await asyncio.gather(*(batcher.submit(part) for part in parts))
    assert [digits_in(answer) for answer in answers] == [[1], [2, 3], [4], [5, 6]]
    assert batches == [3, 3]
    await batcher.close()


@pytest.mark.parametrize("runner", [LoopRunner, ThreadRunner])
async def test_of_a_batch_whose_inference_raises_only_those_fail_whose_images_made_it(
    runner: type[LoopRunner] | type[ThreadRunner],
) -> None:
    batches: list[int] = []

    def model(pixels: Pixels) -> BatchRows:
        batches.append(len(pixels))
        if pixels[:, 9].any():
            raise ValueError("broken")
        return rows_of(pixels)

    batcher = Batcher(runner(model), Metrics(CollectorRegistry()), max_batch_size=8)
    batcher.start()
    parts = [images(1), images(9), images(2, 3)]
    one, broken, other = await asyncio.gather(*(batcher.submit(part) for part in parts), return_exceptions=True)
    assert not isinstance(one, BaseException)
    assert not isinstance(other, BaseException)
    assert [digits_in(one), digits_in(other)] == [[1], [2, 3]]
    assert isinstance(broken, ValueError)
    assert batches == [4, 1, 1, 2]
    await batcher.close()


async def test_a_close_in_the_middle_of_running_again_answers_all() -> None:
    model = GatedModel()
    async with running(model) as (batcher, _):
        first, others = await submit_behind_a_running_batch(model, batcher, images(1), images(2))
        closing = asyncio.create_task(batcher.close())
        model.error = ValueError("broken")
        model.open()
        with pytest.raises(ValueError, match="broken"):
            await first
        assert [digits_in(answer) for answer in await asyncio.gather(*others)] == [[1], [2]]
        await closing


async def test_many_waiting_requests_are_answered_in_a_row_each_with_its_own() -> None:
    turns: list[int] = []

    def model(pixels: Pixels) -> BatchRows:
        turns.append(len(pixels))
        return rows_of(pixels)

    batcher = Batcher(LoopRunner(model), Metrics(CollectorRegistry()), max_batch_size=4)
    batcher.start()
    asked = [n % 10 for n in range(3 * BACKLOG)]
    answers = await asyncio.gather(*(batcher.submit(images(digit)) for digit in asked))
    assert [digits_in(answer) for answer in answers] == [[digit] for digit in asked]
    assert sum(turns) == len(asked)
    await batcher.close()


async def test_how_long_an_answer_takes_is_learned_from_batches_without_a_pause() -> None:
    batcher = Batcher(LoopRunner(rows_of), Metrics(CollectorRegistry()), max_batch_size=4, seconds_per_image=100.0)
    batcher.start()
    assert batcher.expected_seconds(3) == 300.0
    await asyncio.gather(*(batcher.submit(images(1)) for _ in range(40)))
    assert 0 < batcher.expected_seconds(3) < 200
    assert batcher.is_idle
    await batcher.close()


async def test_on_the_loop_an_inference_that_raises_fails_its_own_callers_only() -> None:
    def model(pixels: Pixels) -> BatchRows:
        if pixels[0, 9]:
            raise ValueError("broken")
        return rows_of(pixels)

    batcher = Batcher(LoopRunner(model), Metrics(CollectorRegistry()), max_batch_size=1)
    batcher.start()
    broken, fine = await asyncio.gather(batcher.submit(images(9)), batcher.submit(images(2)), return_exceptions=True)
    assert isinstance(broken, ValueError)
    assert not isinstance(fine, BaseException)
    assert digits_in(fine) == [2]
    await batcher.close()


async def test_an_answer_tells_how_long_it_waited_and_with_how_many_it_ran() -> None:
    model = GatedModel()
    async with running(model) as (batcher, _):
        _, others = await submit_behind_a_running_batch(model, batcher, images(3), images(1, 4))
        model.open()
        timings = [answer.timing for answer in await asyncio.gather(*others)]
        assert [timing.batch_images for timing in timings] == [3, 3]
        assert timings[0].queue_seconds >= timings[1].queue_seconds > 0
        assert timings[0].inference_seconds == timings[1].inference_seconds > 0


async def test_a_split_request_tells_all_of_its_inferences() -> None:
    model = GatedModel()
    model.open()
    async with running(model, largest=2) as (batcher, metrics):
        timing = (await batcher.submit(images(1, 2, 3))).timing
        await batcher.close()
        total = metrics.registry.get_sample_value("mnist_inference_seconds_sum")
        assert timing.batch_images == 2
        assert timing.inference_seconds == pytest.approx(total)


async def test_a_model_that_forgets_an_image_fails_the_batch() -> None:
    batcher = Batcher(LoopRunner(lambda pixels: rows_of(pixels[1:])), Metrics(CollectorRegistry()), max_batch_size=8)
    batcher.start()
    with pytest.raises(RuntimeError, match="answered 1 of 2 images"):
        await batcher.submit(images(1, 2))
    await batcher.close()
