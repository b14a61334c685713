"""Merges the metrics of several processes into those of one service.

prometheus_client's own multiprocess mode has neither Info nor custom collectors, and needs a folder that is emptied at
each start.
"""

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.samples import Exemplar, Sample

_Key = tuple[str, tuple[tuple[str, str], ...]]  # a sample's name and labels
# Gauges whose smallest value counts: the service is ready when all processes are, and began when the first did.
SMALLEST = frozenset({"mnist_ready", "process_start_time_seconds", "process_max_fds"})
# Gauges of what processes share, and of the latest time of any.
LARGEST = frozenset(
    {"mnist_last_inference_timestamp_seconds", "mnist_store_pictures", "mnist_store_bytes", "mnist_canary_share"}
)
LASTING = frozenset({"counter", "histogram"})  # types of metrics that keep counting for a process that has ended


def summed(processes: Iterable[Iterable[Metric]]) -> list[Metric]:
    """Merges families by name and samples by labels.

    Sums; the smallest of SMALLEST and of creation times, the largest of LARGEST, infos once; the latest exemplar.
    """
    families: dict[str, Metric] = {}
    samples: dict[str, dict[_Key, float]] = {}
    exemplars: dict[_Key, Exemplar] = {}
    for family in (family for process in processes for family in process):
        families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
        found = samples.setdefault(family.name, {})
        for sample in family.samples:
            key = (sample.name, tuple(sample.labels.items()))
            found[key] = _combined(sample.name, found[key], sample.value) if key in found else sample.value
            if sample.exemplar and _time(sample.exemplar) >= _time(exemplars.get(key)):
                exemplars[key] = sample.exemplar
    for name, family in families.items():
        family.samples = [
            Sample(key[0], dict(key[1]), value, exemplar=exemplars.get(key)) for key, value in samples[name].items()
        ]
    return list(families.values())


def lasting(families: Iterable[Metric]) -> list[Metric]:
    """Returns the families that stay true after their process has ended: what it counted, but no gauges and infos.

    Without them the sums over all processes would fall when a worker is replaced, which Prometheus takes for a restart.
    """
    return [family for family in families if family.type in LASTING and not family.name.startswith("process_")]


def values(families: Iterable[Metric]) -> dict[tuple[str, ...], float]:
    """Returns the value of each sample, by its name and the values of its labels in their order."""
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


def _time(exemplar: Exemplar | None) -> float:
    return float(exemplar.timestamp or 0.0) if exemplar else 0.0


def _combined(name: str, one: float, other: float) -> float:
    if name in SMALLEST or name.endswith("_created"):
        return min(one, other)
    if name in LARGEST:
        return max(one, other)
    return one if name.endswith("_info") else one + other  # an info is always 1: its labels are what it says
