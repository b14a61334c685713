"""A schedule for the batcher, one action after the other, and everything that is seen while it is played."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry

from serving.core.batcher import Batcher
from serving.core.runner import InferenceRunner, LoopRunner
from serving.errors import NotReadyError
from serving.metrics.metrics import Metrics
from serving.predictions import Predictions
from tests.support.numbered_model import (
    GatedThreadRunner,
    NumberedModel,
    SteppedRunner,
    Verdict,
    WatchedRunner,
    numbered_images,
)
from tests.support.stepped_loop import Clock, SteppedLoop, turns

FOREVER = float("inf")
MOST_IMAGES = 1000  # of one caller
TURNS_FOR_A_BATCH = 8  # from the end of a batch until its callers have woken and the next one runs


@dataclass(frozen=True, slots=True)
class Arrive:
    """A caller comes, with a deadline so many seconds from now: infinite, or 0 and less for one that has passed."""

    images: int
    patience: float


@dataclass(frozen=True, slots=True)
class Leave:
    """One of those who came is cancelled; who is done already does not mind."""

    which: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passes."""

    seconds: float


@dataclass(frozen=True, slots=True)
class EndBatch:
    """The batch that runs, if any, comes back."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The loop turns, so many times."""

    times: int


@dataclass(frozen=True, slots=True)
class Close:
    """The batcher is closed."""


Action = Arrive | Leave | Tick | EndBatch | Turn | Close


@dataclass(frozen=True, slots=True)
class Schedule:
    """What happens, in order; how each inference ends; and the batcher that it happens to."""

    actions: Sequence[Action]
    verdicts: Sequence[Verdict]
    largest: int
    delay: float  # seconds


@dataclass(eq=False, slots=True)
class Caller:
    """One call of submit(), as seen from outside."""

    numbers: list[int]
    deadline: float
    has_left: bool = False
    came_after_close: bool = False
    was_accepted: bool = False
    end: Predictions | BaseException | None = None  # None while it waits
    ended_at: float = FOREVER


class Stage:
    """Plays one schedule on one batcher. `kind`: loop, stepped or thread."""

    def __init__(self, kind: str, schedule: Schedule, clock: Clock, loop: SteppedLoop) -> None:
        self.schedule = schedule
        self.clock = clock
        self.model = NumberedModel(schedule.verdicts)
        self.metrics = Metrics(CollectorRegistry())
        self.callers: list[Caller] = []
        self.formed: list[list[int]] = []
        self.runner = WatchedRunner(_runner(kind, self.model, loop), self._see_batch)
        self.batcher = Batcher(self.runner, self.metrics, schedule.largest, schedule.delay)
        self._tasks: list[asyncio.Task[Predictions]] = []
        self._is_closing = False
        self._closings: list[asyncio.Task[None]] = []

    async def play(self) -> None:
        """Plays all actions; every call must end, before the batcher is closed and after."""
        self.batcher.start()
        try:
            for action in self.schedule.actions:
                await self._act(action)
            await self._until_all_have_ended()
            await self._until_closed()
        finally:
            self.runner.end_batch()  # so that no thread outlives a failure

    def callers_of(self, numbers: Sequence[int]) -> list[Caller]:
        """Callers of these images, in the order of the images, each once."""
        return [self.callers[index] for index in dict.fromkeys(number // MOST_IMAGES for number in numbers)]

    def finished_numbers(self) -> set[int]:
        """Images that were run for good: in a batch that was answered, or alone with those of the same request."""
        finished: set[int] = set()
        for ran in self.model.ran:
            requests = {
                (number // MOST_IMAGES, number % MOST_IMAGES // self.schedule.largest) for number in ran.numbers
            }
            if ran.verdict is Verdict.ANSWERS or len(requests) == 1:
                finished |= set(ran.numbers)
        return finished

    def has_failed_part(self, caller: Caller) -> bool:
        """Says whether a batch that held images of this caller has failed.

        One that was split, and leaves between that and its waking, still gets the failure (asyncio.gather prefers it
        to the cancellation), and what is left of it may be run meanwhile.
        """
        bad = {number for ran in self.model.ran if ran.verdict is not Verdict.ANSWERS for number in ran.numbers}
        return not bad.isdisjoint(caller.numbers)

    async def _act(self, action: Action) -> None:
        match action:
            case Arrive(images, patience):
                first = len(self.callers) * MOST_IMAGES
                caller = Caller(list(range(first, first + images)), self.clock.now + patience)
                self.callers.append(caller)
                self._tasks.append(asyncio.create_task(self._call(caller)))
            case Leave(which) if self.callers:
                index = which % len(self.callers)
                self.callers[index].has_left |= self._tasks[index].cancel()
            case Tick(seconds):
                self.clock.now += seconds
            case EndBatch():
                self.runner.end_batch()
            case Turn(times):
                await turns(times)
            case Close():
                self._act_close()

    def _act_close(self) -> None:
        self._closings.append(asyncio.create_task(self._close()))

    async def _close(self) -> None:
        self._is_closing = True
        await self.batcher.close()

    async def _call(self, caller: Caller) -> Predictions:
        """submit() runs up to its first wait without a turn of the loop, so what is noted before it still holds."""
        caller.came_after_close, caller.was_accepted = self._is_closing, True
        try:
            return await self.batcher.submit(numbered_images(caller.numbers), caller.deadline)
        except NotReadyError:
            caller.was_accepted = False
            raise
        finally:
            caller.ended_at = self.clock.now

    def _see_batch(self, numbers: list[int]) -> None:
        self.formed.append(numbers)
        for caller in self.callers_of(numbers):
            assert not caller.has_left or self.has_failed_part(caller), f"{caller} had left and was run"
            assert caller.ended_at == FOREVER, f"{caller} had failed already and was run"
            assert caller.deadline > self.clock.now, f"{caller} had expired and was run"

    async def _until_all_have_ended(self) -> None:
        # Batches that can still be formed: one an image, and one more each where batches fail.
        most = 2 + 2 * sum(len(caller.numbers) for caller in self.callers)
        for _ in range(most):
            await turns(TURNS_FOR_A_BATCH)
            self.runner.end_batch()
            self.clock.now += self.schedule.delay
        for caller, task in zip(self.callers, self._tasks, strict=True):
            assert task.done(), f"{caller} still waits"
            caller.end = asyncio.CancelledError() if task.cancelled() else task.exception() or task.result()

    async def _until_closed(self) -> None:
        if not self._closings:
            self._act_close()
        await turns(TURNS_FOR_A_BATCH)
        assert self.runner.is_closed, "close() hangs"
        self._act_close()  # once more: harmless
        await asyncio.gather(*self._closings)


def _runner(kind: str, model: NumberedModel, loop: SteppedLoop) -> InferenceRunner:
    match kind:
        case "loop":
            return LoopRunner(model)
        case "stepped":
            return SteppedRunner(model)
        case _:
            return GatedThreadRunner(model, loop)


def played(kind: str, schedule: Schedule) -> Stage:
    """The schedule, played to its end on a loop and a clock of its own. No callback has raised."""
    clock = Clock()
    loop = SteppedLoop(clock)
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner(loop_factory=lambda: loop) as runner:
        patch.setattr("serving.core.batcher.time", clock)
        patch.setattr("serving.core.runner.time", clock)
        stage = Stage(kind, schedule, clock, loop)
        try:
            runner.run(stage.play())
        finally:
            assert not loop.raised, loop.raised
    return stage
