"""Calls end once, whatever the coroutine that answers them does."""

import asyncio
import time
from typing import Any

import grpc
import pytest

from serving.api.engine.call import Call
from tests.support.recorded_call import RecordedCall


async def raises() -> None:
    raise ValueError("secret")


async def returns() -> None:
    pass


async def is_cancelled() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("coroutine", [raises, returns, is_cancelled])
async def test_a_coroutine_that_leaves_its_call_open_ends_it_as_a_fault_of_the_server(coroutine: Any) -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    call = RecordedCall()
    call.run(coroutine())
    async with asyncio.timeout(5):
        while not call.is_over:
            await asyncio.sleep(0)
    assert [(code, message) for code, _, message in call.sent] == [(grpc.StatusCode.INTERNAL, None)]
    assert "secret" not in call.sent[0][1]
    assert len(reported) == 1


async def test_a_coroutine_that_ends_its_call_is_heard_alone() -> None:
    call = RecordedCall()

    async def answer() -> None:
        call.respond(b"response")

    call.run(answer())
    for _ in range(5):
        await asyncio.sleep(0)
    assert call.sent == [(grpc.StatusCode.OK, "", b"response")]


async def test_what_a_coroutine_raises_after_its_call_has_ended_is_reported_and_changes_nothing() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    call = RecordedCall()

    async def answer() -> None:
        call.respond(b"response")
        raise ValueError

    call.run(answer())
    async with asyncio.timeout(5):
        while not reported:
            await asyncio.sleep(0)
    assert isinstance(reported[0]["exception"], ValueError)
    assert call.sent == [(grpc.StatusCode.OK, "", b"response")]


@pytest.mark.parametrize(
    ("seconds_left", "code"),
    [
        (float("inf"), grpc.StatusCode.CANCELLED),
        (1.0, grpc.StatusCode.CANCELLED),
        (0.005, grpc.StatusCode.DEADLINE_EXCEEDED),  # the client's clock is ahead: its deadline has passed
        (-1.0, grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
)
async def test_a_client_that_gives_up_at_its_deadline_is_counted_as_late(
    seconds_left: float, code: grpc.StatusCode
) -> None:
    ended: list[grpc.StatusCode] = []

    class Observer:
        def ended(self, _: Call, code: grpc.StatusCode) -> None:
            ended.append(code)

    call = RecordedCall()
    call.deadline = time.monotonic() + seconds_left
    call.observer = Observer()
    call.cancelled()
    assert ended == [code]
