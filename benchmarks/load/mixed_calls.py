"""Calls of all kinds without end: callers who wait, who cancel, whose deadline is too short, and who hang up."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

import grpc

from benchmarks.load.http2_connection import connect
from benchmarks.protocols.mnist_v1 import CLASSIFY
from benchmarks.protocols.protocol import Pixels
from mnist_digits import AsyncDigitClient

if TYPE_CHECKING:
    Method = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]

CALLERS = {"patient": 8, "leaving": 4, "impatient": 4, "hanging-up": 2}  # by kind
LARGEST_CALL = 256  # images of a patient caller
SMALL_CALLS = 64  # requests of the others, made in advance: 1 to 4 images each
PATIENCE_SECONDS = 60.0
LEAVES_SECONDS = 0.005  # at most until a caller cancels, or until the deadline of an impatient one
HANGS_UP_SECONDS = 0.05  # at most; longer than the others, since the kernel keeps the port of a closed connection
CALLS_A_CONNECTION = 16  # of a caller who hangs up
# Channels of their own for callers who do not wait, and no retries.
_CHANNEL_OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]


class MixedCalls:
    """Callers of a port of the loopback, and how their calls ended: `outcomes`, by kind and status.

    `pixels`: (n, 784) uint8 with n of LARGEST_CALL at least.
    """

    def __init__(self, port: int, pixels: Pixels) -> None:
        self.outcomes = Counter[str]()
        self._port = port
        self._pixels = pixels
        self._chance = random.Random(0)
        self._requests = [CLASSIFY.request(pixels[at : at + 1 + at % 4]) for at in range(SMALL_CALLS)]
        self._kinds: dict[str, Callable[[], Coroutine[Any, Any, None]]] = dict(
            zip(CALLERS, (self._patient, self._leaving, self._impatient, self._hanging_up), strict=True)
        )

    def start(self, *, without: tuple[str, ...] = ()) -> list[asyncio.Task[None]]:
        """Starts all callers but those of the kinds `without`. A task ends only by an error, or when cancelled."""
        kinds = [kind for kind in CALLERS if kind not in without]
        return [asyncio.create_task(self._kinds[kind]()) for kind in kinds for _ in range(CALLERS[kind])]

    async def _patient(self) -> None:
        async with AsyncDigitClient(f"127.0.0.1:{self._port}") as client:
            while True:
                # Small calls and large ones are equally likely: every size up to the largest batch is run.
                size = int(2 ** self._chance.uniform(0, LARGEST_CALL.bit_length() - 1))
                await client.classify(list(self._pixels[:size]), timeout_seconds=PATIENCE_SECONDS)
                self.outcomes["patient OK"] += 1

    async def _leaving(self) -> None:
        async with self._channel() as channel:
            method: Method = channel.unary_unary(CLASSIFY.path)
            while True:
                call = method(self._chance.choice(self._requests), timeout=PATIENCE_SECONDS)
                done = asyncio.ensure_future(call.code())
                await asyncio.wait({done}, timeout=self._chance.uniform(0, LEAVES_SECONDS))
                call.cancel()
                self.outcomes[f"leaving {(await done).name}"] += 1

    async def _impatient(self) -> None:
        async with self._channel() as channel:
            method: Method = channel.unary_unary(CLASSIFY.path)
            while True:
                seconds = self._chance.uniform(LEAVES_SECONDS / 10, LEAVES_SECONDS)
                code = await method(self._chance.choice(self._requests), timeout=seconds).code()
                self.outcomes[f"impatient {code.name}"] += 1

    async def _hanging_up(self) -> None:
        while True:
            body = CLASSIFY.body(self._pixels[: self._chance.randint(1, 4)])
            connection = await connect(CLASSIFY.path, self._port, body)
            answered = 0

            def on_response(_: int) -> None:
                nonlocal answered
                answered += 1

            sent = self._chance.randint(1, CALLS_A_CONNECTION)
            connection.send(*[on_response] * sent)
            try:
                await asyncio.sleep(self._chance.uniform(0, HANGS_UP_SECONDS))
            finally:
                connection.close()
            self.outcomes["hanging-up after the response"] += answered
            self.outcomes["hanging-up before the response"] += sent - answered

    def _channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(f"127.0.0.1:{self._port}", _CHANNEL_OPTIONS)
