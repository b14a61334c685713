"""Metrics that a service exposes only with some settings."""

import os

from prometheus_client import Metric

from serving.shadow.counts import ShadowCounts, make_memory


def shadow_families() -> list[Metric]:
    """Metrics of a shadow process."""
    memory = make_memory()
    counts = ShadowCounts(memory)
    try:
        return list(counts.collect(1))
    finally:
        counts.close()
        os.close(memory)
