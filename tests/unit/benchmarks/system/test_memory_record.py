"""Samples of a soak: growth by time and by call, once the buffers have their size."""

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.system.memory_record import MemoryRecord, MemorySample, read_record

# Ten samples, one a minute, a hundred calls a minute: a jump at the start, then 1 MiB a minute.
SAMPLES = [MemorySample(60.0 * minute, 100 * minute, 50.0 if minute == 0 else 100.0 + minute) for minute in range(10)]


def test_growth_is_that_of_the_settled_samples() -> None:
    record = MemoryRecord({}, SAMPLES)
    assert record.settled() == SAMPLES[1:]
    assert record.growth_an_hour().slope == pytest.approx(60)
    assert record.growth_a_call().slope == pytest.approx(2**20 / 100)


def test_too_few_samples_and_a_soak_without_calls_show_no_growth() -> None:
    with pytest.raises(ValueError, match="three"):
        MemoryRecord({}, SAMPLES[:2]).growth_an_hour()
    with pytest.raises(ValueError, match="one moment"):
        MemoryRecord({}, [MemorySample(each.seconds, 0, each.mebibytes) for each in SAMPLES]).growth_a_call()


def test_a_written_record_is_read_back(tmp_path: Path) -> None:
    record = MemoryRecord({"minutes": 10}, SAMPLES, Counter({"leaving CANCELLED": 3}))
    record.write(tmp_path / "soak.json")
    assert read_record(tmp_path / "soak.json") == record
