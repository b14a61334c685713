"""Counters and histograms for one thread, the event loop's: plain additions, turned into samples when asked for.

prometheus_client's own take a lock and a microsecond for each observation, several times a request; these take a tenth
(docs/performance.md has the figures). They are exposed through the same registry.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

Labels = tuple[str, ...]


class Count:
    """One series of a counter."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        """Adds `amount`, 0 or more."""
        self.value += amount


class Distribution:
    """One series of a histogram. `bounds`: upper limits of the buckets, ascending, in the metric's unit."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)  # the last: above every bound
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Counts one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def observe_all(self, values: npt.NDArray[np.float32]) -> None:
        """Counts many values, (n,) floats, at little more than the cost of one."""
        for bucket in np.searchsorted(self._bounds, values).tolist():
            self._counts[bucket] += 1
        self._sum += float(values.sum())

    def cumulative(self) -> tuple[list[tuple[str, float]], float]:
        """As Prometheus wants it: how many values at or below each bound, and their sum."""
        totals = np.cumsum(self._counts).tolist()
        names = [*(repr(float(bound)) for bound in self._bounds), "+Inf"]
        return list(zip(names, totals, strict=True)), self._sum


class CounterTally:
    """A counter and its series, registered under `name` (without _total)."""

    def __init__(self, name: str, help: str, labels: Sequence[str] = (), *, registry: CollectorRegistry) -> None:
        self._name, self._help, self._label_names = name, help, labels
        self._series: dict[Labels, Count] = {}
        registry.register(self)

    def labels(self, *values: str) -> Count:
        """The series with these label values, made at first use."""
        return self._series.setdefault(values, Count())

    @property
    def total(self) -> int:
        """Of all series."""
        return sum(count.value for count in self._series.values())

    def describe(self) -> Iterable[Metric]:
        """The family without samples: what a registry wants to know of a name."""
        return [CounterMetricFamily(self._name, self._help, labels=self._label_names)]

    def collect(self) -> Iterator[Metric]:
        """The family with the sample of each series."""
        family = CounterMetricFamily(self._name, self._help, labels=self._label_names)
        for labels, count in self._series.items():
            family.add_metric(labels, count.value)
        yield family


class HistogramTally:
    """A histogram and its series, registered under `name`."""

    def __init__(
        self,
        name: str,
        help: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._help, self._label_names, self._bounds = name, help, labels, buckets
        self._series: dict[Labels, Distribution] = {}
        if not labels:
            self.labels()  # a series without labels is there from the start
        registry.register(self)

    def labels(self, *values: str) -> Distribution:
        """The series with these label values, made at first use."""
        return self._series.setdefault(values, Distribution(self._bounds))

    def describe(self) -> Iterable[Metric]:
        """The family without samples."""
        return [HistogramMetricFamily(self._name, self._help, labels=self._label_names)]

    def collect(self) -> Iterator[Metric]:
        """The family with the samples of each series."""
        family = HistogramMetricFamily(self._name, self._help, labels=self._label_names)
        for labels, distribution in self._series.items():
            buckets, total = distribution.cumulative()
            family.add_metric(labels, buckets, total)
        yield family
