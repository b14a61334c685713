from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, Metric
from prometheus_client.core import Exemplar, HistogramMetricFamily
from prometheus_client.exposition import generate_latest

from serving.metrics.merge import lasting, summed


def process(calls: int, wait: float, ready: int, started: float) -> CollectorRegistry:
    registry = CollectorRegistry()
    Counter("calls", "Calls", ("code",), registry=registry).labels("OK").inc(calls)
    Histogram("wait_seconds", "Wait", buckets=(1.0, 5.0), registry=registry).observe(wait)
    Gauge("mnist_queue_depth", "Depth", registry=registry).set(calls)
    Gauge("mnist_ready", "Ready", registry=registry).set(ready)
    Gauge("process_start_time_seconds", "Start", registry=registry).set(started)
    Info("mnist_model", "Model", registry=registry).info({"name": "mnist"})
    return registry


def exposed(families: list[Metric]) -> str:
    registry = CollectorRegistry()

    class Collected:
        def collect(self) -> list[Metric]:
            return families

    registry.register(Collected())
    return generate_latest(registry).decode()


def test_two_processes_are_shown_as_one() -> None:
    text = exposed(summed([process(2, 0.5, 1, 200.0).collect(), process(3, 3.0, 0, 100.0).collect()]))
    for line in (
        'calls_total{code="OK"} 5.0',
        'wait_seconds_bucket{le="1.0"} 1.0',
        'wait_seconds_bucket{le="5.0"} 2.0',
        "wait_seconds_sum 3.5",
        "mnist_queue_depth 5.0",
        "mnist_ready 0.0",
        "process_start_time_seconds 100.0",
        'mnist_model_info{name="mnist"} 1.0',
    ):
        assert line in text.splitlines()


def test_a_series_was_created_when_the_first_process_created_it() -> None:
    def created(at: float) -> Metric:
        family = Metric("calls", "Calls", "counter")
        family.add_sample("calls_created", {}, at)
        return family

    assert summed([[created(200.0)], [created(100.0)]])[0].samples[0].value == 100.0


def test_of_a_process_that_ended_only_what_it_counted_lasts() -> None:
    names = {family.name for family in lasting(process(1, 1.0, 1, 1.0).collect())}
    assert names == {"calls", "wait_seconds"}


def test_of_several_examples_of_a_bucket_the_latest_is_shown() -> None:
    def process_with(trace_id: str, at: float) -> list[Metric]:
        family = HistogramMetricFamily("wait_seconds", "Wait")
        family.add_metric([], [("1.0", 1.0, Exemplar({"trace_id": trace_id}, 0.5, at)), ("+Inf", 1.0)], 0.5)
        return [family]

    for order in (("old", 1.0), ("new", 2.0)), (("new", 2.0), ("old", 1.0)):
        [family] = summed(process_with(*each) for each in order)
        shown = [(sample.labels["le"], sample.value, sample.exemplar) for sample in family.samples[:2]]
        assert shown == [("1.0", 2.0, Exemplar({"trace_id": "new"}, 0.5, 2.0)), ("+Inf", 2.0, None)]
