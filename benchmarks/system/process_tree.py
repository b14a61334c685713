"""All processes of one server: processor time, memory, suspending and ending them."""

import os
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

import psutil

from benchmarks.system.memory import memory_bytes

STOP_SECONDS = 20
_IDLE_SECONDS = 0.05
_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")  # the kernel's resolution of processor time


class ProcessTree:
    """A process that leads a session, the processes of its session, and all descendants in whatever session."""

    def __init__(self, root: int) -> None:
        self._root = root

    def processes(self) -> list[psutil.Process]:
        """Processes alive now, parents before their children."""
        found: dict[int, psutil.Process] = {}
        for top in (self._root, *_session_members(self._root)):
            if top not in found:
                found |= {process.pid: process for process in _with_descendants(top)}
        return list(found.values())

    def cpu_seconds(self) -> float:
        """Processor time of the processes alive, user and system, so far."""
        total = 0.0
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def memory_bytes(self) -> int:
        """Proportional set size of all processes, as if the calling process mapped none of their files."""
        return memory_bytes(self.processes())

    def wait_until_idle(self, at_most_seconds: float = 2.0) -> None:
        """Returns once the processes have all but stopped using the processor, or after `at_most_seconds`."""
        deadline = time.monotonic() + at_most_seconds
        before = self.cpu_seconds()
        while time.monotonic() < deadline:
            time.sleep(_IDLE_SECONDS)
            now = self.cpu_seconds()
            if now - before <= _TICK_SECONDS:
                return
            before = now

    def suspend(self) -> None:
        """Stops all (SIGSTOP), parents first: a supervisor that checks its workers must not find them stopped."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    def resume(self) -> None:
        """Continues all (SIGCONT), children first."""
        for process in reversed(self.processes()):
            with suppress(psutil.NoSuchProcess):
                process.resume()


def stop(process: "subprocess.Popen[bytes] | subprocess.Popen[str]") -> None:
    """Ends a session leader with SIGTERM, and after STOP_SECONDS whatever is left of its tree with SIGKILL."""
    tree = ProcessTree(process.pid)
    processes = tree.processes()
    tree.resume()
    process.terminate()
    try:
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    finally:
        kill([*processes, *tree.processes()])  # children outlive their parent; psutil spares a pid that is used again
        process.wait(STOP_SECONDS)


def kill(processes: Iterable[psutil.Process]) -> None:
    """Ends each process at once (SIGKILL), unless it has ended already."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _with_descendants(pid: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    return []


def _session_members(leader: int) -> Iterator[int]:
    for pid in psutil.pids():
        with suppress(ProcessLookupError):  # ended since
            if os.getsid(pid) == leader:
                yield pid
