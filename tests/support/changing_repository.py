"""A server, and callers without end, while the models in its repository change."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import grpc

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.process.standalone import Standalone
from serving.process.supervisor import Supervisor
from tests.support.tiny_model import image_of

POLL = {"model_poll_seconds": 0.02}
CALLERS = 8
Description = digits_pb2.GetModelResponse


def changed_after_it_was_described(folder: Path) -> None:
    """Changes a file of the version after metadata.json was written: its checksum is wrong."""
    graph = folder / "model.onnx"
    graph.write_bytes(graph.read_bytes() + b"\0")


async def model(server: Standalone) -> Description:
    """Response of GetModel."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        description: Description = await DigitClassifierStub(channel).GetModel(digits_pb2.GetModelRequest(), timeout=30)
    return description


async def until(server: Standalone, holds: Callable[[Description], bool]) -> Description:
    """Calls GetModel until `holds` accepts its response, and returns that."""
    async with asyncio.timeout(30):
        while not holds(description := await model(server)):
            pass  # each look is a call
    return description


async def metric(server: Standalone | Supervisor, line: str) -> bool:
    """Says whether /metrics has this line."""
    url = f"http://127.0.0.1:{server.http_port}/metrics"
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return line in await response.text()


class CallOutcomes:
    """Number of calls that were answered, and a line for each that was not, or wrongly."""

    def __init__(self) -> None:
        self.answered = 0
        self.failures: list[str] = []


@asynccontextmanager
async def callers(server: Standalone) -> AsyncIterator[CallOutcomes]:
    """Runs CALLERS, each with one call after the other and no retries, until the block ends."""
    outcomes, stop = CallOutcomes(), asyncio.Event()

    async def call(digit: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}", options) as channel:
            stub, request = DigitClassifierStub(channel), digits_pb2.ClassifyRequest()
            request.images.add(pixels=image_of(digit))
            while not stop.is_set():
                try:
                    answer = await stub.Classify(request, timeout=30)
                except grpc.aio.AioRpcError as error:
                    outcomes.failures.append(f"{error.code()}: {error.details()}")
                else:
                    outcomes.answered += 1
                    if answer.predictions[0].digit != digit:
                        outcomes.failures.append(f"{digit} was read as {answer.predictions[0].digit}")

    async with asyncio.TaskGroup() as group:
        for digit in range(CALLERS):
            group.create_task(call(digit))
        yield outcomes
        stop.set()
