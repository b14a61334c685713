"""Time to accuracy: two sides train on the same rows in one run, in turns, each by a clock of its own.

1. A clock runs only while its side trains. It stands still for all that is not training: evaluation,
   printing, the other side's turn; preparation (data, network, compiled graph) is timed apart.
2. After every so many images a side is evaluated on the same held-out rows; a target is reached at the first evaluation
   that is not below it.
3. The sides take turns from evaluation to evaluation, so that a machine that slows down slows both down.
4. The reference is one run with no end of its own. The other side has a run for each target, one after the other,
   each from scratch by a schedule of its own length; every run may train for `limit_seconds`.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from training.data.arrays import LabelledDigits, Labels, Pixels

TARGETS = (0.99, 0.994, 0.996)


class Competitor(Protocol):
    """A side of the race: it can be prepared, and it reads digits."""

    @property
    def name(self) -> str:
        """Its name in the table."""
        ...

    def prepare(self) -> None:
        """Everything before the first step: data in place, network built, graph compiled, no weight moved."""
        ...

    def read(self, pixels: Pixels) -> Labels:
        """The digits (n,) that it sees in `pixels` (n, 784) uint8."""
        ...


class Candidate(Competitor, Protocol):
    """A competitor with a schedule that ends."""

    def train(self) -> Iterator[int]:
        """Train to the next evaluation with each step; the images seen so far. Ends with the schedule."""
        ...


class Reference(Competitor, Protocol):
    """A competitor that trains until it is stopped."""

    def train(self, evaluate: Callable[[int], bool]) -> None:
        """Train, and call `evaluate` with the images seen so far at every evaluation, until it returns False."""
        ...


@dataclass(slots=True)
class Stopwatch:
    """Seconds between start and stop, added up."""

    now: Callable[[], float] = time.monotonic
    seconds: float = 0.0
    _started: float = 0.0

    def start(self) -> None:
        """Run from here."""
        self._started = self.now()

    def stop(self) -> None:
        """Stand still from here."""
        self.seconds += self.now() - self._started


@dataclass(frozen=True, slots=True)
class Point:
    """One evaluation: seconds trained, images trained on, share of the held-out rows read rightly."""

    seconds: float
    images: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class Run:
    """One training from scratch."""

    name: str
    targets: tuple[float, ...]  # what it runs for
    prepared_seconds: float
    points: list[Point] = field(default_factory=list)

    def seconds_to(self, target: float) -> float | None:
        """Seconds of training until the first evaluation that is not below `target`; None if there was none."""
        return next((point.seconds for point in self.points if point.accuracy >= target), None)


@dataclass(slots=True)
class _Lane:
    """A run that goes on: its competitor, its clock, the held-out rows and the report."""

    competitor: Competitor
    run: Run
    clock: Stopwatch
    held_out: LabelledDigits
    say: Callable[[str], None]

    @classmethod
    def prepared(cls, competitor: Competitor, targets: tuple[float, ...], race: "Race") -> "_Lane":
        preparation = Stopwatch(race.now)
        preparation.start()
        competitor.prepare()
        preparation.stop()
        run = Run(competitor.name, targets, preparation.seconds)
        return cls(competitor, run, Stopwatch(race.now), race.held_out, race.say)

    def evaluate(self, images: int) -> None:
        """Evaluate, with the clock stopped."""
        accuracy = float(np.mean(self.competitor.read(self.held_out.pixels) == self.held_out.labels))
        self.run.points.append(Point(self.clock.seconds, images, accuracy))
        self.say(f"{self.run.name:<28} {self.clock.seconds:7.1f} s  {images:>9,} images  {accuracy:.2%}")


@dataclass(frozen=True, slots=True)
class Race:
    """The conditions that hold for all.

    Args:
        held_out: the rows to evaluate on.
        limit_seconds: how long one run may train.
        say: gets one line for each evaluation.
        now: a monotonic clock, in seconds.
    """

    held_out: LabelledDigits
    limit_seconds: float
    say: Callable[[str], None]
    now: Callable[[], float] = time.monotonic

    def run(self, reference: Reference, candidates: Sequence[tuple[float, Candidate]]) -> list[Run]:
        """Race until everybody has finished: the reference's run, then one for each target and its candidate."""
        done: list[Run] = []
        turns = self._turns(candidates, done)
        lane = _Lane.prepared(reference, tuple(target for target, _ in candidates), self)

        def evaluate(images: int) -> bool:
            lane.clock.stop()
            lane.evaluate(images)
            next(turns, None)
            lane.clock.start()
            return lane.clock.seconds < self.limit_seconds

        lane.clock.start()
        reference.train(evaluate)
        for _ in turns:
            """What the reference left undone."""
        return [lane.run, *done]

    def _turns(self, candidates: Sequence[tuple[float, Candidate]], done: list[Run]) -> Iterator[None]:
        """One candidate after the other, from evaluation to evaluation."""
        for target, candidate in candidates:
            lane = _Lane.prepared(candidate, (target,), self)
            done.append(lane.run)
            steps = candidate.train()
            while lane.clock.seconds < self.limit_seconds:
                lane.clock.start()
                images = next(steps, None)
                lane.clock.stop()
                if images is None:
                    break
                lane.evaluate(images)
                yield
