"""Every process of a server is found, and no other."""

import pytest

from benchmarks.process_tree import Stat, members, parse_stat


def test_a_line_of_stat_is_read_whatever_the_process_is_called() -> None:
    line = "42 (a) b (c)) S 7 42 40 0 -1 4194560 1 2 3 4 150 50 11 12 20 0 3 0 100 1 2"
    assert parse_stat(line) == Stat(pid=42, parent=7, session=40, ticks=200)


@pytest.mark.parametrize("turned", [False, True])
def test_children_those_who_left_the_session_and_orphans_belong_to_the_server(turned: bool) -> None:
    stats = [
        Stat(10, 1, 10, 0),
        Stat(11, 10, 10, 0),
        Stat(12, 11, 12, 0),  # a grandchild with a session of its own
        Stat(13, 1, 10, 0),  # its parent has gone; the session stays
        Stat(20, 1, 20, 0),
        Stat(21, 20, 20, 0),
    ]
    found = [stat.pid for stat in members(10, stats[::-1] if turned else stats)]
    assert sorted(found) == [10, 11, 12, 13]
    assert found.index(10) < found.index(11) < found.index(12)
