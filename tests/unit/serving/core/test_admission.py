import asyncio

from serving.core.admission import Admission


def test_beyond_capacity_is_refused_at_once_and_room_comes_back() -> None:
    admission = Admission(capacity=10)
    assert admission.admit("a", 6)
    assert not admission.admit("b", 5)
    assert admission.admit("b", 4)
    assert admission.held == 10
    admission.release("a", 6)
    admission.release("b", 4)
    assert admission.held == 0


def test_a_client_that_floods_leaves_a_third_of_the_room_to_others() -> None:
    admission = Admission(capacity=90)
    admitted = sum(admission.admit("flood", 1) for _ in range(1000))
    assert admitted == 60
    assert [admission.admit(f"other {n}", 5) for n in range(6)] == [True] * 6


def test_two_that_flood_leave_a_fifth() -> None:
    admission = Admission(capacity=100)
    held = {"a": 0, "b": 0}
    for _ in range(1000):
        for client in held:
            held[client] += admission.admit(client, 1)
    assert held == {"a": 40, "b": 40}
    assert admission.admit("c", 20)


def test_a_client_that_holds_nothing_may_take_all_there_is() -> None:
    admission = Admission(capacity=10)
    assert admission.admit("a", 10)
    admission.release("a", 10)
    assert admission.admit("a", 10)


async def test_waiting_until_empty_ends_with_the_last_release() -> None:
    admission = Admission(capacity=10)
    admission.admit("a", 1)
    waiter = asyncio.create_task(admission.wait_until_empty())
    await asyncio.sleep(0)
    assert not waiter.done()
    admission.release("a", 1)
    await waiter


def test_a_request_that_grows_does_not_count_as_its_own_flood() -> None:
    admission = Admission(capacity=10)
    assert admission.admit("a", 1)
    assert not admission.has_room("a", 9)
    assert admission.admit("a", 9, held=1)
    admission.release("a", 9)
    assert admission.admit("a", 1)
    assert not admission.admit("a", 8, held=1)  # the other image of the client counts
    assert not admission.admit("a", 9, held=2)
    admission.release("a", 1)
    admission.release("a", 1)
    assert admission.held == 0
