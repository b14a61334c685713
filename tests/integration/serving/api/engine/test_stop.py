"""Stopping an engine ends its calls, also when it is stopped twice or the stop is cancelled."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from serving.api.engine.call import Call, Method
from serving.api.engine.engines import GrpcEngine, make_engine
from serving.api.listening_port import ReservedPort
from serving.logging import get_logger
from tests.support.engine import ENGINE

PATIENCE_SECONDS = 10.0
LONG_SECONDS = 600.0
Stream = grpc.aio.StreamStreamCall[bytes, bytes]


@asynccontextmanager
async def started_with_a_stream() -> AsyncIterator[tuple[GrpcEngine, Stream]]:
    """An engine whose only method never ends by itself, and a call of it that has begun."""
    begun = asyncio.Event()

    def begin(call: Call, _: bytes) -> None:
        call.run(wait(call))

    async def wait(call: Call) -> None:
        begun.set()
        await call.read()

    methods = [Method("service", "stream", "bidi_stream", begin)]
    engine = make_engine("aio" if ENGINE == "aio" else "completion-queue", methods, 1, 1000, 0, get_logger())
    with ReservedPort("127.0.0.1", 0, "grpc_port") as reserved:
        host, port = "127.0.0.1", reserved.port
        await engine.start(host, port)
        async with grpc.aio.insecure_channel(f"{host}:{port}") as channel:
            stream: Stream = channel.stream_stream("/service/stream")()
            await begun.wait()
            yield engine, stream


async def test_two_stops_at_once_are_one() -> None:
    async with started_with_a_stream() as (engine, stream), asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(engine.stop(0), engine.stop(0))
        assert await stream.code() is not grpc.StatusCode.OK
        await engine.stop(LONG_SECONDS)


@pytest.mark.parametrize("turns", [1, 5, 50])
async def test_a_stop_that_is_cancelled_can_be_repeated(turns: int) -> None:
    async with started_with_a_stream() as (engine, stream), asyncio.timeout(PATIENCE_SECONDS):
        stopping = asyncio.create_task(engine.stop(LONG_SECONDS))
        for _ in range(turns):
            await asyncio.sleep(0.005)
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
        await engine.stop(0)
        assert await stream.code() is not grpc.StatusCode.OK
