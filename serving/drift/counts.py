"""Counts of drift: how many observed images fall into each bin of each feature of the served version's reference.

Nothing else of an image is kept. The counts of several processes add up, and DriftWindows makes gauges of the sums.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, InfoMetricFamily

from serving.drift.reference import DriftReference
from serving.drift.windows import OBSERVATIONS, REFERENCE

FEW = 8  # values: fewer are counted faster one by one


class DriftCounts:
    """Counts by feature and bin, for one version at a time. For one thread: the event loop's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.version = 0  # of the model; 0: none
        self._reference: DriftReference | None = None
        self._counts: dict[str, list[int]] = {}  # by feature, by bin
        registry.register(self)

    def follow(self, version: int, reference: DriftReference | None) -> None:
        """Counts for this version from now on, from zero; nothing where it has no reference."""
        self.version, self._reference = version, reference
        features = reference.features if reference else {}
        self._counts = {name: [0] * len(feature.bins) for name, feature in features.items()}

    @property
    def is_counting(self) -> bool:
        """Indicates that the version has a reference."""
        return bool(self._counts)

    def count_all(self, feature: str, values: npt.NDArray[np.number]) -> None:
        """Counts values, (n,), of a feature; of one that the reference lacks none."""
        if len(values) < FEW:
            for value in values.tolist():
                self.count(feature, value)
        elif self._reference is not None and (counts := self._counts.get(feature)):
            edges = self._reference.features[feature].edges
            found = np.bincount(np.searchsorted(edges, values), minlength=len(counts)).tolist()
            self._counts[feature] = [old + new for old, new in zip(counts, found, strict=True)]

    def count(self, feature: str, value: float) -> None:
        """Counts one value as count_all() does, at a tenth of its cost."""
        if self._reference is not None and (counts := self._counts.get(feature)):
            counts[bisect_left(self._reference.features[feature].edges, value)] += 1

    def describe(self) -> Iterable[Metric]:
        """Returns the families without samples, from which the registry learns their names."""
        return [_observations(), InfoMetricFamily(REFERENCE, "Reference of drift of the served version")]

    def collect(self) -> Iterator[Metric]:
        """Yields the counts and, for DriftWindows, the reference."""
        observations = _observations()
        reference = InfoMetricFamily(REFERENCE, "Reference of drift of the served version")
        if self._reference is not None:
            version = str(self.version)
            reference.add_metric((), {"version": version, "reference": self._reference.text})
            for name, counts in self._counts.items():
                for label, count in zip(self._reference.features[name].bins, counts, strict=True):
                    observations.add_metric((version, name, label), count)
        yield observations
        yield reference


def _observations() -> CounterMetricFamily:
    return CounterMetricFamily(
        OBSERVATIONS,
        "Images observed for drift, by feature and bin: a sample of those answered",
        labels=("version", "feature", "bin"),
    )
