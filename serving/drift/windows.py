"""Gauges of drift over sliding windows, from the counts of all processes and the served version's reference.

1. Counts only grow. A window is the difference between the counts now and those at its beginning.
2. The counts are remembered at scrapes, STEPS times in each window at most: memory is constant. A window reaches from
   the last remembered counts that are as old as it; where nobody scraped then, further back.
3. A population stability index (PSI) compares the shares p of bins in the window with those q of the reference: the
   sum of (p - q) ln(p / q). What chance alone would make of it is subtracted. The reference knows several populations,
   and q is the nearest of them or the nearest mixture, for each feature by itself: a service for two kinds of forms
   has drifted from neither.
4. With fewer than FEWEST observations there is no index.
5. A version that replaces another starts anew: its features have other bins and another reference.

Told the time, and without NumPy, which the supervisor never loads.
"""

import math
from collections import deque
from collections.abc import Sequence
from operator import mul, sub

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from serving.drift.reference import DriftReference, read_reference

OBSERVATIONS, REFERENCE = "mnist_drift_observations", "mnist_drift_reference"
WINDOWS = {"5m": 300.0, "1h": 3600.0, "1d": 86400.0}  # seconds by the label `window`
STEPS = 30
FEWEST = 200
NEAR = 0.1  # an index that is small: no mixture is looked for
_STEPS_OF_MIXING = 30
_PSEUDO_COUNT = 0.5  # of each bin: an empty bin would make the index infinite

# Name, help, None for the value, labels.
GAUGES = (
    (
        "mnist_drift_psi",
        "Population stability index of a feature in the window, against what the reference knows that is nearest",
        None,
        ("version", "feature", "window"),
    ),
    ("mnist_drift_share", "Share of the window's images in a bin", None, ("version", "feature", "bin", "window")),
    ("mnist_drift_images", "Images observed in the window", None, ("version", "feature", "window")),
    (
        "mnist_drift_reference_share",
        "Share of a bin in the reference, the mean over its populations",
        None,
        ("version", "feature", "bin"),
    ),
)

Counts = dict[str, list[float]]  # by feature, by bin


class DriftWindows:
    """Counts remembered for each window, of the version that is served."""

    def __init__(self) -> None:
        self._version = ""
        self._text = ""
        self._reference: DriftReference | None = None
        self._known: dict[str, list[Histogram]] = {}  # populations of the reference, by feature
        self._remembered: dict[str, deque[tuple[float, Counts]]] = {}

    def with_gauges(self, families: Sequence[Metric], now: float) -> list[Metric]:
        """Returns merged families with the gauges of drift, and without what only these need.

        `now`: in seconds of a clock that never goes back. Counts of versions that are no longer served are left out.
        """
        others = [family for family in families if family.name not in (OBSERVATIONS, REFERENCE)]
        served = [sample.labels for family in families if family.name == REFERENCE for sample in family.samples]
        observed = next((family for family in families if family.name == OBSERVATIONS), None)
        if observed is None or not served:
            return others
        newest = max(served, key=lambda labels: int(labels["version"]))
        version, reference = newest["version"], self._parsed(newest["reference"])
        kept = Metric(observed.name, observed.documentation, observed.type)
        kept.samples = [sample for sample in observed.samples if sample.labels["version"] == version]
        found = {(each.labels["feature"], each.labels["bin"]): each.value for each in kept.samples}
        counts = {
            name: [found.get((name, label), 0.0) for label in feature.bins]
            for name, feature in reference.features.items()
        }
        if version != self._version:
            # At the service's start all counts were 0. Those of a version that returns may hold an earlier time.
            before = counts if self._version else {name: [0.0] * len(each) for name, each in counts.items()}
            self._version = version
            self._remembered = {window: deque([(now, before)]) for window in WINDOWS}
        return [*others, kept, *self._gauges(reference, counts, now)]

    def _parsed(self, text: str) -> DriftReference:
        if self._reference is None or text != self._text:
            self._text, self._reference = text, read_reference(text.encode())
            self._known = {
                name: [Histogram(counts) for counts in feature.populations.values()]
                for name, feature in self._reference.features.items()
            }
        return self._reference

    def _gauges(self, reference: DriftReference, counts: Counts, now: float) -> list[Metric]:
        index, share, images, expected = (GaugeMetricFamily(*gauge) for gauge in GAUGES)
        version = self._version
        for name, feature in reference.features.items():
            for label, value in zip(feature.bins, feature.shares(), strict=True):
                expected.add_metric((version, name, label), value)
        for window, seconds in WINDOWS.items():
            began = self._beginning(window, seconds, counts, now)
            for name, feature in reference.features.items():
                # Counts of a process that died fall back to those last collected.
                inside = [max(0.0, new - old) for new, old in zip(counts[name], began[name], strict=True)]
                total = sum(inside)
                images.add_metric((version, name, window), total)
                if total >= FEWEST:
                    nearest = nearest_index(Histogram(inside), self._known[name])
                    index.add_metric((version, name, window), nearest)
                if total:
                    for label, value in zip(feature.bins, inside, strict=True):
                        share.add_metric((version, name, label, window), value / total)
        return [index, share, images, expected]

    def _beginning(self, window: str, seconds: float, counts: Counts, now: float) -> Counts:
        """Returns the counts at the window's beginning, and remembers those of now where a step has passed."""
        remembered = self._remembered[window]
        if now - remembered[-1][0] >= seconds / STEPS:
            remembered.append((now, counts))
        while len(remembered) > 1 and remembered[1][0] <= now - seconds:
            remembered.popleft()
        return remembered[0][1]


