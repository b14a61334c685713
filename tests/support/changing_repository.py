"""What a server says, and what its callers are told, while the models in its repository change."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import grpc

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.process.standalone import Standalone
from tests.support.tiny_model import image_of

POLL = {"model_poll_seconds": 0.02}
CALLERS = 8
Told = digits_pb2.GetModelResponse


def changed_after_it_was_described(folder: Path) -> None:
    """So that a file's checksum is not what metadata.json says."""
    graph = folder / "model.onnx"
    graph.write_bytes(graph.read_bytes() + b"\0")


async def model(server: Standalone) -> Told:
    """What GetModel says now."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        told: Told = await DigitClassifierStub(channel).GetModel(digits_pb2.GetModelRequest(), timeout=30)
    return told


async def until(server: Standalone, holds: Callable[[Told], bool]) -> Told:
    """Asks until what GetModel says holds."""
    async with asyncio.timeout(30):
        while not holds(told := await model(server)):
            pass  # each look is a call
    return told


async def metric(server: Standalone, line: str) -> bool:
    """Whether /metrics has this."""
    url = f"http://127.0.0.1:{server.http_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return line in await response.text()


class Asked:
    """What callers without end were told."""

    def __init__(self) -> None:
        self.answered = 0
        self.failures: list[str] = []


@asynccontextmanager
async def callers(server: Standalone) -> AsyncIterator[Asked]:
    """Callers that ask one call after the other until the block ends, without retries: every failure counts."""
    asked, stop = Asked(), asyncio.Event()

    async def ask(digit: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}", options) as channel:
            stub, request = DigitClassifierStub(channel), digits_pb2.ClassifyRequest()
            request.images.add(pixels=image_of(digit))
            while not stop.is_set():
                try:
                    answer = await stub.Classify(request, timeout=30)
                except grpc.aio.AioRpcError as error:
                    asked.failures.append(f"{error.code()}: {error.details()}")
                else:
                    asked.answered += 1
                    if answer.predictions[0].digit != digit:
                        asked.failures.append(f"{digit} was read as {answer.predictions[0].digit}")

    async with asyncio.TaskGroup() as group:
        for digit in range(CALLERS):
            group.create_task(ask(digit))
        yield asked
        stop.set()
