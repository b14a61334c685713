"""The batcher with models that run on the event loop, and what a batch that raises means for each runner."""

import asyncio
import time

import pytest
from prometheus_client import CollectorRegistry

from serving.core.batcher import Batcher
from serving.core.runner import LoopRunner, ThreadRunner
from serving.metrics.metrics import Metrics
from serving.predictions import BatchPredictions, Pixels
from tests.support.gated_model import digits_in, images, rows_of


class RecordingModel:
    """Remembers its batches; `broken`: a digit whose images make it raise."""

    def __init__(self, broken: int | None = None) -> None:
        self._broken = broken
        self.batches: list[int] = []

    def __call__(self, pixels: Pixels) -> BatchPredictions:
        self.batches.append(len(pixels))
        if self._broken is not None and pixels[:, self._broken].any():
            raise ValueError("broken")
        return rows_of(pixels)


async def test_on_the_loop_what_one_turn_brings_is_one_batch_and_what_does_not_fit_the_next() -> None:
    model = RecordingModel()
    batcher = Batcher(LoopRunner(model), Metrics(CollectorRegistry()), max_batch_size=3)
    batcher.start()
    parts = [images(1), images(2, 3), images(4), images(5, 6)]
    answers = await asyncio.gather(*(batcher.submit(part) for part in parts))
    assert [digits_in(answer) for answer in answers] == [[1], [2, 3], [4], [5, 6]]
    assert model.batches == [3, 3]
    await batcher.close()


@pytest.mark.parametrize("runner", [LoopRunner, ThreadRunner])
async def test_of_a_batch_whose_inference_raises_only_those_fail_whose_images_made_it(
    runner: type[LoopRunner] | type[ThreadRunner],
) -> None:
    model = RecordingModel(broken=9)
    batcher = Batcher(runner(model), Metrics(CollectorRegistry()), max_batch_size=8)
    batcher.start()
    parts = [images(1), images(9), images(2, 3)]
    one, broken, other = await asyncio.gather(*(batcher.submit(part) for part in parts), return_exceptions=True)
    assert not isinstance(one, BaseException)
    assert not isinstance(other, BaseException)
    assert [digits_in(one), digits_in(other)] == [[1], [2, 3]]
    assert isinstance(broken, ValueError)
    assert model.batches == [4, 1, 1, 2]
    await batcher.close()


async def test_many_waiting_requests_are_answered_each_with_its_own() -> None:
    model = RecordingModel()
    batcher = Batcher(LoopRunner(model), Metrics(CollectorRegistry()), max_batch_size=4)
    batcher.start()
    sent = [n % 10 for n in range(800)]
    answers = await asyncio.gather(*(batcher.submit(images(digit)) for digit in sent))
    assert [digits_in(answer) for answer in answers] == [[digit] for digit in sent]
    assert sum(model.batches) == len(sent)
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
    batcher = Batcher(LoopRunner(RecordingModel(broken=9)), Metrics(CollectorRegistry()), max_batch_size=1)
    batcher.start()
    broken, fine = await asyncio.gather(batcher.submit(images(9)), batcher.submit(images(2)), return_exceptions=True)
    assert isinstance(broken, ValueError)
    assert not isinstance(fine, BaseException)
    assert digits_in(fine) == [2]
    await batcher.close()


async def test_a_model_that_forgets_an_image_fails_the_batch() -> None:
    batcher = Batcher(LoopRunner(lambda pixels: rows_of(pixels[1:])), Metrics(CollectorRegistry()), max_batch_size=8)
    batcher.start()
    with pytest.raises(RuntimeError, match="answered 1 of 2 images"):
        await batcher.submit(images(1, 2))
    await batcher.close()


async def test_small_batches_say_little_about_how_long_many_images_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page of a thousand candidates once was expected to take as long as a thousand batches of one image."""
    now = time.monotonic()

    def run(pixels: Pixels) -> BatchPredictions:
        nonlocal now
        now += 0.01  # however many images
        return rows_of(pixels)

    monkeypatch.setattr(time, "monotonic", lambda: now)
    batcher = Batcher(LoopRunner(run), Metrics(CollectorRegistry()), max_batch_size=64, seconds_per_image=0.01 / 64)
    batcher.start()
    for _ in range(20):
        await asyncio.gather(batcher.submit(images(*[1] * 64)), batcher.submit(images(2)))
    assert batcher.expected_seconds(640) < 0.3  # ten batches; 3.5 s if all batches weighed the same
    await batcher.close()


async def test_a_pause_of_the_process_spoils_the_estimate_by_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A suspended process once refused callers for minutes after it was resumed, as too late."""
    batcher = Batcher(LoopRunner(rows_of), Metrics(CollectorRegistry()), max_batch_size=1, seconds_per_image=0.001)
    batcher.start()
    clock = time.monotonic
    calls = [asyncio.ensure_future(batcher.submit(images(1))) for _ in range(20)]
    await calls[0]
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 1000.0)  # as after SIGSTOP and SIGCONT
    await asyncio.gather(*calls)
    assert batcher.expected_seconds(1) < 0.01
    await batcher.close()
