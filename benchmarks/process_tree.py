"""All processes of one server, as the kernel tells of them: processor time, memory, stop and go."""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.process_memory import memory_bytes

_TICKS = os.sysconf("SC_CLK_TCK")
_IDLE_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/PID/stat says of a process. Times in clock ticks."""

    pid: int
    parent: int
    session: int
    ticks: int  # user and system, all threads


class ProcessTree:
    """A process that leads a session, its session, and all descendants, whatever session they moved to."""

    def __init__(self, root: int) -> None:
        self._root = root

    def pids(self) -> list[int]:
        """Those alive now, parents before their children."""
        return [stat.pid for stat in members(self._root, all_stats())]

    def cpu_seconds(self) -> float:
        """Processor time that those alive have used so far, user and system."""
        return sum(stat.ticks for stat in members(self._root, all_stats())) / _TICKS

    def memory_bytes(self) -> int:
        """Proportional set size: what the processes take, shared pages divided among their users."""
        return memory_bytes(self.pids())

    def wait_until_idle(self, at_most_seconds: float = 2.0) -> None:
        """Returns once they have all but stopped using the processor."""
        deadline = time.monotonic() + at_most_seconds
        before = self.cpu_seconds()
        while time.monotonic() < deadline:
            time.sleep(_IDLE_SECONDS)
            used, before = self.cpu_seconds() - before, self.cpu_seconds()
            if used <= 1 / _TICKS:
                return

    def freeze(self) -> None:
        """Stops all, parents first: a supervisor that asks whether its workers live must not see them stopped."""
        self._signal(self.pids(), signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets all go on, children first."""
        self._signal(reversed(self.pids()), signal.SIGCONT)

    def kill(self) -> None:
        """Ends all at once."""
        self._signal(self.pids(), signal.SIGKILL)

    def _signal(self, pids: object, number: signal.Signals) -> None:
        for pid in list(pids):  # type: ignore[call-overload]  # any iterable of pids
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def members(root: int, stats: list[Stat]) -> list[Stat]:
    """Those of `stats` that belong to `root`, parents before their children."""
    by_parent: dict[int, list[Stat]] = {}
    for stat in stats:
        by_parent.setdefault(stat.parent, []).append(stat)
    tops = [stat for stat in stats if stat.pid == root]
    tops += [stat for stat in stats if stat.session == root and stat.pid != root]
    found: dict[int, Stat] = {}
    waiting = tops[::-1]
    while waiting:
        stat = waiting.pop()
        if stat.pid not in found:
            found[stat.pid] = stat
            waiting += by_parent.get(stat.pid, [])
    return list(found.values())


def all_stats() -> list[Stat]:
    """Every process of the machine that can be read."""
    stats = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):  # gone since
                stats.append(parse_stat((folder / "stat").read_text()))
    return stats


def parse_stat(text: str) -> Stat:
    """One line of /proc/PID/stat; the name in brackets may hold anything, brackets too."""
    pid, rest = text.split(" ", 1)
    fields = rest.rsplit(")", 1)[1].split()
    return Stat(int(pid), int(fields[1]), int(fields[3]), int(fields[11]) + int(fields[12]))
