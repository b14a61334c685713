"""Hours of good and bad traffic: what the server holds must not grow, and every response be right.

Callers of each kind, side by side: digits in calls of changing size, pictures, streams, calls that are too impatient,
that leave, and that are wrong. The server has the committed model; what is right it says once, at the beginning.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Collection, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from tests.chaos.service_process import ServiceProcess, running
from tests.support.processes import ROOT
from tests.support.storm import BAD_REQUESTS

KINDS = ("digits", "pictures", "streams", "impatient", "leaving", "wrong")  # of callers
LARGEST_CALL = 256
CALLERS_OF_A_KIND = 2
CONNECTIONS = 16  # the kernel deals them out by chance: with eight, a worker of two may get none for minutes
A_FEW = 8  # pools start their threads late, and a scrape is a task: what one call in a thousand leaves is far more
# Each with a connection of its own. Without a service config nothing is retried but what gRPC itself retries: a call
# that the server has not seen, as its connection had come of age.
CHANNEL_OPTIONS = [("grpc.use_local_subchannel_pool", 1)]
PATIENCE_SECONDS = 60.0
SETTLING_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Resources that the server's processes hold together, so many seconds after the start."""

    seconds: float
    resident_mebibytes: float
    descriptors: int
    threads: int
    tasks: int


