"""Heavy pictures without end from one client, and clients whose pictures are light and whose deadlines are short."""

import asyncio
import io
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import grpc
import numpy as np
from PIL import Image

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from tests.support.pictures import file_of, picture_of

HEAVY_SIDE = 5000  # pixels: 25 million, in a file of a kilobyte or some
HEAVY_CALLS = 8  # of one client, at any time
MOST_IN_A_CALL = 40
LIGHT_CLIENTS = 10


@dataclass(slots=True)
class PictureOutcomes:
    """How calls ended, by status, of the client with heavy pictures and of those with light ones."""

    heavy: Counter[str] = field(default_factory=Counter)
    light: Counter[str] = field(default_factory=Counter)
    longest_light_seconds: float = 0.0


def heavy_pictures() -> list[bytes]:
    """Returns files of 25 million pixels: transparent ones in WebP, and white ones in PNG."""
    transparent = Image.new("RGBA", (HEAVY_SIDE, HEAVY_SIDE))
    white = Image.new("RGB", (HEAVY_SIDE, HEAVY_SIDE), "white")
    return [file_of(transparent, "WEBP", lossless=True), file_of(white, "PNG")]


def noisy_page() -> bytes:
    """Returns a page that holds as many candidates for digits as are looked at, in a small file."""
    levels = np.random.default_rng(0).integers(0, 256, (256, 256), np.uint8)
    return file_of(Image.fromarray(np.where(levels > 200, 0, 255).astype(np.uint8)))


def light_pictures() -> list[bytes]:
    """Returns files of a drawn digit, of 200 x 200 pixels: a PNG is decoded on the event loop, a JPEG on a thread."""
    with Image.open(io.BytesIO(picture_of("7"))) as digit:
        drawing = digit.resize((200, 200))
    return [file_of(drawing), file_of(drawing, "JPEG")]


def largest_mebibytes(pid: int) -> float:
    """Returns the most memory, resident, that a process has had."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


async def crowded(address: str, light_calls: int, seconds: float) -> PictureOutcomes:
    """Runs both kinds of clients until the light ones have made so many calls in all. `seconds`: their deadline."""
    outcomes, numbers = PictureOutcomes(), count()
    heavy, light, noise = heavy_pictures(), light_pictures(), noisy_page()
    loop = asyncio.get_running_loop()

    async def flood() -> None:
        async with _channel(address) as channel:
            await asyncio.gather(*(heavy_calls(DigitClassifierStub(channel), number) for number in range(HEAVY_CALLS)))

    async def heavy_calls(stub: DigitClassifierStub, number: int) -> None:
        for size in (1 + (number + 7 * turn) % MOST_IN_A_CALL for turn in count()):
            images = [digits_pb2.Image(encoded=heavy[number % len(heavy)])] * size
            outcomes.heavy[await _status(stub.Classify(digits_pb2.ClassifyRequest(images=images)))] += 1
            read = digits_pb2.ReadRequest(picture=noise)
            outcomes.heavy[f"Read {await _status(stub.Read(read))}"] += 1

    async def light_client() -> None:
        async with _channel(address) as channel:
            stub = DigitClassifierStub(channel)
            while (number := next(numbers)) < light_calls:
                picture = digits_pb2.Image(encoded=light[number % len(light)])
                began = loop.time()
                call = stub.Classify(digits_pb2.ClassifyRequest(images=[picture]), timeout=seconds)
                outcomes.light[await _status(call)] += 1
                outcomes.longest_light_seconds = max(outcomes.longest_light_seconds, loop.time() - began)

    flooding = asyncio.create_task(flood())
    try:
        await asyncio.gather(*(light_client() for _ in range(LIGHT_CLIENTS)))
    finally:
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
    return outcomes


async def _status(call: Awaitable[object]) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
    return "OK"


def _channel(address: str) -> grpc.aio.Channel:
    # A connection of its own, and with it a share of its own; no retries.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    return grpc.aio.insecure_channel(address, options)
