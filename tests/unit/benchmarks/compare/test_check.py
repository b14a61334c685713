"""A figure is compared with its limit: by the median of the rounds, and only if it was measured."""

from collections import Counter

import pytest

from benchmarks.compare.check import Check, Evidence, figure, ratio, ready_memory, soaked_growth, soaked_memory, tail
from benchmarks.compare.results import Footprint, Results
from benchmarks.load.arrivals import Tail
from benchmarks.load.measurement import Load, Measurement, OpenLoop
from benchmarks.system.memory_record import MemoryRecord, MemorySample

LOAD = Load(32, 1)
STEADY = OpenLoop(5000, 60)


def p99(measured: Measurement) -> float:
    return measured.p99_ms


def evidence_of(rates: dict[str, list[float]], soak: MemoryRecord | None = None) -> Evidence:
    """Rounds of each server with these requests a second; p99 is 1,000 ms divided by them."""
    results = Results({}, {})
    for name, rounds in rates.items():
        for rate in rounds:
            results.add(name, LOAD, Measurement(rate, p50_ms=1, p99_ms=1000 / rate, cpu_us_per_request=5))
    return Evidence(results, soak)


def soaked(*mebibytes: float) -> MemoryRecord:
    """A sample every six minutes."""
    samples = [MemorySample(360.0 * number, 1000 * number, each) for number, each in enumerate(mebibytes)]
    return MemoryRecord({}, samples, Counter())


def test_a_ratio_is_taken_round_by_round_and_judged_by_its_median() -> None:
    evidence = evidence_of({"ours": [300, 100, 400], "peer": [100, 100, 200]})
    check = ratio("ours", "peer", LOAD, at_least=2)
    assert (check.limit(), check.measured(evidence)) == ("2 x", "2.00 (1.00 to 3.00) x")
    assert check.verdict(evidence) == "yes"
    assert ratio("ours", "peer", LOAD, at_least=2.1).verdict(evidence) == "no"


def test_a_latency_may_be_at_most_its_limit() -> None:
    evidence = evidence_of({"ours": [200], "peer": [100]})
    check = ratio("ours", "peer", LOAD, p99, at_most=0.5)
    assert (check.limit(), check.verdict(evidence)) == ("≤ 0.5 x", "yes")
    assert ratio("ours", "peer", LOAD, p99, at_most=0.49).verdict(evidence) == "no"


def test_a_figure_without_a_limit_is_shown_and_not_judged() -> None:
    check = figure("ours", LOAD, p99, "ms")
    evidence = evidence_of({"ours": [200]})
    assert (check.limit(), check.measured(evidence), check.verdict(evidence)) == ("", "5 ms", "")


@pytest.mark.parametrize(
    "check",
    [
        ratio("ours", "peer", LOAD, at_least=1),
        figure("peer", LOAD, p99, "ms", at_most=1),
        tail("ours", STEADY, lambda measured: measured.p99_ms, "ms", at_most=5),
        ready_memory("ours", at_most=105),
        soaked_memory(at_most=125),
        soaked_growth(at_most=1),
    ],
)
def test_what_was_not_measured_has_no_verdict(check: Check) -> None:
    evidence = evidence_of({"ours": [100]})
    assert (check.measured(evidence), check.verdict(evidence)) == ("not measured", "?")


def test_a_failed_load_misses_its_limit_and_says_why() -> None:
    evidence = evidence_of({"ours": [100], "peer": [100]})
    evidence.results.drop("ours", "3 of 9 requests failed\nand more", LOAD)
    check = figure("ours", LOAD, p99, "ms", at_most=1)
    assert (check.measured(evidence), check.verdict(evidence)) == ("failed: 3 of 9 requests failed", "no")


def test_a_server_that_could_not_run_misses_every_limit() -> None:
    evidence = evidence_of({"ours": [100]})
    evidence.results.drop("ours", "alone: it ended")
    assert ratio("ours", "peer", LOAD, at_least=1).measured(evidence) == "failed: alone: it ended"


def test_tails_and_memory_are_judged() -> None:
    evidence = evidence_of({}, soaked(100, 120, 121, 122, 123, 124))
    evidence.results.alone["ours"] = Footprint(ready_mebibytes=104.4, memory_mebibytes=130, start_seconds=1)
    for p99_ms in (4.0, 6.0, 4.5):
        evidence.results.add_tail("ours", Tail(STEADY.rate, 1, p99_ms, 7, 8, 0, 0.1))
    tail_check = tail("ours", STEADY, lambda measured: measured.p99_ms, "ms", at_most=5)
    assert (tail_check.measured(evidence), tail_check.verdict(evidence)) == ("4.50 (4.00 to 6.00) ms", "yes")
    assert ready_memory("ours", at_most=105).verdict(evidence) == "yes"
    assert soaked_memory(at_most=122).verdict(evidence) == "yes"
    assert soaked_memory(at_most=121).verdict(evidence) == "no"


@pytest.mark.parametrize(
    ("mebibytes", "verdict"),
    [((100, 100, 100, 100), "yes"), ((100, 110, 120, 130), "no"), ((100, 104, 99, 103), "?")],
)
def test_growth_is_judged_only_beyond_its_uncertainty(mebibytes: tuple[float, ...], verdict: str) -> None:
    assert soaked_growth(at_most=1).verdict(evidence_of({}, soaked(*mebibytes))) == verdict
