from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from experiments.time_to_accuracy.race import Point, Race, Run
from experiments.time_to_accuracy.results import advantage, race_file, race_table, seconds
from training.data.arrays import LabelledDigits, Labels, Pixels

TEN_FOURS = LabelledDigits(np.zeros((10, 784), np.uint8), np.full(10, 4))


@dataclass
class _Time:
    """A clock that moves only when somebody works."""

    seconds: float = 0.0
    worked: list[str] = field(default_factory=list)

    def pass_by(self, who: str, seconds: float) -> None:
        self.seconds += seconds
        self.worked.append(who)


@dataclass
class _Learner:
    """Reads one more of ten digits rightly after each step; preparing takes 100 s, reading 1000 s."""

    name: str
    time: _Time
    step_seconds: float
    right: int = 0

    def prepare(self) -> None:
        self.time.seconds += 100

    def read(self, pixels: Pixels) -> Labels:
        self.time.seconds += 1000
        return np.where(np.arange(len(pixels)) < self.right, 4, 0)

    def step(self) -> int:
        self.time.pass_by(self.name, self.step_seconds)
        self.right += 1
        return self.right * 50


class _Endless(_Learner):
    def train(self, evaluate: Callable[[int], bool]) -> None:
        while evaluate(self.step()):
            pass


@dataclass
class _Scheduled(_Learner):
    steps: int = 0

    def train(self) -> Iterator[int]:
        for _ in range(self.steps):
            yield self.step()


def _race(limit_seconds: float, *steps: int) -> tuple[list[Run], _Time, list[str]]:
    """A reference of 7 s a step against candidates of 2 s a step, one of each number of steps, towards 20, 40 %, …"""
    time, lines = _Time(), list[str]()
    race = Race(TEN_FOURS, limit_seconds, lines.append, now=lambda: time.seconds)
    candidates = [
        (0.2 * place, _Scheduled(f"candidate {place}", time, 2, steps=count))
        for place, count in enumerate(steps, start=1)
    ]
    return race.run(_Endless("reference", time, 7), candidates), time, lines


def test_a_clock_counts_its_own_training_and_nothing_else() -> None:
    (reference, candidate_run), _, _ = _race(28, 3)
    assert [point.seconds for point in reference.points] == [7, 14, 21, 28]
    assert [point.seconds for point in candidate_run.points] == [2, 4, 6]


def test_preparation_is_reported_apart() -> None:
    runs, _, _ = _race(28, 3, 2)
    assert [run.prepared_seconds for run in runs] == [100, 100, 100]


def test_the_sides_take_turns_and_who_is_left_goes_on_alone() -> None:
    _, time, _ = _race(14, 2, 2)
    assert time.worked == ["reference", "candidate 1", "reference", "candidate 1", "candidate 2", "candidate 2"]


def test_nobody_trains_on_beyond_the_limit() -> None:
    (reference, candidate_run), _, _ = _race(5, 100)
    assert [point.seconds for point in reference.points] == [7]
    assert [point.seconds for point in candidate_run.points] == [2, 4, 6]


def test_a_target_is_reached_at_the_first_evaluation_not_below_it() -> None:
    run = Run("a", (0.99,), 0.0, [Point(1, 10, 0.98), Point(2, 20, 0.99), Point(3, 30, 0.97), Point(4, 40, 0.999)])
    assert run.seconds_to(0.99) == 2
    assert run.seconds_to(0.9999) is None


def test_each_evaluation_is_one_line() -> None:
    _, _, lines = _race(14, 1)
    assert len(lines) == 3
    assert "reference" in lines[0]
    assert "7.0 s" in lines[0]
    assert "10.00%" in lines[0]


@pytest.mark.parametrize(
    ("theirs", "ours", "expected"),
    [(0.99, 0.99, "5.0"), (0.98, 0.99, "more than 5.0"), (0.99, 0.98, ""), (0.98, 0.98, "")],
)
def test_the_advantage_claims_only_what_was_seen(theirs: float, ours: float, expected: str) -> None:
    reference = Run("theirs", (0.99,), 0.0, [Point(100, 10, theirs)])
    assert advantage(reference, Run("ours", (0.99,), 0.0, [Point(20, 10, ours)])) == expected


def test_a_target_that_was_not_reached_says_so() -> None:
    assert seconds(Run("a", (0.99,), 0.0, [Point(600.2, 10, 0.98)]), 0.99) == "not within 600 s"
    assert seconds(Run("a", (0.99,), 0.0), 0.99) == "not within 0 s"


def test_the_table_and_the_file_have_every_run() -> None:
    runs, _, _ = _race(28, 3, 5)
    assert race_table(runs[0], runs[1:]).row_count == 2 + 3
    written = race_file(runs, {"seed": 1})
    assert written["seed"] == 1
    assert [run["seconds_to"] for run in written["runs"]] == [{"20.0%": 14, "40.0%": 28}, {"20.0%": 4}, {"40.0%": 8}]
    assert len(written["runs"][0]["points"]) == 4
