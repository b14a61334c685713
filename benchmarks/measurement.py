"""A load, and what it did to one server."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Load:
    """So many requests outstanding at any time, each with so many images."""

    concurrency: int
    images: int

    @property
    def title(self) -> str:
        """For tables and pictures."""
        digits = "1 digit" if self.images == 1 else f"{self.images} digits"
        return f"{digits} a request, {self.concurrency} at once"


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one load did to one server. Latencies in milliseconds, processor time of all its processes."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us_per_request: float


def percentile(ascending: Sequence[float], percent: float) -> float:
    """The smallest of `ascending` that at least `percent` of them do not exceed. Raises ValueError for no values."""
    if not ascending:
        raise ValueError("no values have no percentile")
    rank = -(-len(ascending) * percent // 100)  # rounded up
    return ascending[max(0, int(rank) - 1)]
