"""The admission against plain lists of what each client holds, step by step."""

import asyncio

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

from serving.core.admission import THRESHOLD_FACTOR, Admission
from tests.support.examples import examples

CLIENTS = ("flooding", "modest", "rare")


async def _turns() -> None:
    for _ in range(3):  # all who may wake have woken
        await asyncio.sleep(0)


class AdmissionMachine(RuleBasedStateMachine):
    """Admission holds what was admitted and not released, never too much, and wakes who waits for it to be empty."""

    @initialize(capacity=st.integers(1, 24))
    def begin(self, capacity: int) -> None:
        self.capacity = capacity
        self.admission = Admission(capacity)
        self.admitted: list[tuple[str, int]] = []  # client and images
        self.loop = asyncio.Runner()
        self.waiters: list[asyncio.Task[None]] = []

    @rule(client=st.sampled_from(CLIENTS), images=st.sampled_from([1, 1, 2, 3, 9, 25]))
    def somebody_asks(self, client: str, images: int) -> None:
        own = sum(held for who, held in self.admitted if who == client)
        left = self.capacity - self.held() - images
        has_room = left >= 0 and (not own or own + images <= THRESHOLD_FACTOR * left)
        assert self.admission.admit(client, images) == has_room
        if has_room:
            self.admitted.append((client, images))

    @precondition(lambda self: self.admitted)
    @rule(data=st.data())
    def somebody_is_answered(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.admitted) - 1))
        self.admission.release(*self.admitted.pop(index))

    @precondition(lambda self: self.waiters)
    @rule()
    def somebody_stops_waiting(self) -> None:
        self.waiters.pop().cancel()

    @invariant()
    def it_tells_what_it_holds(self) -> None:
        assert 0 <= self.admission.held == self.held() <= self.capacity

    @invariant()
    def whoever_waits_is_woken_when_and_only_when_it_is_empty(self) -> None:
        self.waiters.append(self.loop.get_loop().create_task(self.admission.wait_until_empty()))
        self.loop.run(_turns())
        assert all(waiter.done() == (not self.admitted) for waiter in self.waiters)
        self.waiters = [waiter for waiter in self.waiters if not waiter.done()]

    def held(self) -> int:
        return sum(images for _, images in self.admitted)

    def teardown(self) -> None:
        if hasattr(self, "loop"):  # it is not when beginning failed
            self.loop.close()


@pytest.mark.hypothesis
def test_against_lists_it_admits_by_its_rules_and_knows_what_it_holds_and_when_it_is_empty() -> None:
    run_state_machine_as_test(AdmissionMachine, settings=examples(60))
