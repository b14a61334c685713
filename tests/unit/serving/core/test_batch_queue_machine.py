"""The batch queue against a plain list, step by step."""

from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from serving.core.batch_queue import BatchQueue
from tests.support.examples import examples

FOREVER = float("inf")


@dataclass(eq=False, slots=True)
class Request:
    images: int
    arrived: float
    deadline: float
    gone: bool = False

    def is_abandoned(self) -> bool:
        return self.gone


class BatchQueueMachine(RuleBasedStateMachine):
    """Each request leaves once, in order, and unchanged; no batch is too large, too small or too early."""

    @initialize(largest=st.integers(1, 6), delay=st.sampled_from([0.0, 2.0]))
    def begin(self, largest: int, delay: float) -> None:
        self.largest, self.delay = largest, delay
        self.queue: BatchQueue[Request] = BatchQueue(largest, delay)
        self.waiting: list[Request] = []
        self.now = 0.0

    @rule(share=st.floats(0, 1), patience=st.sampled_from([FOREVER, -1.0, 0.0, 1.0, 3.0]))
    def somebody_comes(self, share: float, patience: float) -> None:
        request = Request(1 + round(share * (self.largest - 1)), self.now, self.now + patience)
        self.queue.offer(request)
        self.waiting.append(request)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def somebody_leaves(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.waiting)).gone = True

    @rule(seconds=st.sampled_from([1.0, 2.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def somebody_looks(self) -> None:
        is_time = bool(self.waiting) and (self.is_full() or self.waiting[0].arrived + self.delay <= self.now)
        taken = self.queue.take(self.now)
        count = len(taken.batch) + len(taken.expired) + len(taken.abandoned)
        left, self.waiting = self.waiting[:count], self.waiting[count:]
        assert taken.abandoned == [request for request in left if request.gone]
        here = [request for request in left if not request.gone]
        assert taken.expired == [request for request in here if request.deadline <= self.now]
        assert taken.batch == [request for request in here if request.deadline > self.now]
        assert bool(left) == is_time
        room = self.largest - sum(request.images for request in taken.batch)
        assert room >= 0
        assert not is_time or not self.waiting or self.waiting[0].images > room

    @invariant()
    def it_tells_what_waits(self) -> None:
        assert self.queue.images == sum(request.images for request in self.waiting)
        assert self.queue.is_full == self.is_full()
        if not self.waiting:
            assert self.queue.ready_at() is None
        else:
            assert self.queue.ready_at() == self.waiting[0].arrived + (0.0 if self.is_full() else self.delay)

    def is_full(self) -> bool:
        return sum(request.images for request in self.waiting) >= self.largest


@pytest.mark.hypothesis
def test_against_a_list_each_request_leaves_once_in_order_and_unchanged() -> None:
    run_state_machine_as_test(BatchQueueMachine, settings=examples(100))
