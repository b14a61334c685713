"""Settings of glibc's heap for a process whose inferences allocate and free the same megabytes again and again.

1. One heap for all threads. gRPC starts a dozen; glibc would give each thread a heap of its own, and each would keep
   what it had freed.
2. Memory that an inference frees stays with the process, at least for a while. glibc would return it to the kernel and
   fetch it again, page by page, for the next inference: a tenth or more of the time of a batch of 64, depending on the
   heap's layout.
3. Once the service has started, and then every TRIM_SECONDS, all free pages go back to the kernel. The start leaves
   many, and calls of all sizes leave more and more of them between blocks that are in use.

Decision 0025 has the figures.
"""

import asyncio
import ctypes
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_MEBIBYTE = 2**20
TRIM_SECONDS = 10.0  # a busy heap has grown to its most within seconds; a trim takes 2 to 9 milliseconds
# Parameter and value for mallopt(3). Blocks of MMAP_THRESHOLD and more (a decoded picture) still return at once.
_SETTINGS = {
    "M_ARENA_MAX": (-8, 1),
    "M_MMAP_THRESHOLD": (-3, 16 * _MEBIBYTE),
    "M_TRIM_THRESHOLD": (-1, 16 * _MEBIBYTE),  # free at the heap's top, for the next inference
}


def set_up_heap() -> None:
    """Applies the settings. Call before any thread starts. Does nothing with a C library other than glibc."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for number, value in _SETTINGS.values():
            mallopt(number, value)


def trim_heap() -> None:
    """Returns the heap's free pages to the kernel. Does nothing with a C library other than glibc."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))


@asynccontextmanager
async def heap_trimmed_regularly() -> AsyncIterator[None]:
    """Trims the heap now, of all that the start took, and then every TRIM_SECONDS while the block runs."""
    trim_heap()
    trimming = asyncio.create_task(_trim())
    try:
        yield
    finally:
        trimming.cancel()
        await asyncio.gather(trimming, return_exceptions=True)


async def _trim() -> None:
    while True:
        await asyncio.sleep(TRIM_SECONDS)
        trim_heap()
