"""Whether a process has grown for good: what it holds, and what that was when it began to work. Decides, never waits.

gRPC leaks for calls whose callers leave (grpc/grpc#43360), and a service lives for months.
"""

from contextlib import suppress
from pathlib import Path

LOOK_SECONDS = 10.0
LOOKS = 6  # in a row: a large picture is no growth


class MemoryGrowth:
    """Told what a process holds every now and then."""

    def __init__(self, allowed_bytes: int) -> None:
        """`allowed_bytes`: more than at the first look; 0: any number."""
        self._allowed = allowed_bytes
        self._first = 0
        self._looks = 0

    def is_too_much(self, held_bytes: int) -> bool:
        """Whether it was above what is allowed at each of the last LOOKS looks, this one included."""
        self._first = self._first or held_bytes
        self._looks = self._looks + 1 if self._allowed and held_bytes > self._first + self._allowed else 0
        return self._looks >= LOOKS

    def forget_looks(self) -> None:
        """Counts anew how often it was too much."""
        self._looks = 0


def held_bytes(pid: int) -> int:
    """Memory that a process has for itself alone, without files that are mapped; 0 when nobody can tell."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0
