"""A canary's callers and its return: who is chosen, and which figures are too bad."""

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from serving.auth.api_keys import ApiKey, Caller
from serving.core.candidates.canary import Canary
from serving.core.candidates.canary_trial import SLICES, WINDOW_SECONDS, CanaryTrial
from serving.core.registry import Registry
from serving.logging import get_logger
from serving.metrics.canary_metrics import CanaryMetrics
from serving.version_policy import CanaryBounds, Candidate, parse_bounds

CANARY, SERVED = 4, 3


def canary(share: float, version: int = CANARY) -> Canary:
    metrics = CanaryMetrics(CollectorRegistry())
    return Canary(Candidate(version, share), CanaryBounds(), Registry(), metrics, get_logger(), lambda: None)


def of_key(name: str) -> Caller:
    return Caller(name, ApiKey(name, b"", frozenset(), 0.0, 0))


def test_the_share_is_of_callers_and_each_stays_where_it_is() -> None:
    callers = [Caller(f"ipv4:10.0.{number // 256}.{number % 256}:40000") for number in range(10_000)]
    small, wide, other = canary(0.05), canary(0.5), canary(0.05, version=5)
    chosen = [small.is_chosen(caller) for caller in callers]
    assert 0.04 < np.mean(chosen) < 0.06  # five standard deviations
    elsewhere = [Caller(caller.name.replace(":40000", ":50000").replace("ipv4", "http")) for caller in callers]
    assert [small.is_chosen(caller) for caller in elsewhere] == chosen
    assert all(wide.is_chosen(caller) for caller, before in zip(callers, chosen, strict=True) if before)
    others = [other.is_chosen(caller) for caller in callers]
    assert 0 < np.mean(np.array(chosen) & others) < 0.01  # others, but for chance


def test_a_key_is_one_caller_wherever_it_calls_from() -> None:
    chosen = {name: canary(0.5).is_chosen(of_key(name)) for name in ("forms", "cheques", "a", "b", "c", "d", "e", "f")}
    assert set(chosen.values()) == {True, False}
    assert all(canary(1.0).is_chosen(of_key(name)) for name in chosen)
    assert not any(canary(0.0).is_chosen(of_key(name)) for name in chosen)


class Inferences:
    """Random inferences of both versions, and the trial's verdicts on them."""

    def __init__(self, bounds: CanaryBounds | None = None, seed: int = 1) -> None:
        self.now = 0.0
        self.trial = CanaryTrial(CANARY, SERVED, bounds or CanaryBounds(), self.now)
        self.random = np.random.default_rng(seed)

    def run(
        self,
        version: int,
        runs: int,
        most: float = 8,
        *,
        failing: float = 0.0,
        refused: float = 0.0,
        seconds: float = 0.001,
    ) -> None:
        """Counts `runs` of 1 to `most` images. `seconds`: of an image, within a fifth."""
        tally = self.trial.tally(version)
        assert tally is not None
        for _ in range(runs):
            images = int(self.random.integers(1, int(most) + 1))
            if self.random.random() < failing:
                tally.add_failure()
            else:
                spent = images * seconds * self.random.uniform(0.8, 1.2)
                tally.add(images, int(self.random.binomial(images, refused)), spent)

    def verdict(self, after: float = 0.0) -> str:
        self.now += after
        found = self.trial.verdict(self.now)
        return found.reason if found else ""


@pytest.mark.parametrize("seed", range(5))
def test_chance_returns_no_canary_that_is_as_good(seed: int) -> None:
    inferences = Inferences(seed=seed)
    for _ in range(100):
        inferences.run(SERVED, 400, failing=0.001, refused=0.02, most=64)
        inferences.run(CANARY, 20, failing=0.001, refused=0.02, seconds=0.0012, most=4)
        assert inferences.verdict(after=1.0) == ""


@pytest.mark.parametrize(
    ("worse", "reason"),
    [({"failing": 0.1}, "failures"), ({"refused": 0.2}, "refusals"), ({"seconds": 0.0025}, "slowness")],
)
def test_a_canary_that_is_much_worse_returns(worse: dict[str, float], reason: str) -> None:
    inferences = Inferences()
    inferences.run(SERVED, 4000, most=64)
    inferences.run(CANARY, 250, **worse)
    assert inferences.verdict() == reason


