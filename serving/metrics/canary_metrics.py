"""Metrics of a canary: how its inferences compare with the served version's, and its returns."""

from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Gauge

from serving.metrics.counters import CounterSeries, LoopCounter

REASONS = ("failures", "refusals", "slowness")


@dataclass(frozen=True, slots=True)
class VersionCounts:
    """Counters of one version. One thread at a time adds to them."""

    inferences: CounterSeries
    failures: CounterSeries
    images: CounterSeries
    refused: CounterSeries
    seconds: CounterSeries


class CanaryMetrics:
    """Instruments of a canary. Without one they have no series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._inferences = LoopCounter(
            "mnist_canary_inferences",
            "Inferences while a canary is configured, by version and outcome: answered, failed",
            ("version", "outcome"),
            registry=registry,
        )
        self._images = LoopCounter(
            "mnist_canary_images",
            "Images of the answered ones, by version and what the model said: answered, refused",
            ("version", "outcome"),
            registry=registry,
        )
        self._seconds = LoopCounter(
            "mnist_canary_inference_seconds", "Time of the answered ones, by version", ("version",), registry=registry
        )
        self._returns = LoopCounter(
            "mnist_canary_returns",
            "Canaries that returned to the served version by themselves, by reason",
            ("version", "reason"),
            registry=registry,
        )
        self._share = Gauge(
            "mnist_canary_share", "Share of the callers that the canary answers", ("version",), registry=registry
        )
        self.returns: dict[str, CounterSeries] = {}  # by reason
        self._version = ""

    def start(self, version: int) -> None:
        """Shows the canary `version`, which answers nobody yet."""
        self._version = str(version)
        # Created before they are needed: a series that appears with its first event hides that event from rate().
        self.returns = {reason: self._returns.labels(self._version, reason) for reason in REASONS}
        self.set_share(0.0)

    def set_share(self, share: float) -> None:
        """Shows the share of the callers that it answers now."""
        self._share.labels(self._version).set(share)

    def of(self, version: int) -> VersionCounts:
        """Returns the counters of a version."""
        name = str(version)
        return VersionCounts(
            self._inferences.labels(name, "answered"),
            self._inferences.labels(name, "failed"),
            self._images.labels(name, "answered"),
            self._images.labels(name, "refused"),
            self._seconds.labels(name),
        )
