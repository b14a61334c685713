"""Which calls share which RPC: the rules of share_queue.py, with no RPC and no clock."""

from concurrent.futures import Future

import pytest

from mnist_digits import CallError, Prediction
from mnist_digits.coalescing.share_queue import Call, SharedRpc, ShareQueue

FULL = CallError("RESOURCE_EXHAUSTED", "full")
BAD = CallError("INVALID_ARGUMENT", "bad")
PredictionsFuture = Future[list[Prediction]]


def call(images: int = 1, version: bytes = b"", size: int = 10, deadline: float = 1) -> Call[PredictionsFuture]:
    return Call(bytes(size), images, version, deadline, Future())


def added(queue: ShareQueue[PredictionsFuture], *calls: Call[PredictionsFuture]) -> list[Call[PredictionsFuture]]:
    for each in calls:
        queue.add(each)
    return list(calls)


def take(queue: ShareQueue[PredictionsFuture]) -> SharedRpc[PredictionsFuture]:
    rpc = queue.take()
    assert rpc
    return rpc


def answer_all(queue: ShareQueue[PredictionsFuture]) -> list[Call[PredictionsFuture]]:
    """Answers one RPC after the other; the calls in the order in which they left."""
    order = []
    while rpc := queue.take():
        order += rpc.calls
        queue.finish(rpc, predictions(rpc.images))
    return order


def predictions(count: int) -> list[Prediction]:
    return [Prediction(number % 10, 1, (), 0, False, None) for number in range(count)]


def test_a_call_leaves_at_once_while_rpcs_are_free_and_waits_when_not() -> None:
    queue = ShareQueue[PredictionsFuture](max_rpcs=2)
    for _ in range(2):
        (only,) = added(queue, call())
        assert take(queue).calls == [only]
    waiting = added(queue, call(), call(), call())
    assert queue.take() is None
    queue.finish(SharedRpc([call()], is_counted=True), predictions(1))
    assert take(queue).calls == waiting
    assert queue.take() is None


def test_an_rpc_is_bounded_in_images_and_bytes_and_calls_keep_their_order() -> None:
    queue = ShareQueue[PredictionsFuture](max_rpcs=9, max_images=4, max_bytes=100)
    calls = added(queue, call(2), call(2), call(1), call(3), call(1, size=60), call(1, size=50))
    assert [take(queue).calls for _ in range(4)] == [calls[:2], calls[2:4], calls[4:5], calls[5:]]


@pytest.mark.parametrize("alone", [call(images=4), call(images=9), call(images=0), call(size=100)])
def test_a_call_that_cannot_share_travels_alone_past_the_others_and_takes_no_place(
    alone: Call[PredictionsFuture],
) -> None:
    queue = ShareQueue[PredictionsFuture](max_rpcs=1, max_images=4, max_bytes=100)
    added(queue, call())
    take(queue)
    waiting = added(queue, call())
    added(queue, alone)
    rpc = take(queue)
    assert (rpc.calls, rpc.is_counted) == ([alone], False)
    assert queue.take() is None
    queue.finish(rpc, predictions(alone.images))
    assert queue.take() is None
    queue.finish(SharedRpc([call()], is_counted=True), predictions(1))
    assert take(queue).calls == waiting


def test_versions_take_turns() -> None:
    queue = ShareQueue[PredictionsFuture](max_rpcs=9, max_images=2)
    one = added(queue, *(call(version=b"1") for _ in range(4)))
    two = added(queue, call(version=b"2"))
    assert [take(queue).calls for _ in range(3)] == [one[:2], two, one[2:]]


def test_an_rpcs_deadline_is_that_of_its_most_patient_call() -> None:
    assert SharedRpc([call(deadline=3), call(deadline=7), call(deadline=5)], is_counted=True).deadline == 7


def test_who_leaves_while_waiting_is_not_sent() -> None:
    queue = ShareQueue[PredictionsFuture](max_images=4)
    first, second, large = added(queue, call(), call(), call(4))
    for gone in (first, large):
        assert queue.leave(gone) is None
    assert take(queue).calls == [second]
    assert queue.take() is None


def test_an_rpc_is_cancelled_when_its_last_caller_leaves_and_not_before() -> None:
    queue = ShareQueue[PredictionsFuture]()
    first, second = added(queue, call(), call())
    rpc = take(queue)
    assert queue.leave(first) is None
    assert queue.leave(second) is rpc


def test_rows_go_to_the_calls_that_asked_for_them() -> None:
    queue = ShareQueue[PredictionsFuture]()
    calls = added(queue, call(2), call(1), call(3))
    queue.finish(take(queue), predictions(6))
    assert [[p.digit for p in each.future.result(0)] for each in calls] == [[0, 1], [2], [3, 4, 5]]


def test_an_error_of_the_server_goes_to_everybody_as_an_object_of_their_own() -> None:
    queue = ShareQueue[PredictionsFuture]()
    calls = added(queue, call(), call())
    queue.finish(take(queue), FULL)
    errors = [each.future.exception(0) for each in calls]
    assert [str(error) for error in errors] == ["RESOURCE_EXHAUSTED: full"] * 2
    assert errors[0] is not errors[1]
    assert queue.take() is None


@pytest.mark.parametrize("culprit", range(7))
def test_halving_finds_the_culprit_and_answers_the_others(culprit: int) -> None:
    queue = ShareQueue[PredictionsFuture](max_rpcs=1)
    calls = added(queue, *(call() for _ in range(7)))
    rpcs = 0
    while rpc := queue.take():
        rpcs += 1
        queue.finish(rpc, BAD if calls[culprit] in rpc.calls else predictions(rpc.images))
    assert [number for number, each in enumerate(calls) if each.future.exception(0)] == [culprit]
    assert rpcs <= 7  # 1 + 2 for each halving of seven


def test_who_has_gone_is_not_asked_for_again() -> None:
    queue = ShareQueue[PredictionsFuture](max_rpcs=1)
    calls = added(queue, *(call() for _ in range(4)))
    rpc = take(queue)
    queue.leave(calls[0])
    queue.finish(rpc, BAD)
    queue.leave(calls[1])
    assert answer_all(queue) == calls[2:]


def test_halves_go_before_what_came_later() -> None:
    queue = ShareQueue[PredictionsFuture](max_rpcs=1)
    first = added(queue, call(), call())
    rpc = take(queue)
    later = added(queue, call())
    queue.finish(rpc, BAD)
    assert answer_all(queue) == first + later


def test_failing_what_waits_reaches_every_call_that_has_not_left() -> None:
    queue = ShareQueue[PredictionsFuture](max_rpcs=1, max_images=4)
    added(queue, call(), call())
    halved = take(queue)
    waiting = added(queue, call(version=b"1"), call(version=b"2"), call(4))
    queue.finish(halved, BAD)
    queue.fail_waiting(FULL)
    assert all(each.future.exception(0) for each in [*waiting, *halved.calls])
    assert queue.take() is None
