"""`python -m benchmarks.overload`: our server at several times what it can sustain, open loop, and after it.

Goodput counts the answers that came within the deadline, from when each call was due. The server has half of the
processors and the load, one Python process, the others, so that what is measured is what the server makes of it.
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

from benchmarks.example_network import digits_to_ask
from benchmarks.http2_connection import Answered, Http2Connection
from benchmarks.measurement import percentile
from benchmarks.our_server import our_running_server
from benchmarks.running_server import RunningServer
from benchmarks.wire.classify import CLASSIFY

CONNECTIONS = 16
IN_FLIGHT = 128  # while the peak is measured
WARM_UP_SECONDS, PEAK_SECONDS, OVERLOAD_SECONDS, AFTER_SECONDS = 1.0, 3.0, 5.0, 1.0
TICK_SECONDS = 0.001
SIZES = (1, 16, 64)


@dataclass(frozen=True, slots=True)
class Phase:
    """What became of the calls of one phase. Times in milliseconds, of the wire: from when a call was sent."""

    name: str
    offered: float  # calls a second
    goodput: float
    answered_ms: Sequence[float]  # ascending
    refused_ms: Sequence[float]


class _Load:
    """Calls over several connections, and what became of each."""

    def __init__(self, path: str, port: int, body: bytes, deadline_seconds: float) -> None:
        self._deadline_seconds = deadline_seconds
        self._arguments = (path, port, body)
        self._connections: list[Http2Connection] = []
        self._answered: list[float] = []
        self._refused: list[float] = []

    async def connect(self) -> None:
        _, port, *_ = self._arguments
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            _, made = await loop.create_connection(lambda: Http2Connection(*self._arguments), "127.0.0.1", port)
            self._connections.append(made)

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    async def peak(self) -> float:
        """Calls a second, answered with IN_FLIGHT at a time."""
        answered, goes_on = 0, True

        def send(connection: Http2Connection) -> None:
            def again(received: int) -> None:
                nonlocal answered
                answered += received > 0
                if goes_on:
                    send(connection)

            connection.send(again, deadline=time.perf_counter() + self._deadline_seconds)

        for number in range(IN_FLIGHT):
            send(self._connections[number % CONNECTIONS])
        await asyncio.sleep(WARM_UP_SECONDS)
        before, began = answered, time.perf_counter()
        await asyncio.sleep(PEAK_SECONDS)
        rate = (answered - before) / (time.perf_counter() - began)
        goes_on = False
        await asyncio.sleep(self._deadline_seconds)
        return rate

    async def phase(self, name: str, rate: float, seconds: float) -> Phase:
        """`rate` calls a second, whatever the server does."""
        self._answered, self._refused = [], []
        began, sent, good = time.perf_counter(), 0, 0

        def due(now: float) -> Answered:
            def told(received: int) -> None:
                nonlocal good
                took = time.perf_counter() - now
                (self._answered if received else self._refused).append(took * 1000)
                good += bool(received) and took <= self._deadline_seconds

            return told

        while (now := time.perf_counter()) < began + seconds:
            count = round((now - began) * rate) - sent
            for number, connection in enumerate(self._connections):
                calls = [due(now) for _ in range(number, count, CONNECTIONS)]
                connection.send(*calls, deadline=now + self._deadline_seconds)
            sent += count
            await asyncio.sleep(TICK_SECONDS)
        took = time.perf_counter() - began
        await asyncio.sleep(self._deadline_seconds)
        return Phase(name, sent / took, good / took, sorted(self._answered), sorted(self._refused))


def main() -> None:
    """Prints a table for each number of digits in a call."""
    options = _parser().parse_args()
    processors = sorted(os.sched_getaffinity(0))
    servers = processors[: max(1, len(processors) // 2)]
    os.sched_setaffinity(0, servers)  # the server inherits it
    with our_running_server(options.runs) as server:
        os.sched_setaffinity(0, processors[len(servers) :] or processors)
        for images in options.images:
            peak, phases = asyncio.run(_overload(server, images, options.times, options.deadline_seconds))
            Console().print(_table(images, peak, phases))


async def _overload(server: RunningServer, images: int, times: float, deadline: float) -> tuple[float, list[Phase]]:
    wire = CLASSIFY
    load = _Load(wire.path, server.port, wire.body(digits_to_ask()[:images]), deadline)
    await load.connect()
    peak = await load.peak()
    phases = [
        await load.phase("half of it, before", 0.5 * peak, AFTER_SECONDS),
        await load.phase(f"{times:g} times it", times * peak, OVERLOAD_SECONDS),
    ]
    phases.append(await load.phase("half of it, the second after", 0.5 * peak, AFTER_SECONDS))
    load.close()
    return peak, phases


def _table(images: int, peak: float, phases: Sequence[Phase]) -> Table:
    table = Table("load", "offered/s", "goodput/s", "of peak", "answered p50, p99 ms", "refused", "refused p50, p99 ms")
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
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=SIZES, help="a call (default: 1 16 64)")
    parser.add_argument("--times", type=float, default=4.0, help="the peak (default: %(default)s)")
    parser.add_argument("--deadline-seconds", type=float, default=1.0, help="of each call (default: %(default)s)")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark"), help="(default: %(default)s)")
    return parser


if __name__ == "__main__":
    main()
