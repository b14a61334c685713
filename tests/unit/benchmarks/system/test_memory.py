"""Memory is measured as if the benchmark shared no library with the server; growth is distinguished from noise."""

import random
from typing import NamedTuple

import psutil
import pytest

from benchmarks.system.memory import growth, memory_bytes, total_bytes


class Mapping(NamedTuple):
    path: str
    rss: int
    pss: int
    private_dirty: int


def test_a_file_that_the_benchmark_maps_too_counts_once_and_changed_pages_in_full() -> None:
    one = [Mapping("/lib/a.so", 120, 40, 15), Mapping("[anon]", 7, 7, 7)]
    other = [Mapping("/lib/a.so", 110, 30, 2), Mapping("[anon]", 5, 5, 5)]
    assert total_bytes([one, other], {"/lib/a.so", "[anon]"}) == 15 + 2 + 108 + 7 + 5
    assert total_bytes([one, other], set()) == 40 + 7 + 30 + 5


def test_heaps_of_the_same_name_are_not_shared() -> None:
    assert total_bytes([[Mapping("[heap]", 50, 50, 50)], [Mapping("[heap]", 60, 60, 60)]], {"[heap]"}) == 110


def test_no_process_takes_no_memory_and_this_one_takes_some() -> None:
    assert memory_bytes([]) == 0
    assert memory_bytes([psutil.Process()]) > 0


def test_the_slope_of_a_line_is_found_exactly() -> None:
    found = growth([0, 0.5, 1, 1.5], [100, 105, 110, 115])
    assert found.slope == pytest.approx(10)
    assert found.uncertainty == pytest.approx(0, abs=1e-9)
    assert found.verdict(allowed=1) == "it grows"


def test_noise_around_a_level_is_no_growth() -> None:
    chance = random.Random(1)
    hours = [minute / 60 for minute in range(600)]
    found = growth(hours, [100 + chance.gauss(0, 0.5) for _ in hours])
    assert abs(found.slope) < 0.1
    assert found.verdict(allowed=1) == "it does not grow"


def test_a_few_noisy_samples_decide_nothing() -> None:
    assert growth([0, 0.01, 0.02], [100, 103, 99]).verdict(allowed=1) == "undecided: measure longer"


def test_two_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="three"):
        growth([0, 1], [1, 2])
