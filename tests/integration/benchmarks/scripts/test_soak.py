"""A soak has callers of every kind, and keeps what it saw of memory and calls."""

import asyncio
from pathlib import Path

from benchmarks.load.mixed_calls import CALLERS
from benchmarks.scripts.soak import soak
from benchmarks.servers.running_server import run_our_server
from benchmarks.system.memory_record import MemoryRecord, MemorySample


def test_callers_of_every_kind_call_and_are_counted(runs: Path) -> None:
    record, shown = MemoryRecord({}), list[MemorySample]()
    with run_our_server(runs) as server:
        asyncio.run(soak(server, record, seconds=2, sample_seconds=0.5, without=(), show=shown.append))
    ended = {outcome.split()[0] for outcome in record.outcomes}
    assert ended == set(CALLERS)
    assert record.samples == shown
    first, *_, last = record.samples
    assert first.calls == 0
    assert last.calls > 20
    assert all(sample.mebibytes > 10 for sample in record.samples)


def test_kinds_of_callers_can_stay_away(runs: Path) -> None:
    record = MemoryRecord({})
    with run_our_server(runs) as server:
        kinds = ("patient", "leaving", "impatient")
        asyncio.run(soak(server, record, seconds=0.5, sample_seconds=0.5, without=kinds, show=lambda _: None))
    assert {outcome.split()[0] for outcome in record.outcomes} == {"hanging-up"}
