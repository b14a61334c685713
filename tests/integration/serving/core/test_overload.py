"""Too much at once: refused at the door with when to come again, and nobody pushed out by one that floods."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.process.standalone import Standalone
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of

HELD = {"max_queue_delay_seconds": 1.0, "max_images_per_request": 10, "queue_capacity_images": 30}


def request(images: int) -> digits_pb2.ClassifyRequest:
    return digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(n % 10)) for n in range(images)])


@asynccontextmanager
async def connected(server: Standalone) -> AsyncIterator[DigitClassifierStub]:
    """A connection of its own: another client."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}", options) as channel:
        yield DigitClassifierStub(channel)


async def until_held(server: Standalone, images: int) -> None:
    async with asyncio.timeout(30):
        while server.server.images_in_flight != images:
            await asyncio.sleep(0)


async def test_what_there_is_no_room_for_is_refused_with_a_time_to_retry(start_server: StartServer) -> None:
    async with start_server(**HELD) as server, connected(server) as one, connected(server) as other:
        held = [asyncio.ensure_future(one.Classify(request(10))) for _ in range(2)]
        await until_held(server, 20)
        held.append(asyncio.ensure_future(other.Classify(request(10))))
        await until_held(server, 30)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await other.Classify(request(1))
        assert raised.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert int(dict(raised.value.trailing_metadata())["grpc-retry-pushback-ms"]) >= 1
        answers = await asyncio.gather(*held)
        assert [len(answer.predictions) for answer in answers] == [10, 10, 10]


async def test_one_client_that_floods_leaves_room_for_the_others(start_server: StartServer) -> None:
    async with start_server(**HELD) as server, connected(server) as flood, connected(server) as other:
        calls = [asyncio.ensure_future(flood.Classify(request(1))) for _ in range(100)]
        async with asyncio.timeout(30):
            while len(calls) > 20:
                _, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
                calls = list(waiting)
        answer = await other.Classify(request(10))
        assert len(answer.predictions) == 10


async def test_a_deadline_that_cannot_be_met_is_refused_at_once_while_the_patient_are_answered(
    start_server: StartServer,
) -> None:
    settings = {"max_batch_size": 1, "max_images_per_request": 4096, "queue_capacity_images": 9000}
    async with start_server(**settings) as server, connected(server) as patient, connected(server) as hurried:
        held = asyncio.ensure_future(patient.Classify(request(4096)))
        async with asyncio.timeout(30):
            while not server.server.images_in_flight:
                await asyncio.sleep(0)
        seen = set()
        while not held.done():
            try:
                await hurried.Classify(request(1), timeout=0.01)
            except grpc.aio.AioRpcError as error:
                seen.add((error.code(), "the answer would take" in (error.details() or "")))
        assert (grpc.StatusCode.RESOURCE_EXHAUSTED, True) in seen
        assert len((await held).predictions) == 4096


async def test_refusal_is_nothing_but_a_status_so_that_clients_retry(start_server: StartServer) -> None:
    """A call that has got anything before its status is not retried by any client of gRPC."""
    async with start_server(**HELD) as server, connected(server) as one, connected(server) as other:
        held = [asyncio.ensure_future(one.Classify(request(10))) for _ in range(2)]
        await until_held(server, 20)
        held.append(asyncio.ensure_future(other.Classify(request(10))))
        await until_held(server, 30)
        policy = {"maxAttempts": 5, "initialBackoff": "0.01s", "maxBackoff": "1s", "backoffMultiplier": 1}
        method = {"name": [{}], "retryPolicy": policy | {"retryableStatusCodes": ["RESOURCE_EXHAUSTED"]}}
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.service_config", json.dumps({"methodConfig": [method]})),
        ]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}", options) as channel:
            with pytest.raises(grpc.aio.AioRpcError):
                await DigitClassifierStub(channel).Classify(request(1))
        refused = server.server.metrics.registry.get_sample_value("mnist_rejected_total", {"reason": "overloaded"})
        assert refused == 5
        await asyncio.gather(*held)
