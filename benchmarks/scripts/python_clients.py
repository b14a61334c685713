"""Measures predictions a second that a Python program gets from our server, by call pattern.

Client and server share the machine, as in the other benchmarks. Interleaved rounds; medians with ranges.
"""

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.load.measurement import spread_of
from benchmarks.protocols.protocol import Pixels
from benchmarks.servers.example_network import sample_digits
from benchmarks.servers.running_server import run_our_server
from mnist_digits import AsyncDigitClient

WARM_UP_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class CallPattern:
    """A way to use the client: `callers` concurrent callers, each with `images` images a call."""

    title: str
    callers: int
    images: int
    client: Callable[[str], AsyncDigitClient]


def _own_rpc(address: str) -> AsyncDigitClient:
    """A client that sends each call as an RPC of its own."""
    return AsyncDigitClient(address, coalesce=False)


def _shared_rpcs(address: str) -> AsyncDigitClient:
    """A client whose concurrent calls share RPCs."""
    return AsyncDigitClient(address)


PATTERNS = (
    CallPattern("one digit a call, 32 callers", 32, 1, _own_rpc),
    CallPattern("one digit a call, 128 callers", 128, 1, _own_rpc),
    CallPattern("one digit a call, sharing RPCs, 32 callers", 32, 1, _shared_rpcs),
    CallPattern("one digit a call, sharing RPCs, 128 callers", 128, 1, _shared_rpcs),
    CallPattern("64 digits a call, 4 callers", 4, 64, _own_rpc),
)


def main(arguments: Sequence[str]) -> None:
    """Starts the server, measures every pattern in turn, prints a table."""
    options = _parser().parse_args(arguments)
    rates_of: dict[str, list[float]] = {pattern.title: [] for pattern in PATTERNS}
    pixels = sample_digits()
    with run_our_server(options.runs) as server:
        for number in range(options.rounds + 1):
            for pattern in PATTERNS:
                seconds = options.seconds if number else WARM_UP_SECONDS
                rate = asyncio.run(_predictions_per_second(f"127.0.0.1:{server.port}", pattern, pixels, seconds))
                if number:
                    rates_of[pattern.title].append(rate)
    table = Table("client", "predictions/s", title=f"medians of {options.rounds} rounds (ranges)")
    for title, rates in rates_of.items():
        table.add_row(title, str(spread_of(rates)))
    Console().print(table)


async def _predictions_per_second(address: str, pattern: CallPattern, pixels: Pixels, seconds: float) -> float:
    images = list(pixels[: pattern.images])
    began = time.perf_counter()
    async with pattern.client(address) as client:
        counts = await asyncio.gather(*(_caller(client, images, began + seconds) for _ in range(pattern.callers)))
    return sum(counts) / (time.perf_counter() - began)


async def _caller(client: AsyncDigitClient, images: list[Pixels], until: float) -> int:
    predictions = 0
    while time.perf_counter() < until:
        predictions += len(await client.classify(images, timeout_seconds=30))
    return predictions


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks python_clients", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of every pattern (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=4, help="length of each (default: %(default)s)")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark"), help="(default: %(default)s)")
    return parser
