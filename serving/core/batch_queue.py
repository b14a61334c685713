"""Dynamic batching as a pure rule: selects the queued requests that form the next batch.

The time is an argument: the queue reads no clock, never waits, and knows neither threads nor models.

1. First come, first served: a batch is a prefix of the queue, so no request overtakes another.
2. A request's images stay together. A request is never larger than the largest batch: the batcher splits it before.
3. A batch may leave when it is full, or when its oldest request has waited for the configured delay (0: at once).
4. A request whose caller has gone, or whose deadline has passed, leaves the queue without taking room in a batch.
5. The queue has no bound of its own: admission control bounds what enters it.
"""

from collections import deque
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

NO_DEADLINE = float("inf")  # of a request, on the clock of time.monotonic()


class QueuedRequest(Protocol):
    """Properties of a request that the queue decides by."""

    images: int  # 1 to the largest batch
    arrived: float  # seconds, same clock as `now`
    deadline: float  # seconds, same clock; infinity when there is none

    def is_abandoned(self) -> bool:
        """Returns True when the caller has gone: the predictions would be dropped."""


T = TypeVar("T", bound=QueuedRequest)


@dataclass(frozen=True, slots=True)
class Taken(Generic[T]):
    """Requests that one take() removed from the queue, by what happens to them next."""

    batch: list[T]  # to run now, oldest first; empty while no batch may leave yet
    expired: list[T]  # their deadline passed in the queue
    abandoned: list[T]  # their caller has gone


class BatchQueue(Generic[T]):
    """FIFO queue of requests that forms batches by the rules above. Not thread-safe."""

    def __init__(self, max_batch_size: int, max_queue_delay_seconds: float = 0.0) -> None:
        """Creates an empty queue.

        `max_batch_size`: images in one batch. `max_queue_delay_seconds`: longest wait for a fuller batch.
        """
        self._max_batch_size = max_batch_size
        self.delay_seconds = max_queue_delay_seconds  # may be changed at any time
        self._waiting: deque[T] = deque()
        self._images = 0

    @property
    def images(self) -> int:
        """Images in the queue, including those of abandoned and expired requests until take() finds them."""
        return self._images

    @property
    def is_full(self) -> bool:
        """Indicates that the queue holds enough images for a batch of the largest size."""
        return self._images >= self._max_batch_size

    def offer(self, request: T) -> None:
        """Adds a request at the end. Raises RuntimeError for one that no batch has room for."""
        if not 1 <= request.images <= self._max_batch_size:
            raise RuntimeError(f"a request of {request.images} images was offered to the queue: this is a bug")
        self._waiting.append(request)
        self._images += request.images

    def ready_at(self) -> float | None:
        """Returns the time from which the next batch may leave, in the clock's seconds; None for an empty queue."""
        if not self._waiting:
            return None
        # The head may be abandoned or expired: then take() comes early, drops it and returns a younger batch. Harmless.
        oldest = self._waiting[0].arrived
        return oldest if self.is_full else oldest + self.delay_seconds

    def take(self, now: float) -> Taken[T]:
        """Removes the next batch, if it may leave at `now`, and the abandoned and expired requests ahead of its end."""
        taken: Taken[T] = Taken([], [], [])
        ready_at = self.ready_at()
        if ready_at is None or now < ready_at:
            return taken
        room = self._max_batch_size
        while self._waiting:
            request = self._waiting[0]
            # Abandoned before expired: a caller that left is counted as such, also when its deadline made it leave.
            if request.is_abandoned():
                taken.abandoned.append(request)
            elif request.deadline <= now:
                taken.expired.append(request)
            elif request.images <= room:
                taken.batch.append(request)
                room -= request.images
            else:
                break  # even if a smaller request behind it would fit: filling gaps would starve large requests
            self._waiting.popleft()
            self._images -= request.images
        return taken
