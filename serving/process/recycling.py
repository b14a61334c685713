"""Worker recycling: decides when the memory of a process has grown for good, so that it must be replaced.

A safety net: a service runs for months. `grpc.aio` leaks memory for calls whose clients leave (grpc/grpc#43360).
"""

from contextlib import suppress
from pathlib import Path

LOOK_SECONDS = 10.0  # between two looks at a process
LOOKS = 6  # in a row above the limit: a large picture takes much memory for a moment


class MemoryGrowth:
    """Growth of the memory of one process, from look to look."""

    def __init__(self, allowed_bytes: int) -> None:
        """`allowed_bytes`: growth since the first look that is accepted; 0: unlimited."""
        self._allowed = allowed_bytes
        self._first = 0
        self._looks = 0

    def is_too_much(self, held_bytes: int) -> bool:
        """Records a look. Returns True when each of the last LOOKS looks was above the allowed growth."""
        self._first = self._first or held_bytes  # after the warm-up: a worker is looked at once it is ready
        self._looks = self._looks + 1 if self._allowed and held_bytes > self._first + self._allowed else 0
        return self._looks >= LOOKS

    def forget_looks(self) -> None:
        """Starts counting looks above the limit anew; the first look stays the reference."""
        self._looks = 0


def held_bytes(pid: int) -> int:
    """Returns a process's private memory in bytes, without mapped files; 0 where the system does not show it."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0