def test_one_that_always_fails_returns_after_a_tenth_of_the_calls_and_without_the_others_figures() -> None:
    inferences = Inferences()
    inferences.run(CANARY, 19, failing=1.0)
    assert inferences.verdict() == ""
    inferences.run(CANARY, 1, failing=1.0)
    assert inferences.verdict() == "failures"


def test_below_the_least_number_of_either_version_refusals_are_not_judged() -> None:
    few, fewer = Inferences(), Inferences()
    few.run(SERVED, 4000)
    few.run(CANARY, 199, refused=1.0)
    fewer.run(SERVED, 199)
    fewer.run(CANARY, 4000, refused=1.0)
    assert (few.verdict(), fewer.verdict()) == ("", "")


def test_one_that_takes_seconds_returns_after_a_tenth_of_the_calls() -> None:
    inferences = Inferences()
    inferences.run(SERVED, 4000)
    inferences.run(CANARY, 19, seconds=2.0)
    assert inferences.verdict() == ""
    inferences.run(CANARY, 1, seconds=2.0)
    assert inferences.verdict() == "slowness"


@pytest.mark.parametrize("of_both", [1, 20])
def test_one_pause_returns_no_canary(of_both: int) -> None:
    inferences = Inferences()
    inferences.run(SERVED, 4000)
    inferences.run(CANARY, 200)
    tally = inferences.trial.tally(CANARY)
    assert tally is not None
    tally.add(of_both % 8 + 1, 0, 25.0)  # a second's work of both together
    assert inferences.verdict() == ""


@pytest.mark.parametrize(
    ("grpc", "http"), [("ipv4:10.0.0.1:40000", "http:10.0.0.1:50000"), ("ipv6:%5B::1%5D:58726", "http:::1:40000")]
)
def test_an_address_is_one_caller_by_grpc_and_http(grpc: str, http: str) -> None:
    for version in range(1, 30):
        one = canary(0.5, version)
        assert one.is_chosen(Caller(grpc)) == one.is_chosen(Caller(http))


def test_faults_that_both_versions_have_return_none() -> None:
    inferences = Inferences()
    for version in (SERVED, CANARY):
        inferences.run(version, 1000, failing=0.3, refused=0.5, seconds=0.1)
    assert inferences.verdict() == ""


def test_batches_of_other_sizes_say_nothing_about_time() -> None:
    """On a GPU a batch of one takes as long as one of 64."""
    inferences = Inferences()
    served, tried = inferences.trial.tally(SERVED), inferences.trial.tally(CANARY)
    assert served is not None
    assert tried is not None
    for _ in range(300):
        served.add(64, 0, 0.001)
        tried.add(1, 0, 0.001)
    assert inferences.verdict() == ""


def test_what_is_older_than_the_window_is_forgotten() -> None:
    inferences = Inferences()
    inferences.run(CANARY, 15, failing=1.0)
    for _ in range(2 * SLICES):
        assert inferences.verdict(after=WINDOW_SECONDS / SLICES) == ""
    inferences.run(CANARY, 15, failing=1.0)
    assert inferences.verdict() == ""


def test_bounds_are_written_in_words() -> None:
    assert parse_bounds("") == CanaryBounds()
    assert parse_bounds(str(CanaryBounds())) == CanaryBounds()
    assert parse_bounds("calls=50,slowdown=1.5") == CanaryBounds(slowdown=1.5, calls=50)
    assert parse_bounds("failures=0.02,refusals=10%") == CanaryBounds(failures=0.02, refusals=0.1)


@pytest.mark.parametrize(
    "text",
    ["failures", "failures=2", "failures=101%", "calls=0", "calls=1.5", "calls=5%", "calls=1,calls=2", "x=1", "-"],
)
def test_what_are_no_bounds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected some of failures=1%"):
        parse_bounds(text)
