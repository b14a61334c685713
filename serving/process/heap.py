"""How the C library's heap is kept, for a process whose inferences take and free the same megabytes over and over.

1. One heap for all threads: gRPC starts a dozen, glibc would give each one of its own, and each would keep what it
   freed.
2. What an inference frees stays with the process. glibc would give it back to the kernel and fetch it anew, page by
   page, for the next: a tenth and more of the time of a batch of 64, as chance lays out the heap.
"""

import ctypes
from contextlib import suppress

_MEBIBYTE = 2**20
# mallopt(3): what is set, and to what. Blocks from MMAP_THRESHOLD on (a decoded picture) still go back at once.
_SETTINGS = {
    "M_ARENA_MAX": (-8, 1),
    "M_MMAP_THRESHOLD": (-3, 16 * _MEBIBYTE),
    "M_TRIM_THRESHOLD": (-1, 32 * _MEBIBYTE),
}


def set_up_heap() -> None:
    """Call before any thread is started. Does nothing where the C library is another than glibc."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for number, value in _SETTINGS.values():
            mallopt(number, value)
