"""Metrics of feedback: how right and how well calibrated the answers were that somebody has judged, and the store."""

from bisect import bisect_left
from typing import Protocol

from prometheus_client import CollectorRegistry, Gauge

from serving.metrics.counters import LoopCounter
from serving.predictions import DIGITS, Refusal

FAILURES = ("full", "damaged", "busy", "unusable")
OUTCOMES = ("right", "wrong", "refused")
NONE = "none"  # the truth of what is no digit
# Upper bounds of the probability, inclusive. Finer where nearly all answers are.
BINS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)


class Judged(Protocol):
    """An answer that somebody has judged."""

    @property
    def digit(self) -> int:
        """Digit, 0 to 9."""

    @property
    def probability(self) -> float:
        """Probability of the digit."""

    @property
    def refusal(self) -> int:
        """Refusal of the digit, serving.predictions.Refusal."""


class Held(Protocol):
    """What the store holds."""

    @property
    def pictures(self) -> int:
        """Pictures."""

    @property
    def labelled(self) -> int:
        """Pictures with a truth."""

    @property
    def bytes(self) -> int:
        """Bytes of the store's files."""


class FeedbackMetrics:
    """Instruments of feedback and of the store."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.given = LoopCounter(
            "mnist_feedback",
            "Images on which feedback was given, by the truth and by what the answer was: right, wrong or refused",
            ("truth", "outcome"),
            registry=registry,
        )
        self._bins = LoopCounter(
            "mnist_feedback_answers",
            "Judged answers that were not refused, by probability: at most `le`, and more than the bound before",
            ("le", "outcome"),
            registry=registry,
        )
        self._probability = LoopCounter(
            "mnist_feedback_probability", "Sum of the probabilities of those answers", ("le",), registry=registry
        )
        self._squares = LoopCounter(
            "mnist_feedback_squared_error",
            "Sum over those answers of the squared difference of probability and outcome (1 right, 0 wrong)",
            registry=registry,
        ).labels()
        self.failures = LoopCounter(
            "mnist_store_failures", "Times that the store could not be used, by reason", ("reason",), registry=registry
        )
        self.dropped = LoopCounter(
            "mnist_store_dropped", "Refused or unsure pictures that were not kept", registry=registry
        ).labels()
        self._pictures = Gauge("mnist_store_pictures", "Pictures in the store", ("truth",), registry=registry)
        self._bytes = Gauge("mnist_store_bytes", "Bytes of the store's files", registry=registry)
        # Created before they are needed: a series that appears with its first event hides that event from rate().
        for reason in FAILURES:
            self.failures.labels(reason)
        for truth in (*map(str, range(DIGITS)), NONE):
            for outcome in OUTCOMES:
                self.given.labels(truth, outcome)
        for bound in map(str, BINS):
            self._probability.labels(bound)
            for outcome in ("right", "wrong"):
                self._bins.labels(bound, outcome)

    def observe(self, answered: Judged, truth: int) -> None:
        """Counts an answer. `truth`: 0 to 9, or -1 for no digit, which is right to refuse."""
        is_refused, label = answered.refusal != Refusal.NONE, str(truth) if truth >= 0 else NONE
        if is_refused:
            self.given.labels(label, "refused" if truth >= 0 else "right").inc()
            return
        is_right = truth == answered.digit
        outcome = "right" if is_right else "wrong"
        self.given.labels(label, outcome).inc()
        bound = str(BINS[min(bisect_left(BINS, answered.probability), len(BINS) - 1)])
        self._bins.labels(bound, outcome).inc()
        self._probability.labels(bound).inc(answered.probability)
        self._squares.inc((answered.probability - is_right) ** 2)

    def set_contents(self, contents: Held) -> None:
        """Sets what the store holds."""
        self._pictures.labels("given").set(contents.labelled)
        self._pictures.labels("unknown").set(contents.pictures - contents.labelled)
        self._bytes.set(contents.bytes)
