"""How many heaps glibc keeps for the threads of one process: gRPC starts a dozen, and each would get one of its own."""

import ctypes
from contextlib import suppress

_M_ARENA_MAX = -8  # mallopt(3)
ARENAS = 2


def limit_heap_arenas() -> None:
    """Has all threads share two heaps. Call before any is started; does nothing where the C library is another."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS)
