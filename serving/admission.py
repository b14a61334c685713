"""The permit at the door: bounds the images that the server holds, from before decoding until the answer."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

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

    @contextmanager
    def permit(self, images: int) -> Iterator[None]:
        """Holds room for `images` images, or raises OverloadedError at once: nothing waits at the door."""
        if self._held + images > self._capacity:
            raise OverloadedError(asked=images, held=self._held, capacity=self._capacity)
        self._held += images
        self._is_empty.clear()
        try:
            yield
        finally:
            self._held -= images
            if self._held == 0:
                self._is_empty.set()
