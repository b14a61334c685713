"""Open-loop load: requests at a fixed rate, whatever the server does. Latency counts from when each was due."""

import asyncio
import selectors
import time

from benchmarks.load.arrivals import Arrivals, Tail
from benchmarks.load.h2load import LoadError
from benchmarks.load.http2_connection import OnResponse, connect
from benchmarks.load.measurement import CONNECTIONS, OpenLoop
from benchmarks.protocols.protocol import GRPC_PREFIX_BYTES, Pixels
from benchmarks.servers.running_server import RunningServer

GRACE_SECONDS = 5.0  # for responses, once the last request is sent


def measure_open_loop(target: RunningServer, load: OpenLoop, pixels: Pixels) -> Tail:
    """Sends requests at a fixed rate, each with `pixels` (n, 784) uint8. gRPC only.

    Raises LoadError if a response is an error. Requests without a response are counted.
    """
    protocol = target.server.protocol
    response_bytes = len(protocol.call(target.port, pixels)) + GRPC_PREFIX_BYTES
    tail, errors = run_open_loop(
        protocol.path, target.port, protocol.body(pixels), load.rate, load.seconds, response_bytes
    )
    if errors:
        raise LoadError(f"{target.name}: {errors} requests ended with an error at {load.title}")
    return tail


def run_open_loop(
    path: str, port: int, body: bytes, rate: float, seconds: float, response_bytes: int
) -> tuple[Tail, int]:
    """Sends `body` to `path` at `rate` a second; returns latency and the number of calls that ended with an error.

    A response shorter than `response_bytes` is an error.
    """
    # select() waits for microseconds; epoll and uvloop round up to whole milliseconds, which would be measured too.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        return runner.run(_run(path, port, body, rate, round(rate * seconds), response_bytes))


async def _run(path: str, port: int, body: bytes, rate: float, count: int, response_bytes: int) -> tuple[Tail, int]:
    connections = [await connect(path, port, body) for _ in range(CONNECTIONS)]
    arrivals = Arrivals(rate, count, time.perf_counter())
    errors = 0

    def on_response(number: int) -> OnResponse:
        def record(received: int) -> None:
            nonlocal errors
            errors += received < response_bytes
            arrivals.record_response(number, time.perf_counter())

        return record

    for number in range(count):
        if (early := arrivals.due(number) - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        connections[number % CONNECTIONS].send(on_response(number))
        arrivals.record_sent(number, time.perf_counter())
    give_up = time.perf_counter() + GRACE_SECONDS
    while arrivals.outstanding and time.perf_counter() < give_up:
        await asyncio.sleep(0.01)
    for connection in connections:
        connection.close()
    return arrivals.tail(time.perf_counter()), errors
