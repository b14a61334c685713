"""The table of targets: what its rows need, and how it reads."""

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.compare.check import Evidence
from benchmarks.compare.plan import plan_loads
from benchmarks.compare.results import Footprint, Results
from benchmarks.compare.targets import TARGETS, main, needs_of, target_table
from benchmarks.load.arrivals import Tail
from benchmarks.load.in_process import CEILINGS
from benchmarks.load.measurement import LOADS, PICTURE_LOADS, Load, Measurement, OpenLoop
from benchmarks.system.memory_record import MemoryRecord, MemorySample

HEAD = "| what | at least | measured | met? |\n| --- | --- | --- | --- |\n"


def complete_evidence() -> Evidence:
    """Two made-up rounds of all that the targets need, and a soak that grows by nothing."""
    results = Results({}, {"rounds": 2, "seconds": 4.0, "when": "2026-11-28T10:00:00Z", "processor": "made up"})
    ceilings = [(ceiling.name, LOADS["64x8"]) for ceiling in CEILINGS]
    for server, load in [*needs_of(TARGETS), *ceilings]:
        results.alone[server] = Footprint(ready_mebibytes=100, memory_mebibytes=130, start_seconds=1)
        for rate in (1000.0, 2000.0):
            if isinstance(load, Load):
                results.add(server, load, Measurement(rate, p50_ms=1, p99_ms=2, cpu_us_per_request=120))
            elif load is not None:
                results.add_tail(server, Tail(load.rate, 1, 2, 3, 4, 0, 0.25))
    samples = [MemorySample(60.0 * minute, 1000 * minute, 120) for minute in range(10)]
    return Evidence(results, MemoryRecord({}, samples, Counter()))


def test_every_target_can_be_planned_and_every_row_is_filled_from_what_it_needs() -> None:
    assert plan_loads([], [], needs_of(TARGETS))["ours-one-mnist"] == ()
    rows = target_table(TARGETS, complete_evidence()).splitlines()[2:]
    assert len(rows) == len(TARGETS)
    assert [row for row in rows if "not measured" in row or "?" in row.split("|")[-2]] == []
    assert all(row.count("|") == 5 for row in rows)


def test_a_row_has_a_limit_a_figure_and_a_verdict_for_each_of_its_parts() -> None:
    table = target_table(["triton-32", "processor-time", "soak"], complete_evidence())
    assert table == HEAD + (
        "| one digit, 32 at once, to Triton: requests/s; p99 | 1.5 x; ≤ 0.6 x | 1 x; 1 x | no; no |\n"
        "| processor time a call, 32 at once, int8 | ≤ 110 us | 120 us | no |\n"
        "| memory (PSS) of one worker with the model mnist after an hour of mixed calls with leavers; its growth"
        " | ≤ 125 MiB; ≤ 1 MiB an hour | 120 MiB; 0 MiB an hour; 0 bytes a call | yes; yes |"
    )


def test_what_is_missing_is_named() -> None:
    (row,) = target_table(["triton-1"], Evidence(Results({}, {}))).splitlines()[2:]
    assert row == "| one digit, 1 at once, p50 to Triton's | ≤ 0.75 x | not measured | ? |"


def test_a_target_needs_its_servers_under_its_load_and_nothing_else() -> None:
    assert needs_of(["fastapi"]) == [("ours", LOADS["128"]), ("fastapi", LOADS["128"])]
    assert needs_of(["batches"]) == [("ours", LOADS["64x8"]), ("triton", LOADS["64x8"])]
    assert needs_of(["open-loop"]) == [("ours", OpenLoop(5000, 60))]
    assert needs_of(["soak"]) == []
    loads = [load for load in PICTURE_LOADS.values() if load.picture == "jpeg"]
    assert needs_of(["jpeg"]) == [(name, load) for load in loads for name in ("ours-pictures", "fastapi-pictures")]


def test_the_table_is_printed_from_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evidence = complete_evidence()
    results, soak = tmp_path / "benchmark.json", tmp_path / "soak.json"
    evidence.results.write(results)
    arguments = ["--results", str(results), "--soak", str(soak)]
    main(["soak", *arguments])
    assert "| not measured | ?; ? |" in capsys.readouterr().out
    assert evidence.soak
    evidence.soak.write(soak)
    main(arguments)
    output = capsys.readouterr().out
    assert output.startswith(target_table(TARGETS, evidence))
    assert "2 rounds of 4 s, 2026-11-28, made up" in output


def test_an_unknown_target_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["speed"])
    assert "speed: no target; expected some of triton-32" in capsys.readouterr().err
