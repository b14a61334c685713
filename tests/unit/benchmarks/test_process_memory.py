"""Memory is told as if the benchmark did not share libraries with the server."""

import os

from benchmarks.process_memory import Mapping, memory_bytes, parse_smaps, together

SMAPS = """\
7f00-7f10 r-xp 00000000 fe:00 12 /usr/lib/with a space.so
Size:                 64 kB
Rss:                  40 kB
Pss:                  10 kB
Pss_Dirty:             0 kB
Private_Dirty:         4 kB
7f20-7f30 rw-p 00000000 00:00 0
Size:                 64 kB
Rss:                   8 kB
Pss:                   8 kB
Private_Dirty:         8 kB
"""


def test_smaps_is_read() -> None:
    expected = [
        Mapping("/usr/lib/with a space.so", 40 * 1024, 10 * 1024, 4 * 1024),
        Mapping("", 8 * 1024, 8 * 1024, 8 * 1024),
    ]
    assert parse_smaps(SMAPS) == expected


def test_a_library_that_the_benchmark_maps_too_counts_in_full_and_but_for_changes_once() -> None:
    one = [Mapping("/lib/a.so", 100, 30, 0), Mapping("/lib/a.so", 20, 10, 15), Mapping("", 7, 7, 7)]
    other = [Mapping("/lib/a.so", 110, 30, 2), Mapping("", 5, 5, 5)]
    assert together([one, other], {"/lib/a.so", ""}) == 15 + 2 + 108 + 7 + 5
    assert together([one, other], set()) == 30 + 10 + 7 + 30 + 5


def test_heaps_of_the_same_name_are_not_shared() -> None:
    assert together([[Mapping("[heap]", 50, 50, 50)], [Mapping("[heap]", 60, 60, 60)]], {"[heap]"}) == 110


def test_a_process_that_has_gone_takes_nothing() -> None:
    assert memory_bytes([]) == 0
    assert memory_bytes([os.getpid()]) > 0
