"""The permit at the door: bounds the images that the server holds, from before decoding until the answer.

1. Nothing waits at the door: there is room, or the caller is told at once that there is none.
2. All clients together hold at most the capacity.
3. A client that holds something may have at most GREED times as much as would then be left free. So one that floods
   leaves a third free for the others, two leave a fifth; one that holds nothing needs only the room there is.
   (Dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998.)
"""

import asyncio

GREED = 2


class Admission:
    """Counts admitted images against a capacity. Used from one thread, the event loop's."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._held = 0
        self._by_client: dict[str, int] = {}  # of those that hold any
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    async def wait_until_empty(self) -> None:
        """Returns when no admitted image waits for its answer."""
        await self._is_empty.wait()

    @property
    def held(self) -> int:
        """Images admitted and not yet answered."""
        return self._held

    def admit(self, client: str, images: int) -> bool:
        """Takes room for `images` images, 1 or more, of `client`; False, and nothing taken, where there is none.

        Whoever was admitted calls release() with the same values, whatever happens.
        """
        own = self._by_client.get(client, 0)
        left = self.capacity - self._held - images
        if left < 0 or (own and own + images > GREED * left):
            return False
        if not self._held:
            self._is_empty.clear()
        self._held += images
        self._by_client[client] = own + images
        return True

    def release(self, client: str, images: int) -> None:
        """Gives the room back."""
        self._held -= images
        own = self._by_client[client] - images
        if own:
            self._by_client[client] = own
        else:
            del self._by_client[client]
        if not self._held:
            self._is_empty.set()
