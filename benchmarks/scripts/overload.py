"""Measures our server at several times the rate that it can sustain (open loop), and after it.

Goodput counts the responses that came within the deadline, from when each call was due. The server has half of the
processors and the load, one Python process, the others, so that the load does not take time from the server.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.load.http2_connection import Http2Connection, OnResponse, connect
from benchmarks.load.measurement import percentile
from benchmarks.protocols.mnist_v1 import CLASSIFY
from benchmarks.servers.example_network import sample_digits
from benchmarks.servers.running_server import RunningServer, run_our_server

CONNECTIONS = 16
IN_FLIGHT, MOST_IMAGES = 128, 1024  # while the peak is measured
WARM_UP_SECONDS, PEAK_SECONDS, OVERLOAD_SECONDS, AFTER_SECONDS = 1.0, 3.0, 5.0, 1.0
TICK_SECONDS = 0.001
SIZES = (1, 16, 64)


@dataclass(frozen=True, slots=True)
class Phase:
    """Outcomes of the calls of one phase. Times in milliseconds from when a call was sent."""

    name: str
    offered: float  # calls a second
    goodput: float
    answered_ms: Sequence[float]  # ascending
    refused_ms: Sequence[float]


class _Load:
    """Calls over several connections, and the outcome of each."""

    def __init__(self, path: str, port: int, body: bytes, images: int, deadline_seconds: float) -> None:
        self._images = images
        self._deadline_seconds = deadline_seconds
        self._arguments = (path, port, body)
        self._connections: list[Http2Connection] = []
        self._answered: list[float] = []
        self._refused: list[float] = []

    async def connect(self) -> None:
        self._connections = [await connect(*self._arguments) for _ in range(CONNECTIONS)]

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    async def peak(self) -> float:
        """Measures calls a second with IN_FLIGHT at once."""
        answered, is_running = 0, True

        def send(connection: Http2Connection) -> None:
            def on_response(received: int) -> None:
                nonlocal answered
                answered += received > 0
                if is_running:
                    send(connection)

            connection.send(on_response, deadline=time.perf_counter() + self._deadline_seconds)

        for number in range(min(IN_FLIGHT, MOST_IMAGES // self._images)):  # fewer than the server would refuse
            send(self._connections[number % CONNECTIONS])
        await asyncio.sleep(WARM_UP_SECONDS)
        before, began = answered, time.perf_counter()
        await asyncio.sleep(PEAK_SECONDS)
        rate = (answered - before) / (time.perf_counter() - began)
        is_running = False
        await asyncio.sleep(self._deadline_seconds)
        return rate

    async def phase(self, name: str, rate: float, seconds: float) -> Phase:
        """Sends `rate` calls a second for `seconds`, whatever the server does."""
        self._answered, self._refused = [], []
        began, sent, good = time.perf_counter(), 0, 0

        def call_due(now: float) -> OnResponse:
            def record(received: int) -> None:
                nonlocal good
                took = time.perf_counter() - now
                (self._answered if received else self._refused).append(took * 1000)
                good += bool(received) and took <= self._deadline_seconds

            return record

        while (now := time.perf_counter()) < began + seconds:
            count = round((now - began) * rate) - sent
            for number, connection in enumerate(self._connections):
                calls = [call_due(now) for _ in range(number, count, CONNECTIONS)]
                connection.send(*calls, deadline=now + self._deadline_seconds)
            sent += count
            await asyncio.sleep(TICK_SECONDS)
        took = time.perf_counter() - began
        await asyncio.sleep(self._deadline_seconds)
        return Phase(name, sent / took, good / took, sorted(self._answered), sorted(self._refused))


def main(arguments: Sequence[str]) -> None:
    """Prints a table for each number of digits a call."""
    options = _parser().parse_args(arguments)
    processors = sorted(os.sched_getaffinity(0))
    servers = processors[: max(1, len(processors) // 2)]
    os.sched_setaffinity(0, servers)  # the server inherits it
    with run_our_server(options.runs) as server:
        os.sched_setaffinity(0, processors[len(servers) :] or processors)
        for images in options.images:
            peak, phases = asyncio.run(_overload(server, images, options.times, options.deadline_seconds))
            Console().print(_table(images, peak, phases))


async def _overload(server: RunningServer, images: int, times: float, deadline: float) -> tuple[float, list[Phase]]:
    load = _Load(CLASSIFY.path, server.port, CLASSIFY.body(sample_digits()[:images]), images, deadline)
    await load.connect()
    peak = await load.peak()
    phases = [
        await load.phase("half of the peak, before", 0.5 * peak, AFTER_SECONDS),
        await load.phase(f"{times:g} times the peak", times * peak, OVERLOAD_SECONDS),
    ]
    phases.append(await load.phase("half of the peak, the second after", 0.5 * peak, AFTER_SECONDS))
    load.close()
    return peak, phases


def _table(images: int, peak: float, phases: Sequence[Phase]) -> Table:
    table = Table(
        "load", "offered/s", "goodput/s", "share of peak", "answered p50, p99 ms", "refused", "refused p50, p99 ms"
    )
    table.title = f"{images} digits a call; peak {peak:,.0f} calls/s"
    for phase in phases:
        table.add_row(
            phase.name,
            f"{phase.offered:,.0f}",
            f"{phase.goodput:,.0f}",
            f"{phase.goodput / peak:.2f}",
            _percentiles(phase.answered_ms),
            f"{len(phase.refused_ms):,}",
            _percentiles(phase.refused_ms),
        )
    return table


def _percentiles(values: Sequence[float]) -> str:
    return ", ".join(f"{percentile(values, p):,.1f}" for p in (50, 99)) if values else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks overload", description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=SIZES, help="images a call (default: 1 16 64)")
    parser.add_argument(
        "--times", type=float, default=4.0, help="load as a multiple of the peak (default: %(default)s)"
    )
    parser.add_argument(
        "--deadline-seconds", type=float, default=1.0, help="deadline of each call (default: %(default)s)"
    )
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark"), help="(default: %(default)s)")
    return parser
