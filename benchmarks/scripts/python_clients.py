"""Measures predictions a second that a Python program gets from our server, by call pattern.

Client and server share the machine, as in the other benchmarks. Interleaved rounds; medians with ranges.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.load.measurement import (
    PYTHON,
    PYTHON_CALLS,
    PYTHON_SHARING,
    SHARED_PYTHON_CALLS,
    Load,
    Measurement,
    spread_of,
)
from benchmarks.load.python_client import measure_python_client
from benchmarks.servers.example_network import sample_digits
from benchmarks.servers.running_server import run_our_server

WARM_UP_SECONDS = 0.5
PATTERNS = (
    Load(32, 1, client=PYTHON),
    PYTHON_CALLS,
    Load(32, 1, client=PYTHON_SHARING),
    SHARED_PYTHON_CALLS,
    Load(4, 64, client=PYTHON),
)


def main(arguments: Sequence[str]) -> None:
    """Starts the server, measures every pattern in turn, prints a table."""
    options = _parser().parse_args(arguments)
    rounds: dict[Load, list[Measurement]] = {pattern: [] for pattern in PATTERNS}
    pixels = sample_digits()
    with run_our_server(options.runs) as server:
        for number in range(options.rounds + 1):
            for pattern in PATTERNS:
                seconds = options.seconds if number else WARM_UP_SECONDS
                measured = measure_python_client(server, pattern, pixels[: pattern.images], seconds)
                if number:
                    rounds[pattern].append(measured)
    table = Table("client", "predictions/s", "p99 ms", title=f"medians of {options.rounds} rounds (ranges)")
    for pattern, measurements in rounds.items():
        predictions = spread_of([each.requests_per_second * pattern.images for each in measurements])
        table.add_row(pattern.title, str(predictions), str(spread_of([each.p99_ms for each in measurements])))
    Console().print(table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks python_clients", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of every pattern (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=4, help="length of each (default: %(default)s)")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark"), help="(default: %(default)s)")
    return parser
