"""Images a second of each API key, counted once for all workers: they share a page of memory.

Each key has a place there, with one number: when what it has used so far is paid for, at its rate (the generic cell
rate algorithm, ITU-T I.371). Two workers that write at the same moment may forget one of two calls; a limit need not be
more exact. A place also tells whose it is: files change, and the next key there owes nothing.
"""

import mmap
import os
import struct
import time

from serving.auth.api_keys import ApiKey
from serving.errors import RateLimitedError

BURST_SECONDS = 1.0  # how far a key may be ahead of its rate
_PLACE = struct.Struct("=8sd")  # the begin of the key's hash; time.monotonic() seconds
MOST_KEYS = 4096


class RateMemory:
    """Memory for all workers, until close(): theirs when they inherit its file descriptor."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.memfd_create("rates"), "r+b")
        self._file.truncate(MOST_KEYS * _PLACE.size)

    @property
    def descriptor(self) -> int:
        """Of the memory."""
        return self._file.fileno()

    def close(self) -> None:
        """Gives back this process's share."""
        self._file.close()


class RateLimits:
    """The limits of one process; with the `descriptor` of a RateMemory, of all that have it."""

    def __init__(self, descriptor: int | None = None) -> None:
        self._memory = mmap.mmap(-1 if descriptor is None else descriptor, MOST_KEYS * _PLACE.size)

    def charge(self, key: ApiKey, images: int) -> None:
        """Counts `images` of `key`, or raises RateLimitedError where it is too far ahead of its rate."""
        if not key.images_per_second:
            return
        place, now, own = key.index % MOST_KEYS * _PLACE.size, time.monotonic(), key.sha256[:8]
        whose, paid_until = _PLACE.unpack_from(self._memory, place)
        start = max(now, paid_until) if whose == own else now
        if (early := start - now - BURST_SECONDS) > 0:
            raise RateLimitedError(key.name, key.images_per_second, early)
        _PLACE.pack_into(self._memory, place, own, start + images / key.images_per_second)
