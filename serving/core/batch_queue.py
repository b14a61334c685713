"""Which waiting requests form the next batch. It is told the time, never waits, and knows no thread and no model.

1. First come, first served: a batch is a prefix of the queue, so nobody is overtaken.
2. A request's images stay together; a request never exceeds the largest batch (whoever offers it splits it).
3. A batch may leave when it is full or when its oldest request has waited the added delay (0: at once).
4. A request whose caller has gone, or whose deadline has passed, leaves the queue without taking room in a batch.
5. The queue does not bound itself: it holds only what the admission let in.
"""

from collections import deque
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Waiting(Protocol):
    """What the queue needs to know of a request."""

    images: int  # 1 to the largest batch
    arrived: float  # seconds, same clock as `now`
    deadline: float  # seconds, same clock; infinity when there is none

    def is_abandoned(self) -> bool:
        """Whether the caller has gone."""


T = TypeVar("T", bound=Waiting)


@dataclass(frozen=True, slots=True)
class Taken(Generic[T]):
    """The outcome of one look at the queue."""

    batch: list[T]  # to be run now, oldest first; empty when it is not yet time
    expired: list[T]  # deadline passed while waiting
    abandoned: list[T]  # caller gone


class BatchQueue(Generic[T]):
    """Requests in the order of arrival, and the rule above. Not thread-safe."""

    def __init__(self, max_batch_size: int, max_queue_delay_seconds: float = 0.0) -> None:
        self._max_batch_size = max_batch_size
        self._delay = max_queue_delay_seconds
        self._waiting: deque[T] = deque()
        self._images = 0

    @property
    def images(self) -> int:
        """Images waiting, those of abandoned and expired requests included until the next `take`."""
        return self._images

    def __len__(self) -> int:
        """Requests waiting, as many as `images` counts the images of."""
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether enough waits for a largest batch."""
        return self._images >= self._max_batch_size

    def offer(self, request: T) -> None:
        """Adds a request at the end."""
        if not 1 <= request.images <= self._max_batch_size:
            raise RuntimeError(f"a request of {request.images} images was offered to the queue: this is a bug")
        self._waiting.append(request)
        self._images += request.images

    def ready_at(self) -> float | None:
        """When the next batch may leave, in the clock's seconds; None while nothing waits."""
        if not self._waiting:
            return None
        oldest = self._waiting[0].arrived
        return oldest if self.is_full else oldest + self._delay

    def take(self, now: float) -> Taken[T]:
        """Removes the next batch, if it may leave at `now`, and everyone found gone or expired on the way."""
        taken: Taken[T] = Taken([], [], [])
        ready_at = self.ready_at()
        if ready_at is None or now < ready_at:
            return taken
        room = self._max_batch_size
        while self._waiting:
            request = self._waiting[0]
            if request.is_abandoned():
                taken.abandoned.append(request)
            elif request.deadline <= now:
                taken.expired.append(request)
            elif request.images <= room:
                taken.batch.append(request)
                room -= request.images
            else:
                break
            self._waiting.popleft()
            self._images -= request.images
        return taken
