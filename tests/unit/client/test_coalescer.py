"""What waits for shared RPCs, where the loop's turns decide."""

import asyncio

import pytest

from mnist_digits import proto
from mnist_digits.coalescing.coalescer import Coalescer
from mnist_digits.coalescing.share_queue import ShareQueue

ANSWER = proto.ClassifyResponse(predictions=[proto.Prediction(digit=3)]).SerializeToString()


async def test_a_caller_that_is_cancelled_as_its_answer_comes_is_cancelled() -> None:
    asked, answer = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def rpc(_request: bytes, _timeout_seconds: float) -> bytes:
        asked.set()
        response: bytes = await answer
        return response

    coalescer = Coalescer(rpc, ShareQueue())
    waiting = asyncio.create_task(coalescer.wait(coalescer.submit(b"", 1, b"", timeout_seconds=60)))
    await asked.wait()
    answer.set_result(ANSWER)
    await asyncio.sleep(0)  # the RPC has ended, and its end is not yet noticed
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await coalescer.close()