class Histogram:
    """Histogram by counts, one at least, with what an index needs of it: made once for a population."""

    __slots__ = ("logarithms", "shares", "total")

    def __init__(self, counts: Sequence[float]) -> None:
        self.total = sum(counts)
        whole = self.total + _PSEUDO_COUNT * len(counts)
        self.shares = [(count + _PSEUDO_COUNT) / whole for count in counts]
        self.logarithms = list(map(math.log, self.shares))


def nearest_index(found: Histogram, populations: Sequence[Histogram]) -> float:
    """Returns the smallest population stability index of `found` to any mixture of the populations."""
    index = min(stability_index(found, each) for each in populations)
    if index <= NEAR or len(populations) == 1:
        return index
    return min(index, stability_index(found, _nearest_mixture(found, populations)))


def stability_index(found: Histogram, expected: Histogram) -> float:
    """Returns the population stability index of two histograms, less what chance makes of it; 0 at least.

    Of two samples of one population, of n and m images in b bins, the index is (b - 1) (1 / n + 1 / m) on average.
    """
    # The sum of (p - q) (ln p - ln q), as two sums of products, which Python does not step through.
    change = list(map(sub, found.shares, expected.shares))
    index: float = sum(map(mul, change, found.logarithms)) - sum(map(mul, change, expected.logarithms))
    return max(0.0, index - (len(change) - 1) * (1 / found.total + 1 / expected.total))


def _nearest_mixture(found: Histogram, populations: Sequence[Histogram]) -> Histogram:
    """Returns the mixture that makes `found` likeliest, by expectation and maximisation.

    Its total is that of the smallest population: a mixture is known no better than what it is made of.
    """
    shares = [each.shares for each in populations]
    by_bin = list(zip(*shares, strict=True))
    weights = [1 / len(shares)] * len(shares)
    for _ in range(_STEPS_OF_MIXING):
        ratios = [share / sum(map(mul, weights, each)) for share, each in zip(found.shares, by_bin, strict=True)]
        weights = [weight * sum(map(mul, ratios, each)) for weight, each in zip(weights, shares, strict=True)]
    smallest = min(each.total for each in populations)
    return Histogram([smallest * sum(map(mul, weights, each)) for each in by_bin])
