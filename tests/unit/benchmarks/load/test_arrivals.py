"""Latency counts from when a request was due, whatever client and server do."""

import pytest

from benchmarks.load.arrivals import Arrivals


def test_requests_are_due_at_a_fixed_rate() -> None:
    arrivals = Arrivals(rate=4, count=3, begin=100)
    assert [arrivals.due(number) for number in range(3)] == [100, 100.25, 100.5]


def test_a_request_that_was_sent_late_counts_from_when_it_was_due() -> None:
    arrivals = Arrivals(rate=1, count=1, begin=10)
    arrivals.record_sent(0, 12)
    arrivals.record_response(0, 12.5)
    tail = arrivals.tail(now=13)
    assert tail.worst_ms == 2500
    assert tail.sent_late_ms == 2000


def test_a_stall_counts_for_every_request_that_was_due_in_it() -> None:
    arrivals = Arrivals(rate=10, count=20, begin=0)
    for number in range(20):  # the server stalls for a second, then answers all at once
        arrivals.record_sent(number, max(1.0, arrivals.due(number)))
        arrivals.record_response(number, max(1.0, arrivals.due(number)))
    tail = arrivals.tail(now=2)
    assert tail.worst_ms == pytest.approx(1000)
    assert tail.p50_ms == pytest.approx(0)
    assert tail.p99_ms == pytest.approx(1000)


def test_a_request_without_a_response_counts_until_the_end() -> None:
    arrivals = Arrivals(rate=1, count=2, begin=0)
    arrivals.record_sent(0, 0)
    arrivals.record_response(0, 0.001)
    arrivals.record_sent(1, 1)
    assert arrivals.outstanding == 1
    tail = arrivals.tail(now=9)
    assert (tail.worst_ms, tail.unanswered) == (8000, 1)
