"""AsyncDigitClient across event loops: made before any runs, used by one after the other."""

import asyncio
import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import grpc
import pytest

from mnist_digits import AsyncDigitClient, CallError
from protos.mnist.v1 import digits_pb2, digits_pb2_grpc
from tests.support.tiny_model import image_of


class _Service(digits_pb2_grpc.DigitClassifierServicer):
    """Answers as the tiny model does; holds an image of the digit 9 until its caller leaves, or the test ends."""

    def __init__(self) -> None:
        self.held, self.released = Event(), Event()

    def Classify(  # noqa: N802  # generated name
        self, request: digits_pb2.ClassifyRequest, context: grpc.ServicerContext
    ) -> digits_pb2.ClassifyResponse:
        digits = [image.pixels.index(255) for image in request.images]
        if 9 in digits:
            context.add_callback(self.released.set)
            self.held.set()
            self.released.wait(10)
        return digits_pb2.ClassifyResponse(predictions=[digits_pb2.Prediction(digit=digit) for digit in digits])

    def GetModel(  # noqa: N802  # generated name
        self, request: digits_pb2.GetModelRequest, context: grpc.ServicerContext
    ) -> digits_pb2.GetModelResponse:
        del request, context
        return digits_pb2.GetModelResponse(name="mnist")


@pytest.fixture
def service() -> _Service:
    return _Service()


@pytest.fixture
def address(service: _Service) -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(4))
    digits_pb2_grpc.add_DigitClassifierServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    service.released.set()
    server.stop(None).wait()


async def digit_of(client: AsyncDigitClient, digit: int) -> int:
    async with asyncio.timeout(10):
        return (await client.classify([image_of(digit)]))[0].digit


def test_a_client_made_before_any_loop_connects_at_its_first_call_in_each_loop(address: str) -> None:
    client = AsyncDigitClient(address)
    assert [asyncio.run(digit_of(client, digit)) for digit in (1, 2, 3)] == [1, 2, 3]
    assert asyncio.run(client.get_model()).name == "mnist"
    asyncio.run(client.close())
    with pytest.raises(CallError, match="CANCELLED: the client is closed"):
        asyncio.run(digit_of(client, 4))


def test_a_client_may_be_made_after_a_loop_has_ended(address: str) -> None:
    asyncio.run(asyncio.sleep(0))
    client = AsyncDigitClient(address)

    async def use() -> int:
        async with client:
            return await digit_of(client, 5)

    assert asyncio.run(use()) == 5


def test_classify_many_may_be_called_before_the_loop_that_draws_from_it(address: str) -> None:
    client = AsyncDigitClient(address)

    async def digits() -> list[int]:
        return [prediction.digit async for prediction in predictions]

    for _ in range(2):
        predictions = client.classify_many(map(image_of, [3, 1, 4]))
        assert asyncio.run(digits()) == [3, 1, 4]


def test_calls_that_a_loop_left_behind_do_not_disturb_the_next_loop(
    address: str, service: _Service, caplog: pytest.LogCaptureFixture
) -> None:
    gc.collect()  # what earlier tests left behind is not of this one
    caplog.clear()
    client = AsyncDigitClient(address)

    async def leave() -> None:
        held = asyncio.create_task(client.classify([image_of(9)]))
        await asyncio.to_thread(service.held.wait, 10)
        assert not held.done()  # asyncio.run cancels it

    asyncio.run(leave())
    assert asyncio.run(digit_of(client, 6)) == 6
    assert service.released.wait(10)
    gc.collect()
    assert caplog.messages == []


def test_calls_of_a_loop_that_stopped_end_when_another_loop_uses_the_client(address: str, service: _Service) -> None:
    client = AsyncDigitClient(address)
    former = asyncio.new_event_loop()
    held = former.create_task(client.classify([image_of(9)]))
    former.run_until_complete(asyncio.to_thread(service.held.wait, 10))

    async def use() -> int:
        digit = await digit_of(client, 7)
        await client.close()
        return digit

    assert asyncio.run(use()) == 7
    assert service.released.wait(10)  # the server has noticed
    with pytest.raises(CallError, match="CANCELLED"):
        former.run_until_complete(held)
    former.close()


def test_a_loop_that_runs_keeps_the_client_to_itself(address: str) -> None:
    client = AsyncDigitClient(address)

    async def use() -> None:
        assert await digit_of(client, 8) == 8
        with pytest.raises(RuntimeError, match="in use in another event loop that runs: make one for each loop"):
            await asyncio.to_thread(asyncio.run, digit_of(client, 8))
        assert await digit_of(client, 8) == 8
        await client.close()

    asyncio.run(use())
