"""Load by a Python program that uses our client in this process, with calls that share RPCs or have one each."""

import asyncio
import time

from benchmarks.load.h2load import LoadError
from benchmarks.load.measurement import PYTHON_SHARING, Load, Measurement, percentile
from benchmarks.protocols.protocol import Pixels
from benchmarks.servers.running_server import RunningServer
from mnist_digits import AsyncDigitClient, CallError

PATIENCE_SECONDS = 30.0


def measure_python_client(target: RunningServer, load: Load, pixels: Pixels, seconds: float) -> Measurement:
    """Loads our server `target` for `seconds` with calls that carry `pixels` (load.images, 784) uint8.

    Raises LoadError if a call failed.
    """
    cpu_before = target.processes.cpu_seconds()
    try:
        latencies, took = asyncio.run(_call(f"127.0.0.1:{target.port}", load, pixels, seconds))
    except CallError as error:
        raise LoadError(f"{target.name}: {error}") from error
    cpu = target.processes.cpu_seconds() - cpu_before
    return Measurement(
        requests_per_second=len(latencies) / took,
        p50_ms=percentile(latencies, 50),
        p99_ms=percentile(latencies, 99),
        cpu_us_per_request=cpu / len(latencies) * 1e6,
    )


async def _call(address: str, load: Load, pixels: Pixels, seconds: float) -> tuple[list[float], float]:
    """Milliseconds of all calls, ascending, and the seconds from the first call to the last response."""
    images, milliseconds = list(pixels), list[float]()
    began = time.perf_counter()
    async with AsyncDigitClient(address, coalesce=load.client == PYTHON_SHARING) as client:
        await asyncio.gather(*(_caller(client, images, began + seconds, milliseconds) for _ in range(load.concurrency)))
    return sorted(milliseconds), time.perf_counter() - began


async def _caller(client: AsyncDigitClient, images: list[Pixels], until: float, milliseconds: list[float]) -> None:
    now = time.perf_counter()
    while now < until:
        await client.classify(images, timeout_seconds=PATIENCE_SECONDS)
        before, now = now, time.perf_counter()
        milliseconds.append((now - before) * 1000)
