"""The memory for recent images, which the supervisor makes and all workers share. Without NumPy: it needs none."""

import os
import struct
from dataclasses import dataclass

# One image: the key's two halves in one place; in another time, version, probability, novelty, digit, refusal, the line
# on which it stands and that line's signs (0: an image on no line), pixels.
ONE_KEY, ONE_ROW = struct.Struct("<QQ"), struct.Struct("<dqffBBHH784s")
IMAGE_BYTES = ONE_KEY.size + ONE_ROW.size
SPARE_PARTS = 2  # for workers that replace others which have not ended yet


@dataclass(frozen=True, slots=True)
class RecentPlace:
    """Where the memory is: a file descriptor, and its `parts` of `slots` images each."""

    descriptor: int
    slots: int
    parts: int


class RecentMemory:
    """Shared memory for `images` of all `workers`, until close(). They inherit its file descriptor."""

    def __init__(self, images: int, workers: int) -> None:
        slots, parts = -(-images // workers), workers + SPARE_PARTS if workers > 1 else 1
        self.place = RecentPlace(os.memfd_create("recent"), slots, parts)
        os.ftruncate(self.place.descriptor, parts * slots * IMAGE_BYTES)  # takes memory only where it is written

    def close(self) -> None:
        """Closes this process's file descriptor. The memory is freed with the last one."""
        os.close(self.place.descriptor)
