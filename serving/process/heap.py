"""Settings of glibc's heap for a process whose inferences allocate and free the same megabytes again and again.

1. One heap for all threads. gRPC starts a dozen; glibc would give each thread a heap of its own, and each would keep
   what it had freed.
2. Memory that an inference frees stays with the process. glibc would return it to the kernel and fetch it again, page
   by page, for the next inference: a tenth or more of the time of a batch of 64, depending on the heap's layout.

Decision 0025 has the figures.
"""

import ctypes
from contextlib import suppress

_MEBIBYTE = 2**20
# Parameter and value for mallopt(3). Blocks of MMAP_THRESHOLD and more (a decoded picture) still return at once.
_SETTINGS = {
    "M_ARENA_MAX": (-8, 1),
    "M_MMAP_THRESHOLD": (-3, 16 * _MEBIBYTE),
    "M_TRIM_THRESHOLD": (-1, 32 * _MEBIBYTE),
}


def set_up_heap() -> None:
    """Applies the settings. Call before any thread starts. Does nothing with a C library other than glibc."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for number, value in _SETTINGS.values():
            mallopt(number, value)
