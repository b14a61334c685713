"""The permit at the door: bounds the images that the server holds, from before decoding until the answer."""

import asyncio

from serving.errors import OverloadedError


class Admission:
    """Counts admitted images against a capacity. Used from one thread, the event loop's."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._held = 0
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    async def wait_until_empty(self) -> None:
        """Returns when no admitted image waits for its answer."""
        await self._is_empty.wait()

    @property
    def held(self) -> int:
        """Images admitted and not yet answered."""
        return self._held

    def admit(self, images: int) -> None:
        """Takes room for `images` images, or raises OverloadedError at once: nothing waits at the door.

        Whoever was admitted calls release() with the same number, whatever happens.
        """
        if self._held + images > self._capacity:
            raise OverloadedError(asked=images, held=self._held, capacity=self._capacity)
        if not self._held:
            self._is_empty.clear()
        self._held += images

    def release(self, images: int) -> None:
        """Gives the room back."""
        self._held -= images
        if not self._held:
            self._is_empty.set()
