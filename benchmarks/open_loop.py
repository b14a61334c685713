"""Load at a fixed rate, whatever the server does: for the tail. Latency counts from when each request was due."""

import asyncio
import selectors
import time
from collections.abc import Callable

from benchmarks.arrivals import Arrivals, Tail
from benchmarks.h2load import GRPC_FRAME_BYTES, LoadError
from benchmarks.http2_connection import Http2Connection
from benchmarks.running_server import RunningServer
from benchmarks.wire.protocol import Pixels

CONNECTIONS = 8
GRACE_SECONDS = 5.0  # for answers, once the last request is sent


def measure_open_loop(target: RunningServer, rate: float, pixels: Pixels, seconds: float) -> Tail:
    """Sends `rate` requests a second for `seconds`, each with `pixels`. gRPC only.

    Raises LoadError where an answer is an error; those that never come are counted.
    """
    protocol = target.server.protocol
    answer_bytes = len(protocol.ask(target.port, pixels)) + GRPC_FRAME_BYTES
    tail, errors = run_open_loop(protocol.path, target.port, protocol.body(pixels), rate, seconds, answer_bytes)
    if errors:
        raise LoadError(f"{target.name}: {errors} requests ended with an error at {rate:,.0f} a second")
    return tail


def run_open_loop(
    path: str, port: int, body: bytes, rate: float, seconds: float, answer_bytes: int
) -> tuple[Tail, int]:
    """The tail, and how many answers were shorter than `answer_bytes`: those of calls that ended with an error."""
    # select() waits for microseconds; epoll and uvloop round up to whole milliseconds, which would be measured too.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        return runner.run(_run(path, port, body, rate, round(rate * seconds), answer_bytes))


async def _run(path: str, port: int, body: bytes, rate: float, count: int, answer_bytes: int) -> tuple[Tail, int]:
    loop = asyncio.get_running_loop()
    connections = []
    for _ in range(CONNECTIONS):
        _, connection = await loop.create_connection(lambda: Http2Connection(path, port, body), "127.0.0.1", port)
        connections.append(connection)
    arrivals = Arrivals(rate, count, time.perf_counter())
    errors = 0

    def on_answer(number: int) -> Callable[[int], None]:
        def answered(received: int) -> None:
            nonlocal errors
            errors += received < answer_bytes
            arrivals.answered(number, time.perf_counter())

        return answered

    for number in range(count):
        if (early := arrivals.due(number) - time.perf_counter()) > 0:
            await asyncio.sleep(early)
        connections[number % CONNECTIONS].send(on_answer(number))
        arrivals.sent(number, time.perf_counter())
    give_up = time.perf_counter() + GRACE_SECONDS
    while arrivals.outstanding and time.perf_counter() < give_up:
        await asyncio.sleep(0.01)
    for connection in connections:
        connection.close()
    return arrivals.tail(time.perf_counter()), errors
