from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from serving.core.batch_queue import BatchQueue

FOREVER = float("inf")


@dataclass(eq=False)
class Request:
    images: int = 1
    arrived: float = 0.0
    deadline: float = FOREVER
    gone: bool = False

    def is_abandoned(self) -> bool:
        return self.gone


def queue_of(*requests: Request, largest: int = 4, delay: float = 0.0) -> BatchQueue[Request]:
    queue: BatchQueue[Request] = BatchQueue(largest, delay)
    for request in requests:
        queue.offer(request)
    return queue


def test_empty_queue_gives_no_batch_and_needs_no_wake_up() -> None:
    queue = queue_of()
    assert queue.take(now=1.0).batch == []
    assert queue.ready_at() is None


def test_without_delay_whatever_waits_leaves_at_once() -> None:
    first, second = Request(), Request()
    queue = queue_of(first, second)
    assert queue.take(now=0.0).batch == [first, second]
    assert queue.images == 0


def test_delay_holds_a_batch_that_is_not_full_until_its_oldest_has_waited() -> None:
    queue = queue_of(Request(arrived=1.0), Request(arrived=1.4), delay=0.5)
    assert queue.take(now=1.4).batch == []
    assert queue.ready_at() == 1.5
    assert len(queue.take(now=1.5).batch) == 2


def test_a_full_batch_does_not_wait_for_the_delay() -> None:
    queue = queue_of(Request(images=3), Request(images=1), delay=60.0)
    assert len(queue.take(now=0.0).batch) == 2


def test_a_request_that_does_not_fit_waits_whole_and_keeps_its_place() -> None:
    big, late = Request(images=3), Request()
    queue = queue_of(Request(images=2), big, late)
    assert [request.images for request in queue.take(now=0.0).batch] == [2]
    assert queue.take(now=0.0).batch == [big, late]


def test_expired_and_abandoned_leave_without_taking_room() -> None:
    gone, late, alive = Request(images=4, gone=True), Request(images=4, deadline=1.0), Request(images=4)
    taken = queue_of(gone, late, alive).take(now=1.0)
    assert (taken.abandoned, taken.expired, taken.batch) == ([gone], [late], [alive])


requests = st.builds(
    Request,
    images=st.integers(1, 8),
    arrived=st.just(0.0),
    deadline=st.sampled_from([0.5, FOREVER]),
    gone=st.booleans(),
)


@given(st.lists(requests, max_size=40), st.floats(0, 0.4))
def test_everyone_leaves_exactly_once_in_order_and_no_batch_is_too_large(waiting: list[Request], delay: float) -> None:
    queue = queue_of(*waiting, largest=8, delay=delay)
    left: list[Request] = []
    while queue.ready_at() is not None:
        taken = queue.take(now=1.0)
        assert sum(request.images for request in taken.batch) <= 8
        assert all(request.deadline > 1.0 and not request.gone for request in taken.batch)
        left += sorted(taken.batch + taken.expired + taken.abandoned, key=waiting.index)
    assert left == waiting
    assert queue.images == 0
