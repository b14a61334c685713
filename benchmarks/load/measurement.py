"""Loads, what one load did to one server, and the statistics of several rounds."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.protocols.pictures import PICTURES

# Clients that send the requests: a C program, and a Python program that uses our own client in one of two ways.
H2LOAD, PYTHON, PYTHON_SHARING = "h2load", "a Python client", "a Python client that shares RPCs"
CONNECTIONS = 8  # of HTTP/2, unless the load is about connections


@dataclass(frozen=True, slots=True, order=True)
class Load:
    """A constant number of requests outstanding (`concurrency`), each with `images` images.

    `connections`: the most connections of HTTP/2 that h2load spreads them over. `client`: what sends the requests.
    `picture`: the file of PICTURES that carries the one image; empty for raw pixels.
    """

    concurrency: int
    images: int
    connections: int = CONNECTIONS
    client: str = H2LOAD
    picture: str = ""

    @property
    def title(self) -> str:
        """The load's name in tables and charts."""
        if self.picture:
            return f"{PICTURES[self.picture].title}, {self.concurrency} at once"
        digits = "1 digit" if self.images == 1 else f"{self.images} digits"
        title = f"{digits} a request, {self.concurrency} at once"
        if self.client != H2LOAD:
            return f"{title}, {self.client}"
        return title if self.connections == CONNECTIONS else f"{title} on {self.connections} connections"


# One digit a request at 1, 32 and 128 at once, and 64 digits at 8: the loads of every comparison.
LOADS = {"1": Load(1, 1), "32": Load(32, 1), "128": Load(128, 1), "64x8": Load(8, 64)}
# Pictures over HTTP/1.1, a connection each.
PICTURE_LOADS = {f"{name}-{count}": Load(count, 1, picture=name) for name in PICTURES for count in (1, 8, 32)}
MANY_CONNECTIONS = Load(100, 1, connections=100)
PYTHON_CALLS = Load(128, 1, client=PYTHON)
SHARED_PYTHON_CALLS = Load(128, 1, client=PYTHON_SHARING)


@dataclass(frozen=True, slots=True, order=True)
class OpenLoop:
    """Requests of one digit at a fixed `rate` a second, for so many `seconds`."""

    rate: float
    seconds: float

    @property
    def title(self) -> str:
        """The load's name in tables."""
        return f"{self.rate:,.0f} requests/s"


@dataclass(frozen=True, slots=True)
class Measurement:
    """Figures of one server under one load. Latency in milliseconds, processor time of all its processes."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us_per_request: float


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with its range."""

    median: float
    lowest: float
    highest: float

    def __str__(self) -> str:
        digits = 0 if self.median >= 10 else 2
        return f"{self.median:,.{digits}f} ({self.lowest:,.{digits}f} to {self.highest:,.{digits}f})"


def spread_of(values: Sequence[float]) -> Spread:
    """Median and range of `values`, of which there must be one at least."""
    return Spread(statistics.median(values), min(values), max(values))


def percentile(ascending: Sequence[float], percent: float) -> float:
    """The smallest of `ascending` that at least `percent` % of them do not exceed. Raises ValueError for no values."""
    if not ascending:
        raise ValueError("no values have no percentile")
    rank = -(-len(ascending) * percent // 100)  # rounded up
    return ascending[max(0, int(rank) - 1)]
