"""The metrics of several processes as if one had counted everything."""

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.samples import Sample

# Of these, processes do not add up: the service is ready if all are, and began when the first did.
SMALLEST = frozenset({"mnist_ready", "process_start_time_seconds", "process_max_fds"})
LASTING = frozenset({"counter", "histogram"})


def summed(processes: Iterable[Iterable[Metric]]) -> list[Metric]:
    """One family for each name, one sample for each set of labels: their sum, or as SMALLEST says; infos once."""
    families: dict[str, Metric] = {}
    samples: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for family in (family for process in processes for family in process):
        families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
        values = samples.setdefault(family.name, {})
        for sample in family.samples:
            key = (sample.name, tuple(sample.labels.items()))
            values[key] = _together(sample.name, values[key], sample.value) if key in values else sample.value
    for name, family in families.items():
        family.samples = [Sample(sample, dict(labels), value) for (sample, labels), value in samples[name].items()]
    return list(families.values())


def lasting(families: Iterable[Metric]) -> list[Metric]:
    """What stays true when its process has ended: what it counted, but not what it held."""
    return [family for family in families if family.type in LASTING and not family.name.startswith("process_")]


def _together(name: str, one: float, other: float) -> float:
    if name in SMALLEST or name.endswith("_created"):
        return min(one, other)
    return one if name.endswith("_info") else one + other
