"""Counts of a candidate version next to the served one, in memory that outlives the process which counts.

The shadow process alone writes; the supervisor, or the one process of the service, reads at each scrape and never waits
for it. Without NumPy, which the supervisor never loads. Nothing of an image is kept but its two answers.
"""

import mmap
import os
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

ANSWERS = (*map(str, range(10)), "refused")
OUTCOMES = ("same", "other_digit", "refused_by_served", "refused_by_candidate")
JUDGED = ("both", "served", "candidate", "neither")
UNCOMPARED = ("raised", "not_loaded")
BOUNDS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)

# Places in the memory, each a double, which a processor writes whole.
_LOADED, _SERVED, _SECONDS = range(3)
_PAIRS = 3
_JUDGED = _PAIRS + len(ANSWERS) ** 2
_UNCOMPARED = _JUDGED + len(JUDGED)
_BUCKETS = _UNCOMPARED + len(UNCOMPARED)
_END = _BUCKETS + len(BOUNDS) + 1

INFERENCE = "mnist_shadow_inference_seconds"
# Name, help, labels beyond those of the two versions.
COUNTERS = (
    ("mnist_shadow_images", "Images that both versions answered, by how the answers compare", ("outcome",)),
    ("mnist_shadow_differences", "Those that differ, by both answers: a digit, or refused", ("served", "candidate")),
    ("mnist_shadow_judged", "Those images on which feedback was given, by which version was right", ("right",)),
    ("mnist_shadow_uncompared", "Images that reached the candidate and got no answer", ("reason",)),
)
_VERSIONS = ("version", "served_version")


class ShadowCounts:
    """The counts, of one candidate against one served version at a time."""

    def __init__(self, descriptor: int) -> None:
        """Maps the memory. `descriptor`: from make_memory()."""
        self._memory = mmap.mmap(descriptor, _END * 8)
        self._values = memoryview(self._memory).cast("d")

    def close(self) -> None:
        """Unmaps the memory."""
        self._values.release()
        self._memory.close()

    def set_loaded(self, is_loaded: bool) -> None:
        """Says whether the candidate is loaded."""
        self._values[_LOADED] = is_loaded

    def follow(self, served_version: int) -> None:
        """Counts against this served version from now on; from zero, where it was another."""
        if self._values[_SERVED] != served_version:
            for place in range(_SECONDS, _END):
                self._values[place] = 0
            self._values[_SERVED] = served_version

    def count(self, served: int, candidate: int) -> None:
        """Counts an image by its two answers: a digit, or 10 for refused."""
        self._values[_PAIRS + served * len(ANSWERS) + candidate] += 1

    def count_judged(self, is_served_right: bool, is_candidate_right: bool) -> None:
        """Counts an image whose truth is known."""
        right = {(True, True): 0, (True, False): 1, (False, True): 2, (False, False): 3}
        self._values[_JUDGED + right[is_served_right, is_candidate_right]] += 1

    def count_uncompared(self, reason: str, images: int) -> None:
        """Counts images without an answer of the candidate. `reason`: one of UNCOMPARED."""
        self._values[_UNCOMPARED + UNCOMPARED.index(reason)] += images

    def observe(self, seconds: float) -> None:
        """Counts an inference of the candidate. `seconds`: of a processor."""
        self._values[_SECONDS] += seconds
        self._values[_BUCKETS + bisect_left(BOUNDS, seconds)] += 1

    def collect(self, version: int, restarts: int = 0, memory_bytes: int = 0) -> Iterator[Metric]:
        """Yields the metrics of the candidate `version`. `restarts`, `memory_bytes`: of the shadow process."""
        values = list(map(float, self._values))
        versions = (str(version), str(int(values[_SERVED])))
        images, differences, judged, uncompared = (
            CounterMetricFamily(name, text, labels=(*_VERSIONS, *labels)) for name, text, labels in COUNTERS
        )
        outcomes = dict.fromkeys(OUTCOMES, 0.0)
        for served, served_answer in enumerate(ANSWERS):
            for candidate, answer in enumerate(ANSWERS):
                count = values[_PAIRS + served * len(ANSWERS) + candidate]
                if served != candidate:
                    differences.add_metric((*versions, served_answer, answer), count)
                outcomes[_outcome(served_answer, answer)] += count
        for outcome, count in outcomes.items():
            images.add_metric((*versions, outcome), count)
        for family, names, start in ((judged, JUDGED, _JUDGED), (uncompared, UNCOMPARED, _UNCOMPARED)):
            for place, name in enumerate(names):
                family.add_metric((*versions, name), values[start + place])
        seconds = HistogramMetricFamily(INFERENCE, "Processor time of one inference of the candidate", labels=_VERSIONS)
        totals = accumulate(values[_BUCKETS:_END])
        seconds.add_metric(versions, list(zip((*map(str, BOUNDS), "+Inf"), totals, strict=True)), values[_SECONDS])
        loaded = GaugeMetricFamily("mnist_shadow_loaded", "1 while the candidate is loaded", labels=("version",))
        loaded.add_metric((str(version),), values[_LOADED])
        restarted = CounterMetricFamily("mnist_shadow_restarts", "Shadow processes that ended and were replaced")
        restarted.add_metric((), restarts)
        memory = GaugeMetricFamily("mnist_shadow_memory_bytes", "Private memory of the shadow process")
        memory.add_metric((), memory_bytes)
        yield from (images, differences, judged, uncompared, seconds, loaded, restarted, memory)


def make_memory() -> int:
    """Makes memory for the counts, all zero, and returns its file descriptor, which the caller closes."""
    descriptor = os.memfd_create("shadow")
    os.ftruncate(descriptor, _END * 8)
    return descriptor


def _outcome(served: str, candidate: str) -> str:
    if served == candidate:
        return "same"
    if served == "refused":
        return "refused_by_served"
    return "refused_by_candidate" if candidate == "refused" else "other_digit"
