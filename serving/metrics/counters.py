"""Counters and histograms without locks, for one thread, the event loop's.

prometheus_client's own take a lock and a microsecond for each observation, several times a request; these take a tenth
(docs/performance.md has the figures). They are exposed through the same registry.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

LabelValues = tuple[str, ...]


class CounterSeries:
    """One series of a counter."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def inc(self, amount: int = 1) -> None:
        """Adds `amount`, 0 or more."""
        self.value += amount


class HistogramSeries:
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
        """Returns Prometheus' form: the number of values at or below each bound, and the sum of all values."""
        totals = np.cumsum(self._counts).tolist()
        names = [*(repr(float(bound)) for bound in self._bounds), "+Inf"]
        return list(zip(names, totals, strict=True)), self._sum


class LoopCounter:
    """A counter and its series, registered under `name` (without _total)."""

    def __init__(self, name: str, help: str, labels: Sequence[str] = (), *, registry: CollectorRegistry) -> None:
        self._name, self._help, self._label_names = name, help, labels
        self._series: dict[LabelValues, CounterSeries] = {}
        registry.register(self)

    def labels(self, *values: str) -> CounterSeries:
        """Returns the series with these label values, made at first use."""
        return self._series.setdefault(values, CounterSeries())

    @property
    def total(self) -> int:
        """Sum of all series."""
        return sum(series.value for series in self._series.values())

    def describe(self) -> Iterable[Metric]:
        """Returns the family without samples: a registry needs its name."""
        return [CounterMetricFamily(self._name, self._help, labels=self._label_names)]

    def collect(self) -> Iterator[Metric]:
        """Yields the family with the sample of each series."""
        family = CounterMetricFamily(self._name, self._help, labels=self._label_names)
        for labels, series in self._series.items():
            family.add_metric(labels, series.value)
        yield family


class LoopHistogram:
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
        self._series: dict[LabelValues, HistogramSeries] = {}
        if not labels:
            self.labels()  # a series without labels is there from the start
        registry.register(self)

    def labels(self, *values: str) -> HistogramSeries:
        """Returns the series with these label values, made at first use."""
        return self._series.setdefault(values, HistogramSeries(self._bounds))

    def describe(self) -> Iterable[Metric]:
        """Returns the family without samples."""
        return [HistogramMetricFamily(self._name, self._help, labels=self._label_names)]

    def collect(self) -> Iterator[Metric]:
        """Yields the family with the samples of each series."""
        family = HistogramMetricFamily(self._name, self._help, labels=self._label_names)
        for labels, series in self._series.items():
            buckets, total = series.cumulative()
            family.add_metric(labels, buckets, total)
        yield family
