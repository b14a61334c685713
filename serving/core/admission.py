"""Admission control: bounds the images that the server holds, from before decoding until the response.

1. Nothing waits for admission: there is room, or the request is refused at once.
2. All clients together hold at most the capacity.
3. A client that already holds images may hold at most THRESHOLD_FACTOR times the room that is then left free. One
   client that floods leaves a third free for the others, two leave a fifth. A client that holds nothing needs only
   room for its request. (Dynamic thresholds: Choudhury and Hahne, IEEE/ACM Transactions on Networking 6(2), 1998.)
"""

import asyncio

MIN_RETRY_SECONDS = 0.05  # that a refused client should wait at least
THRESHOLD_FACTOR = 2  # the paper's alpha: n clients that flood leave 1 / (1 + 2n) of the capacity free


class Admission:
    """Counts admitted images against a capacity. Not thread-safe: used from the event loop alone."""

    def __init__(self, capacity: int) -> None:
        """Creates an empty admission control. `capacity`: images of all clients together."""
        self.capacity = capacity
        self._held = 0
        self._by_client: dict[str, int] = {}  # no zeros: it must not grow with every client ever seen
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    async def wait_until_empty(self) -> None:
        """Returns when no admitted image waits for its response."""
        await self._is_empty.wait()

    @property
    def held(self) -> int:
        """Images admitted and not yet released."""
        return self._held

    def has_room(self, client: str, images: int, held: int = 0) -> bool:
        """Returns True where admit() would take `images`, 1 or more, of `client`."""
        own = self._by_client.get(client, 0)
        left = self.capacity - self._held - images
        # `own > held`: a client that holds nothing else is refused only where the server has no room at all.
        return left >= 0 and not (own > held and own + images > THRESHOLD_FACTOR * left)

    def ahead_of(self, client: str, images: int) -> int:
        """Returns how many of the held images go before the last of `images` more, where clients take turns."""
        own = self._by_client.get(client, 0)
        others = len(self._by_client) - (client in self._by_client)
        return own + min(self._held - own, (own + images) * others)

    def admit(self, client: str, images: int, held: int = 0) -> bool:
        """Takes room for `images`, 1 or more, of `client`. Returns False, and takes nothing, where there is no room.

        `held`: images of the same request that have room already. Every True must be followed by one release() with the
        same `client` and `images`, on errors and cancellation too.
        """
        if not self.has_room(client, images, held):
            return False
        own = self._by_client.get(client, 0)
        if not self._held:
            self._is_empty.clear()
        self._held += images
        self._by_client[client] = own + images
        return True

    def release(self, client: str, images: int) -> None:
        """Returns the room that one admit() with the same values took."""
        self._held -= images
        own = self._by_client[client] - images
        if own:
            self._by_client[client] = own
        else:
            del self._by_client[client]
        if not self._held:
            self._is_empty.set()
