"""Rate limits of API keys in images per second, counted for all workers together in shared memory.

1. Each key has a slot with one number, its theoretical arrival time: when its images so far are paid for at its rate
   (generic cell rate algorithm, ITU-T I.371). A key may be BURST_SECONDS ahead of it, and no request may hold more
   images than are paid for in that time: it would lock its key out for long.
2. Slots are written without a lock. Two workers that write at the same moment may lose one of two requests, which is
   exact enough for a limit, and a worker that dies leaves nothing locked.
3. A slot also holds the start of its key's hash: when the file changes and another key gets the slot, it starts anew.
"""

import mmap
import os
import struct
import time

from serving.auth.api_keys import ApiKey
from serving.errors import InvalidRequestError, RateLimitedError

BURST_SECONDS = 1.0  # that a key may be ahead of its rate
# The first 8 bytes of the key's hash; the theoretical arrival time in time.monotonic() seconds. That clock counts from
# the start of the system, so all processes read the same one.
_SLOT = struct.Struct("=8sd")
MAX_KEYS = 4096  # slots, 64 KiB; beyond it two keys share a slot and reset each other's count


class RateMemory:
    """Shared memory of all workers, until close(). They inherit its file descriptor."""

    def __init__(self) -> None:
        self._file = os.fdopen(os.memfd_create("rates"), "r+b")  # no name in any file system that could be left behind
        self._file.truncate(MAX_KEYS * _SLOT.size)  # to zeros: no key's hash, arrival long ago

    @property
    def descriptor(self) -> int:
        """File descriptor of the memory."""
        return self._file.fileno()

    def close(self) -> None:
        """Closes this process's file descriptor. The memory is freed with the last one."""
        self._file.close()


class RateLimits:
    """Rate limits, counted together in all processes that have the `descriptor` of one RateMemory."""

    def __init__(self, descriptor: int | None = None) -> None:
        """Maps the memory. `descriptor`: of a RateMemory; None: counts in this process alone."""
        self._memory = mmap.mmap(-1 if descriptor is None else descriptor, MAX_KEYS * _SLOT.size)

    def charge(self, key: ApiKey, images: int, held: int = 0) -> None:
        """Counts `images` of `key`. Raises RateLimitedError, and counts none, where it is too far ahead of its rate.

        `held`: images of the same request that were counted before, and put it ahead by themselves; so it may be twice
        as far ahead now. Raises InvalidRequestError for a request that holds more images than the key's burst.
        """
        if not key.images_per_second:
            return
        burst = max(1, int(key.images_per_second * BURST_SECONDS))
        if images + held > burst:
            raise InvalidRequestError(
                f"key {key.name} may ask for {key.images_per_second:g} images a second, and for at most {burst} "
                f"image{'s' * (burst > 1)} at once; this request holds {images + held}"
            )
        slot, now, own = key.index % MAX_KEYS * _SLOT.size, time.monotonic(), key.sha256[:8]
        owner, arrival = _SLOT.unpack_from(self._memory, slot)
        start = max(now, arrival) if owner == own else now
        # The debt so far decides, not this request's size: otherwise requests as large as the burst would have to come
        # exactly in time.
        allowed = 2 * BURST_SECONDS if held else BURST_SECONDS
        if (early := start - now - allowed) > 0:
            raise RateLimitedError(key.name, key.images_per_second, early)
        _SLOT.pack_into(self._memory, slot, own, start + images / key.images_per_second)
