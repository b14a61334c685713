"""Callers that begin and do not go on: calls without a message, messages without an end, answers that nobody reads."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
from hyperframe.frame import SettingsFrame

from benchmarks.protocols import http2
from benchmarks.protocols.protocol import grpc_message
from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from tests.hostile.calls import GOOD
from tests.hostile.connection import HostileConnection
from tests.hostile.frames import (
    CLASSIFY,
    CLASSIFY_STREAM,
    PREFACE,
    call_headers,
    data,
    headers,
    reset,
    settings,
)
from tests.support.tiny_model import image_of

CALLS_OF_A_CONNECTION = 99  # no more than a careful server allows
AT_ONCE = 50  # connections that are opened together
UNREADING = http2.PREFACE + settings({SettingsFrame.INITIAL_WINDOW_SIZE: 0})  # no answer has room
TAKES_SECONDS = 1.5  # what a server has not taken by then it will not
IMAGES = 100  # of a request whose answer nobody reads
_ONE_IMAGE = digits_pb2.ClassifyStreamRequest(request=digits_pb2.ClassifyRequest.FromString(GOOD)).SerializeToString()
Begin = Callable[[HostileConnection], None]


def _a_call(connection: HostileConnection) -> None:
    connection.send(headers(connection.new_stream(), call_headers(CLASSIFY)))


async def _a_good_call(connection: HostileConnection) -> None:
    stream = connection.new_stream()
    connection.send(headers(stream, call_headers(CLASSIFY)) + data(stream, grpc_message(GOOD)))
    assert await connection.ended(stream) == "OK"


def _a_call_half_sent(connection: HostileConnection) -> None:
    stream = connection.new_stream()
    connection.send(headers(stream, call_headers(CLASSIFY)) + data(stream, grpc_message(GOOD)[:-1], ends_stream=False))


def _a_stream(connection: HostileConnection) -> None:
    connection.send(headers(connection.new_stream(), call_headers(CLASSIFY_STREAM)))


def _a_stream_in_use(connection: HostileConnection) -> None:
    stream = connection.new_stream()
    connection.send(
        headers(stream, call_headers(CLASSIFY_STREAM)) + data(stream, grpc_message(_ONE_IMAGE), ends_stream=False)
    )


def begin_watch(connection: HostileConnection) -> None:
    """A health watch, which never ends by itself."""
    stream = connection.new_stream()
    connection.send(headers(stream, call_headers("/grpc.health.v1.Health/Watch")) + data(stream, grpc_message(b"")))


UNFINISHED: list[Begin] = [_a_call, _a_call_half_sent, _a_stream, _a_stream_in_use, begin_watch]


async def half_open(port: int, count: int) -> Counter[str]:
    """`count` calls that are begun and left, all open together; half are then cancelled, half hung up on."""
    begun: Counter[str] = Counter()
    async with connections(port, -(-count // CALLS_OF_A_CONNECTION)) as opened:
        for number, connection in enumerate(opened):
            begin = UNFINISHED[number % len(UNFINISHED)]
            for _ in range(CALLS_OF_A_CONNECTION):
                begin(connection)
                begun[begin.__name__.strip("_")] += 1
            await _a_good_call(connection)  # so that it has taken these before the next come
        for connection in opened[::2]:
            for stream in range(1, connection.next_stream, 2):
                connection.send(reset(stream))
            await connection.drain()
    return begun


async def cancelled(port: int, count: int) -> Counter[str]:
    """`count` good calls, each cancelled as soon as it is sent."""
    async with connections(port, -(-count // CALLS_OF_A_CONNECTION)) as opened:
        for connection in opened:
            for _ in range(CALLS_OF_A_CONNECTION):
                stream = connection.new_stream()
                connection.send(headers(stream, call_headers()) + data(stream, grpc_message(GOOD)))
            await connection.drain()
            for stream in range(1, connection.next_stream, 2):
                connection.send(reset(stream))
            await connection.drain()
    return Counter({"cancelled": count})


async def burst(port: int, count: int) -> Counter[str]:
    """`count` good calls at once, by a client that keeps all the rules."""
    request = digits_pb2.ClassifyRequest.FromString(GOOD)

    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = DigitClassifierStub(channel)

        async def call() -> str:
            try:
                await stub.Classify(request)
            except grpc.aio.AioRpcError as error:
                return error.code().name
            return "OK"

        return Counter(await asyncio.gather(*(call() for _ in range(count))))


async def slow(port: int, count: int) -> Counter[str]:
    """`count` connections that dribble: nothing, the preface, headers, a body; a byte of each at a time."""
    block = call_headers()
    call = headers(1, block) + data(1, grpc_message(GOOD))
    whole = [b"", http2.PREFACE + settings({}), http2.PREFACE + settings({}) + call]
    already = [0, 0, len(whole[2]) - 200]  # the last one is in the middle of its body
    async with connections(port, count, preface=b"") as opened:
        for number, connection in enumerate(opened):
            connection.send(whole[number % 3][: already[number % 3]])
        for step in range(100):
            for number, connection in enumerate(opened):
                at = already[number % 3] + step
                connection.send(whole[number % 3][at : at + 1])
            await asyncio.gather(*(connection.drain() for connection in opened))
        return Counter(await asyncio.gather(*(connection.ended(1, 0) for connection in opened)))


async def silent(port: int, count: int) -> Counter[str]:
    """`count` connections that say nothing at all, until all are there."""
    async with connections(port, count, preface=b"") as opened:
        return Counter(await asyncio.gather(*(connection.ended(1, 0) for connection in opened)))


async def unread_answers(port: int, count: int) -> Counter[str]:
    """`count` streams, each of which sends as much as the server takes and reads no response."""
    images = [digits_pb2.Image(pixels=image_of(number % 10)) for number in range(IMAGES)]
    request = digits_pb2.ClassifyStreamRequest(request=digits_pb2.ClassifyRequest(images=images))
    return await _unread(port, count, grpc_message(request.SerializeToString()) * 400)


async def _unread(port: int, count: int, body: bytes) -> Counter[str]:
    async with connections(port, count, preface=UNREADING) as opened:

        async def call(connection: HostileConnection) -> str:
            await connection.settled()
            connection.send(headers(connection.new_stream(), call_headers(CLASSIFY_STREAM)))
            try:
                async with asyncio.timeout(TAKES_SECONDS):
                    await connection.send_body(1, body)
            except TimeoutError:
                return "took a part"
            return "took all"

        return Counter(await asyncio.gather(*map(call, opened)))


@asynccontextmanager
async def connections(port: int, count: int, preface: bytes = PREFACE) -> AsyncIterator[list[HostileConnection]]:
    """So many, open until the block ends. Without a preface they say nothing of their own accord."""
    async with AsyncExitStack() as stack:
        opened: list[HostileConnection] = []
        for group in _groups(count):
            new = [HostileConnection(port, preface, acknowledges=bool(preface)) for _ in group]
            opened += await asyncio.gather(*map(stack.enter_async_context, new))
        yield opened


def _groups(count: int) -> Iterator[range]:
    return (range(at, min(at + AT_ONCE, count)) for at in range(0, count, AT_ONCE))
