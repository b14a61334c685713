"""An attack on a server in a process of its own, with a well-behaved caller: what was tried, answered, and its cost.

The tests run each attack in its short form; a longer one is the same call with a larger count.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.hostile.server import ServerProcess
from tests.support.good_calls import GoodCalls

# Given the server's port and how much to try; returns how often the server answered in which way.
Attack = Callable[[int, int], Awaitable[Counter[str]]]
MEBIBYTE = 2**20
SETTLE_SECONDS = 10.0
PATIENCE_SECONDS = 5.0  # of good callers, who are held up by load as well as by faults
_FEW_DESCRIPTORS = 8  # of the good callers' own connections, which come and go


@dataclass(frozen=True, slots=True)
class Report:
    """Outcomes of an attack and of the good calls meanwhile. Memory is the server's resident set."""

    tried: int
    outcomes: Counter[str]
    good_answered: int
    good_failures: list[str]
    longest_good_seconds: float
    bytes_before: int
    bytes_peak: int
    bytes_after: int
    descriptors_left: int  # more than before

    @property
    def bytes_taken(self) -> int:
        """At the most, during the attack."""
        return self.bytes_peak - self.bytes_before

    def __str__(self) -> str:
        memory = [round(size / MEBIBYTE) for size in (self.bytes_before, self.bytes_peak, self.bytes_after)]
        return (
            f"{self.tried} tried: {dict(self.outcomes.most_common(6))}; good calls: {self.good_answered} answered, "
            f"{dict(Counter(self.good_failures))} failed, longest {self.longest_good_seconds:.2f} s; MiB before, at "
            f"most, after: {memory}; descriptors left: {self.descriptors_left}"
        )


async def attacked(server: ServerProcess, attack: Attack, count: int, *, is_http: bool = False) -> Report:
    """Runs it; returns when the server has let go of the attacker's connections, or has not in SETTLE_SECONDS."""
    before, descriptors = server.resident_bytes(), server.descriptors()
    server.forget_peak()
    with GoodCalls(server.grpc_port) as calls:
        outcomes = await attack(server.http_port if is_http else server.grpc_port, count)
        left = await _descriptors_left(server, descriptors)
    return Report(
        tried=count,
        outcomes=outcomes,
        good_answered=calls.answered,
        good_failures=calls.failures,
        longest_good_seconds=calls.longest_seconds,
        bytes_before=before,
        bytes_peak=server.peak_bytes(),
        bytes_after=server.resident_bytes(),
        descriptors_left=left,
    )


async def _descriptors_left(server: ServerProcess, before: int) -> int:
    deadline = asyncio.get_running_loop().time() + SETTLE_SECONDS
    while (left := server.descriptors() - before - _FEW_DESCRIPTORS) > 0:
        if asyncio.get_running_loop().time() > deadline:
            return left
        await asyncio.to_thread(_call_once, server)  # the server has had a turn since we looked
    return 0


def _call_once(server: ServerProcess) -> None:
    with GoodCalls(server.grpc_port):
        pass


def assert_unharmed(report: Report, *, most_mebibytes: int = 64) -> None:
    """Good callers were answered, in time; little memory was taken; no connection is left. Prints the report."""
    print(report)
    assert report.good_answered
    assert not report.good_failures
    assert report.longest_good_seconds < PATIENCE_SECONDS
    assert report.bytes_taken < most_mebibytes * MEBIBYTE
    assert not report.descriptors_left
