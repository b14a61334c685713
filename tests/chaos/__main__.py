"""`python -m tests.chaos`: long forms of short tests, and a table of their outcomes.

`python -m tests.chaos soak --minutes 60` is what `make soak` runs; `--without leaving impatient` keeps callers away who
do not wait for their answers, whose calls leak memory in grpcio (grpc/grpc#43360).
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.system.memory import growth
from tests.chaos import ends, reloads
from tests.chaos.pictures import crowded, largest_mebibytes
from tests.chaos.service_process import running
from tests.chaos.soak import KINDS, Sample, soak
from tests.support.storm import KINDS_WITH_RAISING, storm
from tests.support.tiny_model import write_tiny_version

ALLOWED_MEBIBYTES_AN_HOUR = 1.0
SETTLING = 0.1  # of the soak's samples, at the begin: buffers grow to their size
STORM_ROUNDS, KILL_SECONDS, KILL_PAUSE_SECONDS, RESTARTS, SWAPS = 2000, 60, 3.0, 20, 200
LIGHT_PICTURES, PICTURE_DEADLINE_SECONDS = 3000, 1.0


@dataclass(frozen=True, slots=True)
class Row:
    """A fault, how often it was tried, its outcome, and the number of calls that were lost."""

    fault: str
    tried: str
    outcome: str
    lost: int


def main() -> int:
    """Returns 0 when nothing was lost and nothing grew."""
    options = _parser().parse_args()
    names = options.scenarios or [name for name in SCENARIOS if name != "soak"]
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "models"
        write_tiny_version(repository)
        rows = [row for name in names for row in asyncio.run(SCENARIOS[name](repository, options))]
    table = Table("fault", "tried", "outcome", "lost")
    for row in rows:
        table.add_row(row.fault, row.tried, row.outcome, str(row.lost))
    Console().print(table)
    return 1 if any(row.lost for row in rows) else 0


async def _storm(repository: Path, _: argparse.Namespace) -> list[Row]:
    rows = []
    for workers in ("1", "2"):
        async with running(repository, "--workers", workers, "--max-batch-size", "16") as service:
            result = await storm(service.grpc_address, STORM_ROUNDS, kinds=KINDS_WITH_RAISING)
        outcome = ", ".join(sorted(f"{kind.value} {code} {n:,}" for (kind, code), n in result.outcomes.items()))
        tried = f"{result.calls:,} calls, 32 at a time, {result.rounds:,} rounds"
        rows.append(Row(f"a storm, {workers} worker(s)", tried, outcome, result.faults))
    return rows


async def _kills(repository: Path, _: argparse.Namespace) -> list[Row]:
    ended = await ends.workers_killed(repository, int(KILL_SECONDS / KILL_PAUSE_SECONDS), KILL_PAUSE_SECONDS)
    outcome = f"{ended.calls.answered:,} calls answered, each worker replaced; {dict(ended.calls.failed)}"
    return [Row("a worker killed with -9 every few seconds", f"{ended.ends} kills", outcome, ended.calls.lost)]


async def _restarts(repository: Path, _: argparse.Namespace) -> list[Row]:
    ended = await ends.restarted_in_turn(repository, RESTARTS)
    outcome = f"{ended.calls.answered:,} calls answered, exit status 0 each time; {dict(ended.calls.failed)}"
    return [Row("two servers restarted in turn by SIGTERM", f"{ended.ends} restarts", outcome, ended.calls.lost)]


async def _pictures(repository: Path, _: argparse.Namespace) -> list[Row]:
    rows = []
    for workers in ("1", "2"):
        async with running(repository, "--workers", workers) as service:
            found = await crowded(service.grpc_address, LIGHT_PICTURES, PICTURE_DEADLINE_SECONDS)
            largest = max(map(largest_mebibytes, service.worker_pids or [service.pid]))
        outcome = (
            f"light ones {dict(found.light)}, the longest {found.longest_light_seconds:.2f} s; heavy calls"
            f" {dict(found.heavy)}; a worker had {largest:.0f} MiB at most"
        )
        lost = found.light.total() - found.light["OK"]
        tried = f"{found.light.total():,} light ones with {PICTURE_DEADLINE_SECONDS:g} s"
        rows.append(
            Row(f"heavy pictures from one client, light ones from ten, {workers} worker(s)", tried, outcome, lost)
        )
    return rows


async def _reloads(repository: Path, _: argparse.Namespace) -> list[Row]:
    swapped = await reloads.swapped(repository, SWAPS)
    outcome = f"{swapped.calls.answered:,} calls answered; {swapped.refused} broken versions refused"
    return [Row("versions swapped, every third one broken", f"{SWAPS} versions", outcome, swapped.calls.lost)]


async def _soak(_: Path, options: argparse.Namespace) -> list[Row]:
    minutes = options.minutes

    def show(sample: Sample) -> None:
        print(sample, flush=True)

    soaked = await soak(minutes * 60, max(5.0, minutes), show, without=options.without)
    busy = soaked.samples[int(len(soaked.samples) * SETTLING) : -1]
    found = growth([each.seconds / 3600 for each in busy], [each.resident_mebibytes for each in busy])
    verdict = found.verdict(ALLOWED_MEBIBYTES_AN_HOUR)
    quiet = soaked.samples[-1]
    left_over = soaked.left_over()
    outcome = (
        f"memory {found.slope:+.2f} +- {found.uncertainty:.2f} MiB an hour: {verdict}; left over:"
        f" {', '.join(left_over) or 'nothing'}; at the end {quiet.descriptors} descriptors, {quiet.threads} threads,"
        f" {quiet.tasks} tasks, {quiet.resident_mebibytes:.0f} MiB; {dict(sorted(soaked.outcomes.items()))}"
    )
    grows = verdict == "it grows"
    calls = f"{soaked.outcomes.total():,} calls in {minutes:g} minutes, without {options.without}"
    return [Row("good and bad traffic of all kinds", calls, outcome, len(soaked.faults) + grows + len(left_over))]


SCENARIOS: dict[str, Callable[[Path, argparse.Namespace], Coroutine[Any, Any, list[Row]]]] = {
    "storm": _storm,
    "kills": _kills,
    "restarts": _restarts,
    "reloads": _reloads,
    "pictures": _pictures,
    "soak": _soak,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)} (default: all but soak)"
    )
    parser.add_argument("--minutes", type=float, default=60, help="of the soak (default: %(default)s)")
    parser.add_argument(
        "--without", nargs="+", default=[], choices=KINDS, help="of the soak: kinds of callers that stay away"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
