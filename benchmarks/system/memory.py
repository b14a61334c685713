"""Memory of a server's processes: proportional set size (PSS), as if the benchmark did not run; and its growth.

A page that several processes map counts in part for each. Our server runs on the libraries of the environment that the
benchmark itself runs on, a peer on its own. By plain PSS ours would look smaller than it is, because the benchmark
would take half of its ONNX Runtime and half of its gRPC upon itself.
"""

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import psutil


class Mapping(Protocol):
    """The memory of one process that is mapped from one path, in bytes, as psutil gives it."""

    @property
    def path(self) -> str:
        """The file, or a name in brackets for memory that belongs to none."""

    @property
    def rss(self) -> int:
        """Resident pages."""

    @property
    def pss(self) -> int:
        """Resident pages, those that several processes map divided among them."""

    @property
    def private_dirty(self) -> int:
        """Resident pages that this process has changed, so that no other shares them."""


def memory_bytes(processes: Iterable[psutil.Process]) -> int:
    """PSS of all `processes` together, the calling process not counted among those that share their pages."""
    shared = {mapping.path for mapping in _mappings(psutil.Process())}
    return total_bytes([_mappings(process) for process in processes], shared)


def total_bytes(processes: Iterable[Sequence[Mapping]], shared: set[str]) -> int:
    """The sum of PSS, except for files in `shared`, which the calling process maps too.

    Those count as the pages that each process has changed, and once the most of the others that one process holds.
    """
    total, largest = 0, dict.fromkeys(shared, 0)
    for mappings in processes:
        for mapping in mappings:
            if mapping.path in shared and mapping.path.startswith("/"):
                total += mapping.private_dirty
                largest[mapping.path] = max(largest[mapping.path], mapping.rss - mapping.private_dirty)
            else:
                total += mapping.pss
    return total + sum(largest.values())


def _mappings(process: psutil.Process) -> Sequence[Mapping]:
    """One mapping for each path; none for a process that has ended."""
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # NoSuchProcess: a zombie too
        return process.memory_maps(grouped=True)
    return []


@dataclass(frozen=True, slots=True)
class Growth:
    """A slope, in MiB an hour or bytes a call. `uncertainty`: twice its standard error, for independent samples."""

    slope: float
    uncertainty: float

    def verdict(self, allowed: float) -> str:
        """The verdict in words, where the slope may be at most `allowed`."""
        if self.slope - self.uncertainty > allowed:
            return "it grows"
        if self.slope + self.uncertainty > allowed:
            return "undecided: measure longer"
        return "it does not grow"


def growth(moments: Sequence[float], amounts: Sequence[float]) -> Growth:
    """Fits a line by least squares: `amounts` of memory by `moments`, in hours or calls.

    Raises ValueError for fewer than three samples, and if all are of one moment.
    """
    count = len(moments)
    if count < 3:
        raise ValueError(f"{count} samples show no growth: at least three are needed")
    mean_moment, mean_amount = sum(moments) / count, sum(amounts) / count
    spread = sum((moment - mean_moment) ** 2 for moment in moments)
    if not spread:
        raise ValueError("samples of one moment show no growth")
    pairs = list(zip(moments, amounts, strict=True))
    slope = sum((moment - mean_moment) * (amount - mean_amount) for moment, amount in pairs) / spread
    residuals = [amount - mean_amount - slope * (moment - mean_moment) for moment, amount in pairs]
    error = math.sqrt(sum(each**2 for each in residuals) / (count - 2) / spread)
    return Growth(slope, 2 * error)
