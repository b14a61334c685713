"""Responses that take more than one batch to make."""

import asyncio

from serving.api.pending import PendingCall, deliver
from serving.predictions import Predictions
from tests.support.recorded_call import RecordedCall


async def test_a_call_cancelled_before_its_first_step_leaves_no_coroutine_that_nobody_awaits() -> None:
    began = False

    async def predict() -> Predictions:
        nonlocal began
        began = True
        raise AssertionError

    call = RecordedCall()
    call.run(deliver(predict, PendingCall(call, lambda _: b"", lambda *_: None)))
    call.cancelled()
    await asyncio.sleep(0)  # the task's first step, into which the cancellation goes
    await asyncio.sleep(0)
    assert not began
    assert not call.sent
