"""Measures what the page costs: Explain compared with Classify, and Classify while twenty visitors draw.

The server has half of the processors; load and visitors the others. Phases take turns, in an order that changes, so
that a machine that slows down slows all of them down.
"""

import argparse
import asyncio
import io
import os
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.load.http2_connection import Http2Connection, connect
from benchmarks.load.measurement import percentile
from benchmarks.protocols.mnist_v1 import CLASSIFY
from benchmarks.servers.example_network import sample_digits
from benchmarks.servers.running_server import free_ports

VISITORS = 20
IN_FLIGHT = 32  # of the load by gRPC, one digit a call
CONNECTIONS = 4
# The page's own pattern: a request every so often while the pen moves, an explanation when it rests, a pause to look.
DRAW_SECONDS, PAUSE_SECONDS, LOOK_SECONDS = 1.0, 0.05, 1.0
SHEET = 140  # pixels of the picture that the page sends
ALONE, WITH_VISITORS, WITH_EXPLAIN = (
    "no other load",
    f"{VISITORS} visitors drawing",
    "one caller, Explain after Explain",
)
Times = dict[str, list[float]]  # milliseconds, by kind of request


def main(arguments: Sequence[str]) -> None:
    """Prints two tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks visitors", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each phase (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a phase (default: %(default)s)")
    parser.add_argument("--model", default="mnist", help="model to serve (default: %(default)s)")
    options = parser.parse_args(arguments)
    asyncio.run(_measure(options.rounds, options.seconds, options.model))


async def _measure(rounds: int, seconds: float, model: str) -> None:
    processors = sorted(os.sched_getaffinity(0))
    servers = processors[: max(1, len(processors) // 2)]
    os.sched_setaffinity(0, servers)  # the server inherits it
    async with _server(model) as (grpc_port, http_port), aiohttp.ClientSession() as session:
        os.sched_setaffinity(0, processors[len(servers) :] or processors)
        visit = _Visits(session, f"http://127.0.0.1:{http_port}/v1")
        await visit.alone(20)
        visit.times.clear()
        await visit.alone(200)
        Console().print(_cost_table(model, visit.times))
        rates: dict[str, list[float]] = defaultdict(list)
        visit.times.clear()
        phases: dict[str, list[Callable[[], Awaitable[None]]]] = {
            ALONE: [],
            WITH_VISITORS: [visit.draw] * VISITORS,
            WITH_EXPLAIN: [visit.explain],
        }
        for _ in range(rounds):
            for name in random.sample(list(phases), len(phases)):
                rates[name].append(await _rate(grpc_port, seconds, phases[name]))
        Console().print(_load_table(rates, visit.times))


class _Visits:
    """Requests of visitors over HTTP, and how long each response took."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url
        self._pictures = [_picture(row) for row in sample_digits()[:50]]
        self.times: Times = defaultdict(list)

    async def alone(self, times: int) -> None:
        """Sends each kind of request `times` times, one after another."""
        for number in range(times):
            picture = self._pictures[number % len(self._pictures)]
            await self._request("classify", picture)
            await self._request("explain?kernels=0", picture)
            await self._request("explain", picture)

    async def draw(self) -> None:
        """Draws digits as one visitor does, until cancelled."""
        await asyncio.sleep(random.random() * (DRAW_SECONDS + LOOK_SECONDS))
        while True:
            picture, end = random.choice(self._pictures), time.perf_counter() + DRAW_SECONDS
            while time.perf_counter() < end:
                await asyncio.gather(self._request("classify", picture), asyncio.sleep(PAUSE_SECONDS))
            await self._request("explain?kernels=0", picture)
            await asyncio.sleep(LOOK_SECONDS)

    async def explain(self) -> None:
        """Requests one explanation after another, until cancelled."""
        while True:
            await self._request("explain?kernels=0", random.choice(self._pictures), "explain in a loop")

    async def _request(self, method: str, picture: bytes, name: str = "") -> None:
        began = time.perf_counter()
        async with self._session.post(f"{self._url}/{method}", data=picture) as response:
            content = await response.read()
        key = name or method
        if response.status == 200:
            self.times[key].append(1000 * (time.perf_counter() - began))
            self.times[f"{key}, KiB"].append(len(content) / 1024)
        else:
            self.times[f"{key}, {response.status}"].append(0)


async def _rate(port: int, seconds: float, others: Sequence[Callable[[], Awaitable[None]]]) -> float:
    """Measures calls of Classify a second over gRPC while `others` run."""
    body, answered = CLASSIFY.body(sample_digits()[:1]), 0
    connections = [await connect(CLASSIFY.path, port, body) for _ in range(CONNECTIONS)]
    tasks = [asyncio.ensure_future(other()) for other in others]

    def send(connection: Http2Connection) -> None:
        def on_response(received: int) -> None:
            nonlocal answered
            answered += received > 0
            send(connection)

        connection.send(on_response)

    for number in range(IN_FLIGHT):
        send(connections[number % CONNECTIONS])
    await asyncio.sleep(1)
    before, began = answered, time.perf_counter()
    await asyncio.sleep(seconds)
    rate = (answered - before) / (time.perf_counter() - began)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for connection in connections:
        connection.close()
    return rate


@asynccontextmanager
async def _server(model: str) -> AsyncIterator[tuple[int, int]]:
    grpc_port, http_port = free_ports(2)
    flags = [f"--grpc-port={grpc_port}", f"--http-port={http_port}", f"--model-name={model}", "--log-level=warning"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "serving", *flags, cwd=Path(__file__).parents[2]
    )
    try:
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            while not await _is_ready(session, http_port):
                await asyncio.sleep(0.05)
        yield grpc_port, http_port
    finally:
        process.terminate()
        await process.wait()


async def _is_ready(session: aiohttp.ClientSession, port: int) -> bool:
    try:
        async with session.get(f"http://127.0.0.1:{port}/readyz") as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False


def _picture(row: object) -> bytes:
    """A digit as the page sends it: a PNG of the sheet, ink dark on white."""
    digit = Image.fromarray(255 - row.reshape(28, 28))  # type: ignore[attr-defined]  # an array of 784
    file = io.BytesIO()
    digit.resize((SHEET, SHEET), Image.Resampling.BICUBIC).convert("RGBA").save(file, "PNG")
    return file.getvalue()


def _cost_table(model: str, times: Times) -> Table:
    table = Table("request, one at a time", "p50 ms", "p99 ms", "KiB", title=f"Time and size of a response ({model})")
    for name in ("classify", "explain?kernels=0", "explain"):
        ascending, size = sorted(times[name]), statistics.median(times[f"{name}, KiB"])
        table.add_row(
            f"/v1/{name}", f"{percentile(ascending, 50):.1f}", f"{percentile(ascending, 99):.1f}", f"{size:,.1f}"
        )
    return table


def _load_table(rates: dict[str, list[float]], times: Times) -> Table:
    table = Table("other load", "calls/s: median (range)", "ratio", title=f"Classify over gRPC, {IN_FLIGHT} at once")
    alone = statistics.median(rates[ALONE])
    for name, rounds in rates.items():
        middle = statistics.median(rounds)
        table.add_row(name, f"{middle:,.0f} ({min(rounds):,.0f} to {max(rounds):,.0f})", f"{middle / alone:.2f}")
    table.add_section()
    for name, taken in times.items():
        if "KiB" not in name:
            ascending = sorted(taken)
            middle, slowest = (percentile(ascending, percent) for percent in (50, 99))
            latency = f"{len(taken):,} responses, p50 {middle:.1f} ms, p99 {slowest:.1f} ms"
            table.add_row(f"/v1/{name}", latency, "")
    return table
