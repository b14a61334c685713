"""Counters and histograms without locks, for one thread: the event loop's.

Those of prometheus_client take a lock and a microsecond for each observation, several times a request; these take a
tenth of that (docs/performance.md has the figures). The same registry exposes both.
"""

import time
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, Exemplar, HistogramMetricFamily

LabelValues = tuple[str, ...]
Bucket = tuple[str, float] | tuple[str, float, Exemplar]


class CounterSeries:
    """Series of a counter: its value for one set of label values."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, amount: float = 1) -> None:
        """Adds `amount`, 0 or more."""
        self.value += amount


class HistogramSeries:
    """Series of a histogram. `bounds`: upper limits of the buckets, ascending and inclusive, in the metric's unit."""

    __slots__ = ("_bounds", "_counts", "_exemplars", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)  # not cumulative, unlike what is exposed; the last: above every bound
        self._exemplars: dict[int, Exemplar] = {}  # by bucket
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Counts one value, in the metric's unit."""
        # bisect_left puts a value that equals a bound into that bucket, as the label `le` says; so does searchsorted.
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def observe_all(self, values: npt.NDArray[np.float32]) -> None:
        """Counts many values, (n,) float32, at little more than the cost of one."""
        for bucket in np.searchsorted(self._bounds, values).tolist():
            self._counts[bucket] += 1
        self._sum += float(values.sum())

    def exemplify(self, value: float, trace_id: str) -> None:
        """Makes a value that observe() has counted the example of its bucket, with the id of its trace."""
        self._exemplars[bisect_left(self._bounds, value)] = Exemplar({"trace_id": trace_id}, value, time.time())

    def cumulative(self) -> tuple[list[Bucket], float]:
        """Returns the number of values at or below each bound, by the bound's text, and the sum of all values.

        Behind the number stands the bucket's exemplar, if it has one.
        """
        totals = np.cumsum(self._counts).tolist()
        # As prometheus_client formats them, since the text is the value of the label `le`.
        names = [*(repr(float(bound)) for bound in self._bounds), "+Inf"]
        buckets: list[Bucket] = list(zip(names, totals, strict=True))
        for bucket, exemplar in self._exemplars.items():
            buckets[bucket] = (names[bucket], totals[bucket], exemplar)
        return buckets, self._sum


class LoopCounter:
    """Counter with its series, registered under `name`, to which exposition adds the suffix _total."""

    def __init__(self, name: str, help: str, labels: Sequence[str] = (), *, registry: CollectorRegistry) -> None:
        self._name, self._help, self._label_names = name, help, labels
        self._series: dict[LabelValues, CounterSeries] = {}
        registry.register(self)

    def labels(self, *values: str) -> CounterSeries:
        """Returns the series with these label values; creates it at first use."""
        return self._series.setdefault(values, CounterSeries())

    def describe(self) -> Iterable[Metric]:
        """Returns the family without samples, from which the registry learns its name."""
        return [CounterMetricFamily(self._name, self._help, labels=self._label_names)]

    def collect(self) -> Iterator[Metric]:
        """Yields the family with a sample for each series."""
        family = CounterMetricFamily(self._name, self._help, labels=self._label_names)
        for labels, series in self._series.items():
            family.add_metric(labels, series.value)
        yield family


class LoopHistogram:
    """Histogram with its series, registered under `name`."""

    def __init__(
        self,
        name: str,
        help: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        """Registers the histogram. `buckets`: upper bounds, ascending, without infinity, in the metric's unit."""
        self._name, self._help, self._label_names, self._bounds = name, help, labels, buckets
        self._series: dict[LabelValues, HistogramSeries] = {}
        if not labels:
            self.labels()  # exposed from the start, with zeros, as prometheus_client does
        registry.register(self)

    def labels(self, *values: str) -> HistogramSeries:
        """Returns the series with these label values; creates it at first use."""
        return self._series.setdefault(values, HistogramSeries(self._bounds))

    def describe(self) -> Iterable[Metric]:
        """Returns the family without samples, from which the registry learns its name."""
        return [HistogramMetricFamily(self._name, self._help, labels=self._label_names)]

    def collect(self) -> Iterator[Metric]:
        """Yields the family with the bucket, count and sum samples of each series."""
        family = HistogramMetricFamily(self._name, self._help, labels=self._label_names)
        for labels, series in self._series.items():
            buckets, total = series.cumulative()
            family.add_metric(labels, buckets, total)
        yield family
