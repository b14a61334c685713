"""Results: medians, ratios, and the file they are written to."""

import json
from pathlib import Path

from benchmarks.compare.results import Footprint, Results, read_results
from benchmarks.load.arrivals import Tail
from benchmarks.load.measurement import PICTURE_LOADS, PYTHON_CALLS, Load, Measurement, OpenLoop, Spread


def measurement(rate: float) -> Measurement:
    return Measurement(requests_per_second=rate, p50_ms=1.0, p99_ms=2.0, cpu_us_per_request=3.0)


def results_of(**rates: list[float]) -> Results:
    results = Results({name: name.title() for name in rates}, {"when": "2026-11-24"})
    for name, measured in rates.items():
        for rate in measured:
            results.add(name, Load(32, 1), measurement(rate))
    return results


def test_medians_and_ratios_are_taken_over_rounds() -> None:
    results = results_of(ours=[100, 300, 200], peer=[50, 100, 200])
    load = Load(32, 1)
    assert results.spread("ours", load, lambda each: each.requests_per_second) == Spread(200, 100, 300)
    assert results.ratio("ours", "peer", load) == Spread(2, 1, 3)


def test_written_results_are_read_back(tmp_path: Path) -> None:
    results = results_of(ours=[100], peer=[50])
    results.add("ours", PYTHON_CALLS, measurement(70))
    results.add("ours", PICTURE_LOADS["jpeg-8"], measurement(7))
    results.alone["ours"] = Footprint(90.5, 120.5, 1.25)
    results.add_tail("ours", Tail(200, 1, 2, 3, 4, 0, 0.5))
    results.drop("peer", "it failed")
    results.write(tmp_path / "results.json")
    assert read_results(tmp_path / "results.json") == results


def test_results_from_before_a_load_could_have_pictures_are_read(tmp_path: Path) -> None:
    results, path = results_of(ours=[100]), tmp_path / "results.json"
    results.write(path)
    content = json.loads(path.read_text())
    for row in content["results"]:
        del row["picture"]
    path.write_text(json.dumps(content))
    assert read_results(path) == results


def test_a_server_that_failed_has_no_figures() -> None:
    results = results_of(ours=[100], peer=[50])
    results.drop("peer", "it failed")
    assert set(results.rounds) == {"ours"}
    assert results.failed == {"peer": "it failed"}


def test_a_server_that_failed_one_load_keeps_the_others() -> None:
    results = results_of(ours=[100])
    results.add("ours", Load(1, 1), measurement(10))
    results.add_tail("ours", Tail(200, 1, 2, 3, 4, 0, 0.5))
    results.drop("ours", "an error", Load(32, 1))
    results.drop("ours", "no response", OpenLoop(200, 60))
    assert set(results.rounds["ours"]) == {Load(1, 1)}
    assert results.tails["ours"] == {}
    assert results.has_failed("ours", Load(32, 1))
    assert results.has_failed("ours", OpenLoop(200, 60))
    assert not results.has_failed("ours", Load(1, 1))
    assert results.failed == {
        "ours, 1 digit a request, 32 at once": "an error",
        "ours, 200 requests/s": "no response",
    }
