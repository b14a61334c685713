"""The trace of a request: whose it is, and when its stages began, also of a request that took several batches."""

import time

import pytest

from serving.traces.request_trace import DECODE_QUEUE, QUEUE, RequestTrace, trace_parent

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("flags", "is_sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True), ("01-more", True)]
)
def test_one_bit_of_the_flags_says_what_is_sampled(flags: str, is_sampled: bool) -> None:
    found = trace_parent([("other", "1"), ("traceparent", f"00-{TRACE}-{PARENT}-{flags}")])
    assert found == (TRACE, int(PARENT, 16), is_sampled)


@pytest.mark.parametrize(
    "text", ["", "00", f"00-{TRACE}-{PARENT}", f"00-{TRACE}-{PARENT}-1", f"00-{TRACE.upper()}-{PARENT}-01", b"\xff"]
)
def test_what_is_no_traceparent_counts_as_not_given(text: str | bytes) -> None:
    assert trace_parent([("traceparent", text)]) is None


def stages(trace: RequestTrace) -> list[tuple[str, float]]:
    return [(name, begun) for name, begun, _ in trace.stages]


def waiting(seconds: float) -> RequestTrace:
    """A trace whose request has been in the queue for so long."""
    trace = RequestTrace(TRACE, 1, None, time.perf_counter() - seconds)
    trace.admit("mnist", 3, 1)
    trace.enter(QUEUE)
    trace.stages[-1] = (QUEUE, trace.begun, None)
    return trace


def test_inference_begins_when_the_wait_for_the_batch_is_over() -> None:
    trace = waiting(10.0)
    trace.ran(queue_seconds=2.0, inference_seconds=3.0, batch_images=64)
    times = {name: begun - trace.begun for name, begun in stages(trace)}
    assert times["infer"] == pytest.approx(2.0)
    assert times["answer"] == pytest.approx(5.0)


def test_stages_of_a_request_of_several_batches_do_not_go_beyond_its_end() -> None:
    trace = waiting(10.0)
    trace.ran(queue_seconds=8.0, inference_seconds=6.0, batch_images=64)  # the longest wait; the sum of the batches
    times = {name: begun - trace.begun for name, begun in stages(trace)}
    assert 4.0 <= times["infer"] < 8.0
    assert times["infer"] + 6.0 == pytest.approx(times["answer"])
    assert times["answer"] <= time.perf_counter() - trace.begun


def test_decoding_lasts_until_the_last_picture_is_decoded() -> None:
    trace = RequestTrace(TRACE, 1, None, time.perf_counter())
    trace.admit("mnist", 3, 2)
    trace.enter(DECODE_QUEUE)
    trace.note_decoding()
    first = time.perf_counter()
    trace.note_decoding()
    trace.note_decoded()
    last = time.perf_counter()
    trace.note_decoded()
    trace.decoded()
    begun = dict(stages(trace))
    assert list(begun) == ["receive", "admit", "decode_queue", "decode", "frame"]
    assert begun["decode_queue"] <= begun["decode"] <= first <= last <= begun["frame"]
