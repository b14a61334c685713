"""`python -m benchmarks`: interleaved rounds of every load on every server, medians with ranges, and ratios."""

import argparse
import json
import platform
import statistics
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks import targets
from benchmarks.h2load import Load, Measurement, check_installed, measure
from benchmarks.targets import Target

LOADS = (Load(1, 1), Load(32, 1), Load(128, 1), Load(8, 64))
PEERS = {"echo": targets.echo, "echo-listeners": targets.echo_with_listeners}
RESULTS = Path("runs/benchmark.json")

Results = dict[str, dict[Load, list[Measurement]]]


def main() -> None:
    """Runs the benchmark, prints the tables and writes the figures as JSON."""
    options = _parser().parse_args()
    check_installed()
    with ExitStack() as stack:
        ours = stack.enter_context(targets.our_server(options.model_repository))
        running = [ours, *(stack.enter_context(PEERS[name]()) for name in options.peers)]
        results = _measure_all(running, options.rounds, options.seconds)
        memory = {target.name: target.memory_bytes() / 2**20 for target in running}
    _print(results, memory, ours.name)
    _write(results, memory, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--peers", nargs="*", choices=sorted(PEERS), default=sorted(PEERS), help="(default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="of every load on every server (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=4, help="of each load (default: %(default)s)")
    parser.add_argument("--model-repository", default="models", help="(default: %(default)s)")
    return parser


def _measure_all(running: list[Target], rounds: int, seconds: int) -> Results:
    """Round by round, so that a noisy minute of the machine falls on everybody."""
    results: Results = {target.name: defaultdict(list) for target in running}
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("measuring", total=(rounds + 1) * len(LOADS) * len(running))
        for number in range(rounds + 1):
            for load in LOADS:
                for target in running:
                    measured = measure(target, load, targets.request_body(load.images), seconds if number else 1)
                    if number:  # the first, short round only warms up
                        results[target.name][load].append(measured)
                    progress.advance(task)
    return results


def _print(results: Results, memory: dict[str, float], ours: str) -> None:
    console = Console(width=120)
    for load in LOADS:
        title = f"{load.images} digit(s) a request, {load.concurrency} at once"
        table = Table("server", "requests/s (range)", "p50 ms", "p99 ms", "server CPU us/request", "ratio", title=title)
        for name, measured in results.items():
            rates = [m.requests_per_second for m in measured[load]]
            ratios = [
                mine.requests_per_second / theirs.requests_per_second
                for mine, theirs in zip(results[ours][load], measured[load], strict=True)
            ]
            table.add_row(
                name,
                f"{statistics.median(rates):,.0f} ({min(rates):,.0f} to {max(rates):,.0f})",
                f"{statistics.median(m.p50_ms for m in measured[load]):.2f}",
                f"{statistics.median(m.p99_ms for m in measured[load]):.2f}",
                f"{statistics.median(m.cpu_us_per_request for m in measured[load]):,.0f}",
                "" if name == ours else f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            )
        console.print(table)
    console.print("ratio: ours to theirs, requests per second, median of the rounds (range)")
    console.print("memory: " + ", ".join(f"{name} {mebibytes:.0f} MiB" for name, mebibytes in memory.items()))


def _write(results: Results, memory: dict[str, float], options: argparse.Namespace) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    content = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"processor": platform.processor() or platform.machine(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("grpcio", "onnxruntime", "uvloop", "protobuf")},
        "seconds": options.seconds,
        "memory_mebibytes": memory,
        "results": [
            {"server": name, **asdict(load), "rounds": [asdict(m) for m in rounds]}
            for name, measured in results.items()
            for load, rounds in measured.items()
        ],
    }
    RESULTS.write_text(json.dumps(content, indent=1) + "\n")
    print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
