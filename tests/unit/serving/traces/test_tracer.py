"""The tracer alone: what it holds for a collector that takes nothing is bounded."""

import time

import pytest
from structlog.testing import capture_logs

from serving.logging import get_logger
from serving.traces.request_trace import QUEUE
from serving.traces.sampling import sampling
from serving.traces.tracer import MOST_SPANS, SpanTracer
from tests.support.collector import collector, endpoint_of, silent_collector

REQUESTS = MOST_SPANS // 4


def record(tracer: SpanTracer) -> None:
    """One request with five stages."""
    trace = tracer.begin([], time.perf_counter())
    assert trace
    trace.admit("mnist", 3, 1)
    trace.enter(QUEUE)
    trace.ran(queue_seconds=0.0, inference_seconds=0.0, batch_images=1)
    tracer.end_rpc(trace, "mnist.v1.DigitClassifier/Classify", "OK", "")


async def test_requests_beyond_what_may_wait_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    with silent_collector() as listening, capture_logs() as log:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint_of(listening))
        tracer = SpanTracer(sampling({}), get_logger())
        tracer.start()
        for _ in range(REQUESTS):
            record(tracer)
        await tracer.close(0.01)
    [not_sent] = [event for event in log if event["event"] == "traces_not_sent"]
    [dropped] = [event for event in log if event["event"] == "traces_dropped"]
    assert not_sent["spans"] <= MOST_SPANS
    assert not_sent["spans"] == 6 * (REQUESTS - dropped["requests"])


async def test_only_what_ends_between_start_and_close_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as received:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", received.endpoint)
        tracer = SpanTracer(sampling({}), get_logger())
        record(tracer)
        tracer.start()
        record(tracer)
        await tracer.close(60.0)
        record(tracer)
    assert len(received.whole()) == 1
