"""`python -m benchmarks.python_clients`: predictions a second that a Python program gets from our server.

Client and server share the machine, as they do in the other benchmarks. Interleaved rounds; medians with ranges.
"""

import argparse
import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.example_network import digits_to_ask
from benchmarks.our_server import our_running_server
from benchmarks.results import spread_of
from benchmarks.wire.protocol import Pixels
from mnist_digits import AsyncDigitClient

WARM_UP_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Pattern:
    """A way of asking: so many `callers` at the same time, each with so many `images` a call."""

    title: str
    callers: int
    images: int
    client: Callable[[str], AsyncDigitClient]


def _own_rpc(address: str) -> AsyncDigitClient:
    """Each call is an RPC of its own."""
    return AsyncDigitClient(address, coalesce=False)


def _shared_rpcs(address: str) -> AsyncDigitClient:
    """Calls made at the same time share RPCs."""
    return AsyncDigitClient(address)


PATTERNS = (
    Pattern("one digit a call, 32 callers", 32, 1, _own_rpc),
    Pattern("one digit a call, 128 callers", 128, 1, _own_rpc),
    Pattern("the same, sharing RPCs, 32 callers", 32, 1, _shared_rpcs),
    Pattern("the same, sharing RPCs, 128 callers", 128, 1, _shared_rpcs),
    Pattern("64 digits a call, 4 callers", 4, 64, _own_rpc),
)


def main() -> None:
    """Starts the server, asks in every way in turns, prints a table."""
    options = _parser().parse_args()
    taken: dict[str, list[float]] = {pattern.title: [] for pattern in PATTERNS}
    pixels = digits_to_ask()
    with our_running_server(options.runs) as server:
        for number in range(options.rounds + 1):
            for pattern in PATTERNS:
                seconds = options.seconds if number else WARM_UP_SECONDS
                rate = asyncio.run(_predictions_per_second(f"127.0.0.1:{server.port}", pattern, pixels, seconds))
                if number:
                    taken[pattern.title].append(rate)
    table = Table("client", "predictions/s", title=f"medians of {options.rounds} rounds (ranges)")
    for title, rates in taken.items():
        table.add_row(title, str(spread_of(rates)))
    Console().print(table)


async def _predictions_per_second(address: str, pattern: Pattern, pixels: Pixels, seconds: float) -> float:
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
    parser = argparse.ArgumentParser(prog="python -m benchmarks.python_clients", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of every way (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=4, help="of each (default: %(default)s)")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark"), help="(default: %(default)s)")
    return parser


if __name__ == "__main__":
    main()
