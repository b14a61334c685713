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
from operator import mul

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from serving.drift_reference import DriftReference, read_reference

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
                    nearest = nearest_index(inside, list(feature.populations.values()))
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


def nearest_index(found: Sequence[float], populations: Sequence[Sequence[float]]) -> float:
    """Returns the smallest population stability index of `found`, counts by bin, to any mixture of the populations."""
    index = min(stability_index(found, each) for each in populations)
    if index <= NEAR or len(populations) == 1:
        return index
    return min(index, stability_index(found, _nearest_mixture(found, populations)))


def stability_index(found: Sequence[float], expected: Sequence[float]) -> float:
    """Returns the population stability index of two histograms by counts, less what chance makes of it; 0 at least.

    Of two samples of one population, of n and m images in b bins, the index is (b - 1) (1 / n + 1 / m) on average.
    """
    bins, n, m = len(found), sum(found), sum(expected)
    index = sum((p - q) * math.log(p / q) for p, q in zip(_shares(found), _shares(expected), strict=True))
    return max(0.0, index - (bins - 1) * (1 / n + 1 / m))


def _nearest_mixture(found: Sequence[float], populations: Sequence[Sequence[float]]) -> list[float]:
    """Returns the mixture that makes `found` likeliest, by expectation and maximisation, as counts.

    Their sum is that of the smallest population: a mixture is known no better than what it is made of.
    """
    shares, wanted = [_shares(each) for each in populations], _shares(found)
    weights = [1 / len(shares)] * len(shares)
    for _ in range(_STEPS_OF_MIXING):
        ratios = [share / mixed for share, mixed in zip(wanted, _mixed(weights, shares), strict=True)]
        weights = [
            weight * sum(share * ratio for share, ratio in zip(each, ratios, strict=True))
            for weight, each in zip(weights, shares, strict=True)
        ]
    smallest = min(map(sum, populations))
    return [share * smallest for share in _mixed(weights, shares)]


def _mixed(weights: Sequence[float], shares: Sequence[Sequence[float]]) -> list[float]:
    return [sum(map(mul, weights, each)) for each in zip(*shares, strict=True)]


def _shares(counts: Sequence[float]) -> list[float]:
    total = sum(counts) + _PSEUDO_COUNT * len(counts)
    return [(count + _PSEUDO_COUNT) / total for count in counts]
