"""Against prometheus_client's own counters and histograms: the same samples for the same observations."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import generate_latest

from serving.metrics.counters import LoopCounter, LoopHistogram

BOUNDS = (0.1, 1.0, 10.0)


def lines(registry: CollectorRegistry) -> set[str]:
    return {line for line in generate_latest(registry).decode().splitlines() if "_created" not in line}


@given(st.lists(st.floats(0, 100, width=32) | st.sampled_from(BOUNDS)), st.booleans())
def test_a_histogram_exposes_what_prometheus_clients_own_would(values: list[float], at_once: bool) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    fast = LoopHistogram("wait_seconds", "Time", buckets=BOUNDS, registry=ours).labels()
    histogram = Histogram("wait_seconds", "Time", buckets=BOUNDS, registry=theirs)
    values = [float(np.float32(value)) for value in values]
    if at_once:
        fast.observe_all(np.array(values))
    for value in values:
        histogram.observe(value)
        if not at_once:
            fast.observe(value)
    as_floats = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines(theirs) if line[0] != "#"}
    got = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines(ours) if line[0] != "#"}
    assert got.keys() == as_floats.keys()
    for name, value in as_floats.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-12, err_msg=name)


def test_a_counter_exposes_what_prometheus_clients_own_would() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    fast = LoopCounter("calls", "Calls", ("code",), registry=ours)
    counter = Counter("calls", "Calls", ("code",), registry=theirs)
    for series in (fast.labels("OK"), counter.labels("OK")):
        series.inc()
        series.inc(4)
    fast.labels("NOT_FOUND")
    counter.labels("NOT_FOUND")
    assert lines(ours) == lines(theirs)


def test_an_example_stands_in_the_bucket_of_its_value_as_prometheus_clients_own_does() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    fast = LoopHistogram("wait_seconds", "Time", buckets=BOUNDS, registry=ours).labels()
    histogram = Histogram("wait_seconds", "Time", buckets=BOUNDS, registry=theirs)
    for value, trace_id in ((0.1, "first"), (0.5, "second"), (0.6, "third"), (50.0, "fourth")):
        fast.observe(value)
        fast.exemplify(value, trace_id)
        histogram.observe(value, {"trace_id": trace_id})

    def examples(registry: CollectorRegistry) -> list[tuple[str, str, float]]:
        samples = [sample for family in registry.collect() for sample in family.samples]
        return [
            (sample.labels["le"], sample.exemplar.labels["trace_id"], sample.exemplar.value)
            for sample in samples
            if sample.exemplar
        ]

    assert examples(ours) == examples(theirs)
    assert examples(ours) == [("0.1", "first", 0.1), ("1.0", "third", 0.6), ("+Inf", "fourth", 50.0)]
