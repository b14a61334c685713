import asyncio

import pytest

from serving.errors import ExpiredError, NotReadyError
from tests.support.gated_model import GatedModel, digits_in, images, running, submit_behind_a_running_batch


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


async def test_caller_cancelled_while_its_batch_runs_harms_no_other() -> None:
    model = GatedModel()
    async with running(model) as (batcher, _):
        first, (second,) = await submit_behind_a_running_batch(model, batcher, images(2))
        first.cancel()
        model.open()
        assert digits_in(await second) == [2]


async def test_expired_caller_gets_an_error_and_is_never_run() -> None:
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


async def test_close_cuts_a_delay_short() -> None:
    model = GatedModel()
    model.open()
    async with running(model, delay=600.0) as (batcher, _), asyncio.timeout(10.0):
        answer = asyncio.create_task(batcher.submit(images(1)))
        await asyncio.sleep(0)
        await batcher.close()
        assert digits_in(await answer) == [1]


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


async def test_result_holds_its_wait_and_the_size_of_its_batch() -> None:
    model = GatedModel()
    async with running(model) as (batcher, _):
        _, others = await submit_behind_a_running_batch(model, batcher, images(3), images(1, 4))
        model.open()
        timings = await asyncio.gather(*others)
        assert [timing.batch_images for timing in timings] == [3, 3]
        assert timings[0].queue_seconds >= timings[1].queue_seconds > 0
        assert timings[0].inference_seconds == timings[1].inference_seconds > 0


async def test_split_request_reports_all_of_its_inferences() -> None:
    model = GatedModel()
    model.open()
    async with running(model, largest=2) as (batcher, metrics):
        timing = await batcher.submit(images(1, 2, 3))
        await batcher.close()
        total = metrics.registry.get_sample_value("mnist_inference_seconds_sum")
        assert timing.batch_images == 2
        assert timing.inference_seconds == pytest.approx(total)
