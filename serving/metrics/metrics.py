"""Metrics of a serving process. The registry is passed in, so that servers and tests share nothing."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping

import numpy as np
from prometheus_client import (
    CollectorRegistry,
    Gauge,
    Histogram,
    Info,
    Metric,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from serving.metrics.canary_metrics import CanaryMetrics
from serving.metrics.counters import LoopCounter, LoopHistogram
from serving.metrics.feedback_metrics import FeedbackMetrics
from serving.predictions import DIGITS, BatchPredictions, Refusal

# In Prometheus' text format each would be a series of its own.
disable_created_metrics()  # type: ignore[no-untyped-call]

# Bucket bounds of gRPC's proposal A66, which start at 10 us. Those of prometheus_client start at 5 ms, above nearly all
# of this service's times.
SECONDS = (
    *(0.00001, 0.00005, 0.0001, 0.0003, 0.0006, 0.0008),
    *(0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.008, 0.01, 0.013, 0.016, 0.02, 0.025, 0.03, 0.04, 0.05),
    *(0.065, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 2.0, 5.0, 10.0),
)
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
IMAGES_BOUNDS = (*(str(float(images)) for images in IMAGES), "+Inf")  # as the label `le` of mnist_batch_size
PROBABILITIES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)
BATCHES_COUNTED_TOGETHER = 64
RPC = ("grpc_type", "grpc_service", "grpc_method")


class Metrics:
    """Instruments of a serving process. Label values come from closed sets: methods, codes, digits, reasons."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._batches: list[BatchPredictions] = []  # observed and not yet counted
        registry.register(self)  # before the instruments: collect() below must run before theirs
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._make_rpc_metrics(registry)
        self._make_batch_metrics(registry)
        self._make_model_metrics(registry)
        self.feedback = FeedbackMetrics(registry)
        self.canary = CanaryMetrics(registry)

    def _make_rpc_metrics(self, registry: CollectorRegistry) -> None:
        self.tasks = Gauge("mnist_tasks", "Tasks of the event loop, calls in progress among them", registry=registry)
        self.tasks.set_function(_tasks)
        self.memory = Gauge(
            "mnist_memory_bytes", "Private memory of the processes, without mapped files; adds up", registry=registry
        )
        self.started = LoopCounter("grpc_server_started", "RPCs begun", RPC, registry=registry)
        self.handled = LoopCounter("grpc_server_handled", "RPCs ended", (*RPC, "grpc_code"), registry=registry)
        self.handling_seconds = LoopHistogram(
            "grpc_server_handling_seconds",
            "Time from the request's arrival to its response",
            RPC,
            buckets=SECONDS,
            registry=registry,
        )
        self.http_requests = LoopCounter(
            "mnist_http_requests",
            "HTTP requests, by method and status",
            ("method", "code"),
            registry=registry,
        )
        self.http_seconds = LoopHistogram(
            "mnist_http_request_seconds",
            "Time from an HTTP request's headers to its response",
            ("method",),
            buckets=SECONDS,
            registry=registry,
        )
        self.infer_requests = LoopCounter(
            "mnist_open_inference_requests",
            "Requests by the Open Inference Protocol, over gRPC and HTTP, by outcome: success or failure",
            ("outcome",),
            registry=registry,
        )
        self.infer_seconds = LoopCounter(
            "mnist_open_inference_seconds",
            "Time of those requests by outcome, and by stage of those answered: queue, input, inference, output",
            ("stage",),
            registry=registry,
        )
        self.key_calls = LoopCounter(
            "mnist_key_calls",
            "Calls by gRPC and HTTP with an API key, by the key's name and the gRPC name of the status",
            ("key", "code"),
            registry=registry,
        )
        self.rejected = LoopCounter(
            "mnist_rejected",
            "Rejected requests, by reason; those of a stream are counted one by one",
            ("reason",),
            registry=registry,
        )

    def _make_batch_metrics(self, registry: CollectorRegistry) -> None:
        # Observed by the decoding threads, so it needs the lock of prometheus_client.
        self.decode_seconds = Histogram(
            "mnist_decode_seconds", "Time to decode and frame one encoded image", buckets=SECONDS, registry=registry
        )
        self.queue_depth = Gauge("mnist_queue_depth", "Images waiting for a batch", registry=registry)
        self.queue_wait_seconds = LoopHistogram(
            "mnist_queue_wait_seconds", "Time a request waited for its batch", buckets=SECONDS, registry=registry
        ).labels()
        self.batch_size = LoopHistogram(
            "mnist_batch_size", "Images in one inference", buckets=IMAGES, registry=registry
        ).labels()
        self.inference_seconds = LoopHistogram(
            "mnist_inference_seconds", "Time of one inference", buckets=SECONDS, registry=registry
        ).labels()
        self._batch_seconds = LoopCounter(
            "mnist_batch_seconds",
            "Time of inference by the images of the batch: at most `le`, and more than the bound before",
            ("le",),
            registry=registry,
        )
        self.last_inference = Gauge(
            "mnist_last_inference_timestamp_seconds",
            "Time at which the last inference ended, since the epoch; 0: none has",
            registry=registry,
        )
        self.dropped = LoopCounter(
            "mnist_dropped", "Requests dropped from the queue before inference", ("reason",), registry=registry
        )

    def _make_model_metrics(self, registry: CollectorRegistry) -> None:
        self.predictions = LoopCounter("mnist_predictions", "Images answered, by digit", ("digit",), registry=registry)
        self.confidence = LoopHistogram(
            "mnist_confidence", "Calibrated probability of the answered digit", buckets=PROBABILITIES, registry=registry
        ).labels()
        self.refused = LoopCounter(
            "mnist_refused", "Images whose digit is refused, by reason", ("reason",), registry=registry
        )
        self.remarks = LoopCounter(
            "mnist_remarks",
            "Encoded pictures with a remark on their quality, by remark",
            ("quality",),
            registry=registry,
        )
        self.shadow_dropped = LoopCounter(
            "mnist_shadow_dropped",
            "Images that were chosen for the candidate and not sent to it: the worker was busy, or the shadow process",
            ("reason",),
            registry=registry,
        )
        self.model_info = Info("mnist_model", "Model version that is served", ("version",), registry=registry)
        self.model_refused = Info(
            "mnist_model_refused",
            "Model version that is refused because it failed a check",
            ("version",),
            registry=registry,
        )
        self.model_not_copied = Info(
            "mnist_model_not_copied",
            "Model version of the image that is newer than those in the served folder, and not there",
            ("version",),
            registry=registry,
        )
        self.model_loads = LoopCounter(
            "mnist_model_loads",
            "Model versions loaded, by outcome: served, or the failed check",
            ("outcome",),
            registry=registry,
        )
        self.inference_info = Info("mnist_inference", "Settings of inference", registry=registry)
        self.build_info = Info("mnist_build", "Versions of the software that serves", registry=registry)
        self.ready = Gauge(
            "mnist_ready", "1 while a warm model is served and the server is not draining", registry=registry
        )
        # Created before they are needed: a series that appears with its first event hides that event from rate().
        self._by_digit = [self.predictions.labels(str(digit)) for digit in range(DIGITS)]
        self._seconds_by_images = [self._batch_seconds.labels(bound) for bound in IMAGES_BOUNDS]
        self._last_inference = 0.0
        self.last_inference.set_function(lambda: self._last_inference)
        self._by_refusal = {refusal: self.refused.labels(refusal.name.lower()) for refusal in Refusal if refusal}

    def set_models(self, served: Mapping[int, Mapping[str, str]], refused: Mapping[int, str]) -> None:
        """Sets the served versions, each with its labels, and the refused ones, each with the check that it failed."""
        for info, versions in (
            (self.model_info, served),
            (self.model_refused, {version: {"check": check} for version, check in refused.items()}),
        ):
            info.clear()
            for version, labels in versions.items():
                info.labels(str(version)).info(dict(labels))

    def set_not_copied(self, versions: Iterable[int]) -> None:
        """Sets the versions of the image that the served folder lacks."""
        self.model_not_copied.clear()
        for version in versions:
            self.model_not_copied.labels(str(version)).info({})

    def observe_inference(self, images: int, seconds: float) -> None:
        """Counts an inference that has ended now, of a batch of `images`."""
        self.inference_seconds.observe(seconds)
        self._seconds_by_images[bisect_left(IMAGES, images)].inc(seconds)
        self._last_inference = time.time()

    def observe_batch(self, predictions: BatchPredictions, queue_waits: Iterable[float]) -> None:
        """Counts a batch: its size, its predictions, and for each of its requests the seconds that it waited."""
        self.batch_size.observe(len(predictions))
        for seconds in queue_waits:
            self.queue_wait_seconds.observe(seconds)
        self._batches.append(predictions)
        if len(self._batches) == BATCHES_COUNTED_TOGETHER:  # bounds the memory that they hold without any scrape
            self._count_batches()

    def _count_batches(self) -> None:
        """Counts the observed batches, all at once: it takes a twentieth of the time of one by one."""
        if not self._batches:
            return
        batches, self._batches = self._batches, []
        digits = np.bincount(np.concatenate([each.digits for each in batches]), minlength=len(self._by_digit))
        refusals = np.bincount(np.concatenate([each.refusals for each in batches]), minlength=len(Refusal))
        for series, images in zip(self._by_digit, digits.tolist(), strict=True):
            series.inc(images)
        for refusal, series in self._by_refusal.items():
            series.inc(int(refusals[refusal]))
        self.confidence.observe_all(np.concatenate([each.probabilities for each in batches]).max(axis=1))

    def observe_refused(self, refusal: Refusal, images: int) -> None:
        """Counts images that are refused after inference, for their picture: their batch does not count them."""
        self._by_refusal[refusal].inc(images)

    def collect(self) -> Iterable[Metric]:
        """Counts the batches observed so far, and returns no family: the registry calls collectors in order."""
        self._count_batches()
        return []


def _tasks() -> int:
    """Returns the number of tasks of the running event loop; 0 where none runs, as when metrics are read elsewhere."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0