@dataclass(slots=True)
class Soaked:
    """Samples, outcomes and faults of one soak."""

    samples: list[Sample] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)  # by kind and status
    faults: list[str] = field(default_factory=list)  # outcomes that no caller of this kind may get

    def left_over(self) -> list[str]:
        """Resources that the server holds at the end and did not before: descriptors, threads and tasks."""
        before, *busy, after = self.samples
        threads = max(each.threads for each in busy[: max(1, len(busy) // 3)])  # the pools have theirs by then
        allowed = {"descriptors": before.descriptors, "threads": threads, "tasks": before.tasks}
        held = {name: (most, getattr(after, name)) for name, most in allowed.items()}
        return [f"{now} {name}, {most} before" for name, (most, now) in held.items() if now > most + A_FEW]


async def soak(
    seconds: float,
    sample_seconds: float,
    show: Callable[[Sample], None] = lambda _: None,
    workers: int = 2,
    without: Collection[str] = (),
) -> Soaked:
    """Calls for so long. The first sample is taken before any call, the last when all callers have gone.

    `without`: KINDS of callers that stay away.
    """
    soaked = Soaked()
    async with running(ROOT / "models", "--workers", str(workers)) as service:
        began = asyncio.get_running_loop().time()

        async def take_sample() -> None:
            soaked.samples.append(await _sample(service, asyncio.get_running_loop().time() - began))
            show(soaked.samples[-1])

        async with AsyncExitStack() as stack:
            stubs = []
            for _ in range(CONNECTIONS):
                channel = grpc.aio.insecure_channel(service.grpc_address, CHANNEL_OPTIONS)
                stubs.append(DigitClassifierStub(await stack.enter_async_context(channel)))
            traffic = _Traffic(stubs, soaked)
            await traffic.learn()
            await take_sample()
            kinds = [kind for name, kind in traffic.kinds.items() if name not in without]
            callers = [asyncio.create_task(kind()) for kind in kinds for _ in range(CALLERS_OF_A_KIND)]
            while asyncio.get_running_loop().time() < began + seconds:
                finished, _ = await asyncio.wait(callers, timeout=sample_seconds, return_when=asyncio.FIRST_COMPLETED)
                for caller in finished:
                    caller.result()  # they end only with an error of their own, which ends the soak
                await take_sample()
            for caller in callers:
                caller.cancel()
            await asyncio.gather(*callers, return_exceptions=True)
        async with asyncio.timeout(60):
            while await service.metric("grpc_server_started_total") != await service.metric(
                "grpc_server_handled_total"
            ):
                pass  # each look is a call
        # Connections that have just been closed go one by one: what is left over stays.
        settled = asyncio.get_running_loop().time() + SETTLING_SECONDS
        await take_sample()
        while soaked.left_over() and asyncio.get_running_loop().time() < settled:
            soaked.samples.pop()
            await take_sample()
    return soaked


class _Traffic:
    """Callers without end, one method a kind."""

    def __init__(self, stubs: list[DigitClassifierStub], soaked: Soaked) -> None:
        self._stubs = stubs
        self._soaked = soaked
        self._dice = random.Random(0)
        pixels = np.load(ROOT / "tests/data/digits.npz")["pixels"][:LARGEST_CALL]
        self._pixels = [row.tobytes() for row in pixels.reshape(len(pixels), 784)]
        samples = sorted(path for path in (ROOT / "samples").iterdir() if path.suffix not in (".bin", ".md"))
        self._pictures = [path.read_bytes() for path in samples]
        self._digits: list[int] = []
        self._picture_digits: list[int] = []
        methods = (self._digits_of_any_number, self._pictures_of_people, self._streams)
        self.kinds: dict[str, Callable[[], Coroutine[Any, Any, None]]] = dict(
            zip(KINDS, (*methods, self._impatient, self._leaving, self._wrong), strict=True)
        )

    async def learn(self) -> None:
        """Makes every call once and keeps the digits, which are right from then on."""
        self._digits = await self._classify(self._raw(range(len(self._pixels))), PATIENCE_SECONDS)
        self._picture_digits = await self._classify(self._encoded(range(len(self._pictures))), PATIENCE_SECONDS)

    async def _digits_of_any_number(self) -> None:
        while True:
            # Small calls and large ones are equally likely: every size up to the largest batch comes to be run.
            which = self._some(int(2 ** self._dice.uniform(0, LARGEST_CALL.bit_length() - 1)))
            await self._call("digits", self._raw(which), [self._digits[n] for n in which])

    async def _pictures_of_people(self) -> None:
        while True:
            which = [self._dice.randrange(len(self._pictures)) for _ in range(self._dice.randint(1, 3))]
            await self._call("pictures", self._encoded(which), [self._picture_digits[n] for n in which])

    async def _streams(self) -> None:
        while True:
            sent = {n: self._some(3) for n in range(20)}
            call = self._dice.choice(self._stubs).ClassifyStream(
                [digits_pb2.ClassifyStreamRequest(id=n, request=self._raw(which)) for n, which in sent.items()],
                timeout=PATIENCE_SECONDS,
            )
            async for answer in call:
                wanted = [self._digits[n] for n in sent.pop(answer.id)]
                given = [prediction.digit for prediction in answer.response.predictions]
                self._count("streams", "OK" if given == wanted else f"{given} for {wanted}", {"OK"})
            if sent:
                self._count("streams", f"{len(sent)} requests without an answer", {"OK"})

    async def _impatient(self) -> None:
        while True:
            which = self._some(4)
            wanted, seconds = [self._digits[n] for n in which], self._dice.uniform(0.0005, 0.005)
            allowed = {"OK", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"}
            await self._call("impatient", self._raw(which), wanted, seconds, allowed)

    async def _leaving(self) -> None:
        while True:
            call = asyncio.ensure_future(self._classify(self._raw(self._some(4)), PATIENCE_SECONDS))
            await asyncio.wait({call}, timeout=self._dice.uniform(0, 0.005))
            call.cancel()
            await asyncio.wait({call})  # and not for its result: this task may itself be cancelled meanwhile
            is_fault = not call.cancelled() and call.exception()
            self._count("leaving", str(call.exception()) if is_fault else "left", {"left"})

    async def _wrong(self) -> None:
        while True:
            await self._call("wrong", self._dice.choice(BAD_REQUESTS), [], allowed={"INVALID_ARGUMENT"})
            damaged = bytearray(self._dice.choice(self._pictures))
            for _ in range(5):
                damaged[self._dice.randrange(len(damaged))] = self._dice.randrange(256)
            request = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(encoded=bytes(damaged))])
            await self._call("damaged", request, None, allowed={"OK", "INVALID_ARGUMENT"})

    async def _call(
        self,
        kind: str,
        request: digits_pb2.ClassifyRequest,
        wanted: list[int] | None,
        seconds: float = PATIENCE_SECONDS,
        allowed: set[str] | None = None,
    ) -> None:
        """Makes one call and counts its outcome. `wanted`: its digits; None: any."""
        try:
            digits = await self._classify(request, seconds)
        except grpc.aio.AioRpcError as error:
            outcome = error.code().name
        else:
            outcome = "OK" if wanted is None or digits == wanted else f"{digits} for {wanted}"
        self._count(kind, outcome, allowed or {"OK"})

    def _count(self, kind: str, outcome: str, allowed: set[str]) -> None:
        self._soaked.outcomes[f"{kind}: {outcome if outcome in allowed else 'fault'}"] += 1
        if outcome not in allowed:
            self._soaked.faults.append(f"{kind}: {outcome}")

    async def _classify(self, request: digits_pb2.ClassifyRequest, seconds: float) -> list[int]:
        answer = await self._dice.choice(self._stubs).Classify(request, timeout=seconds)
        return [prediction.digit for prediction in answer.predictions]

    def _some(self, images: int) -> list[int]:
        return [self._dice.randrange(len(self._pixels)) for _ in range(images)]

    def _raw(self, which: "range | list[int]") -> digits_pb2.ClassifyRequest:
        return digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=self._pixels[n]) for n in which])

    def _encoded(self, which: "range | list[int]") -> digits_pb2.ClassifyRequest:
        return digits_pb2.ClassifyRequest(images=[digits_pb2.Image(encoded=self._pictures[n]) for n in which])


async def _sample(service: ServiceProcess, seconds: float) -> Sample:
    tasks = int(await service.metric("mnist_tasks"))
    processes = [Path(f"/proc/{pid}") for pid in [service.pid, *service.worker_pids]]
    statuses = [dict(line.split(":", 1) for line in (p / "status").read_text().splitlines()) for p in processes]
    return Sample(
        seconds,
        resident_mebibytes=sum(int(status["VmRSS"].split()[0]) for status in statuses) / 1024,
        descriptors=sum(len(list((process / "fd").iterdir())) for process in processes),
        threads=sum(int(status["Threads"]) for status in statuses),
        tasks=tasks,
    )
