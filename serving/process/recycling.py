"""Worker recycling: decides when a process has grown for good and must be replaced. Decides, never waits.

gRPC leaks for calls whose callers leave (grpc/grpc#43360), and a service lives for months.
"""

from contextlib import suppress
from pathlib import Path

LOOK_SECONDS = 10.0
LOOKS = 6  # in a row: a large picture is no growth


class MemoryGrowth:
    """The growth of one process's memory over its looks."""

    def __init__(self, allowed_bytes: int) -> None:
        """`allowed_bytes`: growth since the first look; 0: unlimited."""
        self._allowed = allowed_bytes
        self._first = 0
        self._looks = 0

    def is_too_much(self, held_bytes: int) -> bool:
        """Records `held_bytes`. Returns True when each of the last LOOKS looks was above what is allowed."""
        self._first = self._first or held_bytes
        self._looks = self._looks + 1 if self._allowed and held_bytes > self._first + self._allowed else 0
        return self._looks >= LOOKS

    def forget_looks(self) -> None:
        """Starts counting anew how often it was too much."""
        self._looks = 0


def held_bytes(pid: int) -> int:
    """Returns the bytes of a process's private memory, without mapped files; 0 where the system does not say."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0
