"""Every metric, once. A registry is passed in, so that nothing is shared between servers or tests."""

from collections.abc import Iterable, Mapping

import numpy as np
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    Metric,
    PlatformCollector,
    ProcessCollector,
)

from serving.metrics.counters import CounterTally, HistogramTally
from serving.predictions import BatchRows, Refusal

# gRPC's own ladder (proposal A66), which begins where this service answers: prometheus_client's begins at 5 ms.
SECONDS = (
    *(0.00001, 0.00005, 0.0001, 0.0003, 0.0006, 0.0008),
    *(0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01, 0.013, 0.016, 0.02, 0.025, 0.03, 0.04, 0.05),
    *(0.065, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 2.0, 5.0, 10.0),
)
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
PROBABILITIES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)
ANSWERS_KEPT = 64  # batches
RPC = ("grpc_type", "grpc_service", "grpc_method")


class Metrics:
    """The server's instruments. Label values come from closed sets: methods, codes, digits, reasons."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._answers: list[BatchRows] = []  # not yet counted
        registry.register(self)
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._make_rpc_metrics(registry)
        self._make_batch_metrics(registry)
        self._make_model_metrics(registry)

    def _make_rpc_metrics(self, registry: CollectorRegistry) -> None:
        self.tasks = Gauge(
            "mnist_tasks", "Tasks of the event loop: calls in progress, and what each needs", registry=registry
        )
        self.started = CounterTally("grpc_server_started", "RPCs begun", RPC, registry=registry)
        self.handled = CounterTally("grpc_server_handled", "RPCs ended", (*RPC, "grpc_code"), registry=registry)
        self.handling_seconds = HistogramTally(
            "grpc_server_handling_seconds",
            "Time from the request's arrival to its answer",
            RPC,
            buckets=SECONDS,
            registry=registry,
        )
        self.http_requests = CounterTally(
            "mnist_http_requests",
            "Calls that came by HTTP, by method and status",
            ("method", "code"),
            registry=registry,
        )
        self.rejected = CounterTally(
            "mnist_rejected",
            "Requests not answered, by reason; a stream's are counted one by one",
            ("reason",),
            registry=registry,
        )

    def _make_batch_metrics(self, registry: CollectorRegistry) -> None:
        # Observed by the decoding threads, so it needs prometheus_client's lock.
        self.decode_seconds = Histogram(
            "mnist_decode_seconds", "Time to decode and frame one encoded image", buckets=SECONDS, registry=registry
        )
        self.queue_depth = Gauge("mnist_queue_depth", "Images waiting for a batch", registry=registry)
        self.queue_wait_seconds = HistogramTally(
            "mnist_queue_wait_seconds", "Time a request waited for its batch", buckets=SECONDS, registry=registry
        ).labels()
        self.batch_size = HistogramTally(
            "mnist_batch_size", "Images in one inference", buckets=IMAGES, registry=registry
        ).labels()
        self.inference_seconds = HistogramTally(
            "mnist_inference_seconds", "Time of one inference", buckets=SECONDS, registry=registry
        ).labels()
        self.dropped = CounterTally(
            "mnist_dropped", "Requests dropped from the queue before inference", ("reason",), registry=registry
        )

    def _make_model_metrics(self, registry: CollectorRegistry) -> None:
        self.predictions = CounterTally("mnist_predictions", "Images answered, by digit", ("digit",), registry=registry)
        self.confidence = HistogramTally(
            "mnist_confidence", "Calibrated probability of the answered digit", buckets=PROBABILITIES, registry=registry
        ).labels()
        self.refused = CounterTally(
            "mnist_refused", "Images whose digit the service does not stand by", ("reason",), registry=registry
        )
        self.remarks = CounterTally(
            "mnist_remarks",
            "Encoded pictures that something may be wrong with, by remark",
            ("quality",),
            registry=registry,
        )
        self.model_info = Info("mnist_model", "A version that is served", ("version",), registry=registry)
        self.model_refused = Info(
            "mnist_model_refused",
            "A version that should be served and did not pass a check",
            ("version",),
            registry=registry,
        )
        self.model_loads = CounterTally(
            "mnist_model_loads",
            "Versions tried, by outcome: served, or the check not passed",
            ("outcome",),
            registry=registry,
        )
        self.inference_info = Info("mnist_inference", "How the model is run", registry=registry)
        self.build_info = Info("mnist_build", "The software that serves it", registry=registry)
        self.ready = Gauge(
            "mnist_ready", "1 while a warm model is served and the server is not draining", registry=registry
        )
        # Made before they are needed: a series that appears with its first event hides that event from rate().
        self._by_digit = [self.predictions.labels(str(digit)) for digit in range(10)]
        self._by_refusal = {refusal: self.refused.labels(refusal.name.lower()) for refusal in Refusal if refusal}

    def tell_models(self, served: Mapping[int, Mapping[str, str]], refused: Mapping[int, str]) -> None:
        """Which versions are served, each with what is told of it, and which are refused, each by which check."""
        for info, versions in (
            (self.model_info, served),
            (self.model_refused, {version: {"check": check} for version, check in refused.items()}),
        ):
            info.clear()
            for version, told in versions.items():
                info.labels(str(version)).info(dict(told))

    def observe_batch(self, rows: BatchRows, queue_waits: Iterable[float]) -> None:
        """Counts a batch: its size, its answers, and how long each of its requests waited, in seconds."""
        self.batch_size.observe(len(rows))
        for seconds in queue_waits:
            self.queue_wait_seconds.observe(seconds)
        self._answers.append(rows)
        if len(self._answers) == ANSWERS_KEPT:
            self._count_answers()

    def _count_answers(self) -> None:
        """Counts what was answered since the last time, all at once: array by array it takes a twentieth."""
        if not self._answers:
            return
        rows, self._answers = self._answers, []
        digits = np.bincount(np.concatenate([each.digits for each in rows]), minlength=len(self._by_digit))
        refusals = np.bincount(np.concatenate([each.refusals for each in rows]), minlength=len(Refusal))
        for series, images in zip(self._by_digit, digits.tolist(), strict=True):
            series.inc(images)
        for refusal, series in self._by_refusal.items():
            series.inc(int(refusals[refusal]))
        self.confidence.observe_all(np.concatenate([each.probabilities for each in rows]).max(axis=1))

    def collect(self) -> Iterable[Metric]:
        """No metric of its own: called by the registry before the others, it counts what is still to be counted."""
        self._count_answers()
        return []


class SupervisorMetrics:
    """Registered in a registry of their own, as they are told together with those of the workers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.workers = Gauge("mnist_workers", "Worker processes that answer calls", registry=self.registry)
        self.restarts = Counter(
            "mnist_worker_restarts", "Worker processes that died and were replaced", registry=self.registry
        )
        self.renewals = Counter(
            "mnist_worker_renewals", "Worker processes that had grown and were replaced", registry=self.registry
        )
        self.ready = Gauge("mnist_ready", "1 while calls are answered", registry=self.registry)
