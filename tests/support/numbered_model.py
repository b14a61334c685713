"""Images that carry a number, a model that answers it, and runners whose batches end when the test says so.

A number names a caller and one of its images, so a row that went to the wrong caller, or to the wrong place, is seen.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from serving.core.runner import Done, InferenceRunner, LoopRunner, ThreadRunner
from serving.predictions import BatchPredictions, Pixels, Predictions
from tests.support.stepped_loop import SteppedLoop


def numbered_images(numbers: Sequence[int]) -> Pixels:
    pixels = np.zeros((len(numbers), 784), np.uint8)
    pixels[:, :4] = np.array(numbers, "<u4")[:, np.newaxis].view(np.uint8)
    return pixels


def numbers_in(pixels: Pixels) -> list[int]:
    return [int(number) for number in np.ascontiguousarray(pixels[:, :4]).view("<u4")[:, 0]]


def numbers_answered(rows: Predictions) -> list[int]:
    numbers = [int(number) for number in rows.novelties]
    assert rows.digits.tolist() == [number % 10 for number in numbers]
    assert rows.probabilities.argmax(axis=1).tolist() == rows.digits.tolist()
    return numbers


def _rows_of(numbers: Sequence[int]) -> BatchPredictions:
    digits = np.array(numbers, np.int64) % 10
    novelties = np.array(numbers, np.float32)  # exact: numbers stay below 2**24
    return BatchPredictions(np.eye(10, dtype=np.float32)[digits], digits, novelties)


class Verdict(Enum):
    """How one inference ends."""

    ANSWERS = "answers"
    RAISES = "raises"
    FORGETS = "forgets the first row"
    REPEATS = "answers the first row twice"


class BatchFailedError(Exception):
    """Error of the model, with the numbers of the images that it was given."""

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__(f"the model raised at {numbers}")
        self.numbers = numbers


@dataclass(frozen=True, slots=True)
class Ran:
    """One inference: the numbers of its images, and how it ended."""

    numbers: list[int]
    verdict: Verdict


class NumberedModel:
    """Answers each image's number; each inference ends as the next verdict says, well once there are no more."""

    def __init__(self, verdicts: Iterable[Verdict]) -> None:
        self._verdicts = iter(verdicts)
        self.ran: list[Ran] = []

    def __call__(self, pixels: Pixels) -> BatchPredictions:
        numbers, verdict = numbers_in(pixels), next(self._verdicts, Verdict.ANSWERS)
        self.ran.append(Ran(numbers, verdict))
        match verdict:
            case Verdict.RAISES:
                raise BatchFailedError(numbers)
            case Verdict.FORGETS:
                return _rows_of(numbers[1:])
            case Verdict.REPEATS:
                return _rows_of([*numbers[:1], *numbers])
            case Verdict.ANSWERS:
                return _rows_of(numbers)


class SteppedRunner:
    """Runs a batch when end_batch() is called, and not before."""

    def __init__(self, model: NumberedModel) -> None:
        self._runner = LoopRunner(model)
        self._held: list[tuple[Pixels, Done]] = []

    def start(self) -> None:
        pass

    def run(self, pixels: Pixels, done: Done) -> None:
        self._held.append((pixels, done))

    async def close(self) -> None:
        pass

    def end_batch(self) -> None:
        """Runs the batch that is held, if any, to its end."""
        if self._held:
            self._runner.run(*self._held.pop())


class GatedThreadRunner(ThreadRunner):
    """A ThreadRunner whose model waits for end_batch()."""

    def __init__(self, model: NumberedModel, loop: SteppedLoop) -> None:
        self._gate = threading.Semaphore(0)
        self._stepped_loop = loop
        self._is_held = False

        def run(pixels: Pixels) -> BatchPredictions:
            assert self._gate.acquire(timeout=30)
            return model(pixels)

        super().__init__(run)

    def run(self, pixels: Pixels, done: Done) -> None:
        self._is_held = True
        super().run(pixels, done)

    def end_batch(self) -> None:
        """Lets the batch that is held, if any, run, and returns when its answer has been handed to the loop."""
        if self._is_held:
            self._is_held = False
            self._gate.release()
            assert self._stepped_loop.handed_over.acquire(timeout=30)


class WatchedRunner:
    """Any runner, and what is seen of it from outside: each batch as it is formed, one at a time, none after close."""

    def __init__(self, runner: InferenceRunner, is_formed: Callable[[list[int]], None]) -> None:
        self._runner = runner
        self._is_formed = is_formed
        self.is_running = False
        self.is_closed = False

    def start(self) -> None:
        self._runner.start()

    def run(self, pixels: Pixels, done: Done) -> None:
        self._runner.run(pixels, self._watched(pixels, done))

    def _watched(self, pixels: Pixels, done: Done) -> Done:
        assert not self.is_running, "two batches at a time"
        assert not self.is_closed, "a batch after the runner's end"
        self._is_formed(numbers_in(pixels))
        self.is_running = True

        def ended(outcome: BatchPredictions | Exception, started: float, ended_at: float) -> None:
            self.is_running = False
            done(outcome, started, ended_at)

        return ended

    async def close(self) -> None:
        assert not self.is_running, "the runner was closed while a batch ran"
        self.is_closed = True
        await self._runner.close()

    def end_batch(self) -> None:
        """Ends the batch that runs, if any, where the runner leaves that to the test."""
        if isinstance(self._runner, SteppedRunner | GatedThreadRunner):
            self._runner.end_batch()
