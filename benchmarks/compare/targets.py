"""Compares what was measured with the project's targets: a row for each, its limit, its figure, and whether it is met.

`python -m benchmarks --targets` measures all that the rows need, but for the soak (`python -m benchmarks soak`).
"""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.compare.check import (
    Check,
    Evidence,
    figure,
    ratio,
    ready_memory,
    requests_per_second,
    soaked_bytes,
    soaked_growth,
    soaked_memory,
    tail,
)
from benchmarks.compare.plan import Need
from benchmarks.compare.results import read_results
from benchmarks.load.in_process import CEILINGS
from benchmarks.load.measurement import (
    LOADS,
    MANY_CONNECTIONS,
    PICTURE_LOADS,
    PYTHON_CALLS,
    SHARED_PYTHON_CALLS,
    Measurement,
    OpenLoop,
)
from benchmarks.system.memory_record import read_record

ONE, THIRTY_TWO, MANY, BATCHES = LOADS.values()
STEADY = OpenLoop(5000, 60)


@dataclass(frozen=True, slots=True)
class Target:
    """A row of the table, and the figures that decide it."""

    what: str
    checks: tuple[Check, ...]

    def cells(self, evidence: Evidence) -> tuple[str, str, str, str]:
        """The row: what, the limits, the figures, and whether each limit is met."""
        figures: list[str] = []
        for check in self.checks:
            text = check.measured(evidence)
            if check.spread(evidence) or text not in figures:  # a reason why there is no figure is named once
                figures.append(text)
        limits = filter(None, (check.limit() for check in self.checks))
        verdicts = filter(None, (check.verdict(evidence) for check in self.checks))
        return self.what, "; ".join(limits), "; ".join(figures), "; ".join(verdicts)


def p50(measured: Measurement) -> float:
    """Median latency in milliseconds."""
    return measured.p50_ms


def p99(measured: Measurement) -> float:
    """99th percentile of latency in milliseconds."""
    return measured.p99_ms


def cpu(measured: Measurement) -> float:
    """Processor time of the server in microseconds a request."""
    return measured.cpu_us_per_request


def _to_fastapi(server: str) -> tuple[Check, ...]:
    """The limits of a server over HTTP, under both loads."""
    return tuple(
        check
        for load in (THIRTY_TWO, MANY)
        for check in (
            ratio(server, "fastapi", load, at_least=1.2),
            ratio(server, "fastapi", load, p99, at_most=0.8),
        )
    )


def _to_pillow(server: str, picture: str) -> tuple[Check, ...]:
    """The figures of a server with one kind of picture, at 1, 8 and 32 connections. No limits."""
    return tuple(
        ratio(server, "fastapi-pictures", load, value)
        for load in PICTURE_LOADS.values()
        if load.picture == picture
        for value in (requests_per_second, p99)
    )


# By name on the command line. The limits were set on 28 November 2026, when grpc.aio took 342 us of processor time a
# call, and the Python client got 16,410/s and 2,704/s.
TARGETS = {
    "triton-32": Target(
        "one digit, 32 at once, to Triton: requests/s; p99",
        (
            ratio("ours", "triton", THIRTY_TWO, at_least=1.5),
            ratio("ours", "triton", THIRTY_TWO, p99, at_most=0.6),
        ),
    ),
    "triton-128": Target(
        "one digit, 128 at once, to Triton: requests/s; p99",
        (ratio("ours", "triton", MANY, at_least=1.7), ratio("ours", "triton", MANY, p99, at_most=0.8)),
    ),
    "triton-1": Target("one digit, 1 at once, p50 to Triton's", (ratio("ours", "triton", ONE, p50, at_most=0.75),)),
    "int8": Target(
        "one digit with the shipped int8, 32 and 128 at once, to Triton",
        (
            ratio("ours-int8", "triton", THIRTY_TWO, at_least=2.0),
            ratio("ours-int8", "triton", MANY, at_least=2.4),
        ),
    ),
    "fastapi": Target(
        "one digit, 128 at once, to FastAPI raw with two workers", (ratio("ours", "fastapi", MANY, at_least=1.5),)
    ),
    "http": Target(
        "/v1/classify with 784 bytes over HTTP, 32 and 128 at once, to FastAPI raw with two workers: requests/s; p99",
        _to_fastapi("ours-http"),
    ),
    "http-infer": Target("/v2/models/mnist/infer with binary tensors, the same", _to_fastapi("ours-http-infer")),
    "png": Target(
        "PNG of 200x200 over HTTP, 1, 8 and 32 at once, to FastAPI with Pillow and two workers: requests/s; p99",
        _to_pillow("ours-pictures", "png"),
    ),
    "png-one": Target("the same with one worker", _to_pillow("ours-one-pictures", "png")),
    "jpeg": Target(
        "JPEG of 800x800 over HTTP, 1, 8 and 32 at once, to FastAPI with Pillow and two workers: requests/s; p99",
        _to_pillow("ours-pictures", "jpeg"),
    ),
    "jpeg-one": Target("the same with one worker", _to_pillow("ours-one-pictures", "jpeg")),
    "echo": Target(
        "one digit, 32 at once, one worker, to a completion-queue echo in one process",
        (ratio("ours-one", "echo-completion-queue", THIRTY_TWO, at_least=0.3),),
    ),
    "batches": Target(
        "64 digits, 8 at once, to Triton; to ONNX Runtime alone in two processes",
        (ratio("ours", "triton", BATCHES, at_least=1.7), ratio("ours", "onnxruntime-2", BATCHES, at_least=0.8)),
    ),
    "switched-on": Target(
        "32 at once: metrics on against off, one worker; access log on against off, two workers",
        (
            ratio("ours-one", "ours-one-unmetered", THIRTY_TWO, at_least=0.97),
            ratio("ours-logged", "ours", THIRTY_TWO, at_least=0.9),
        ),
    ),
    "processor-time": Target(
        "processor time a call, 32 at once, int8", (figure("ours-int8", THIRTY_TWO, cpu, "us", at_most=110),)
    ),
    "python": Target(
        "Python client, 128 calls at once: sharing RPCs; an RPC each",
        (
            figure("ours", SHARED_PYTHON_CALLS, requests_per_second, "/s", at_least=16_410),
            figure("ours", PYTHON_CALLS, requests_per_second, "/s", at_least=2 * 2_704),
        ),
    ),
    "memory": Target(
        "memory (PSS) of one worker with the model mnist, when ready", (ready_memory("ours-one-mnist", at_most=105),)
    ),
    "soak": Target(
        "memory (PSS) of one worker with the model mnist after an hour of mixed calls with leavers; its growth",
        (soaked_memory(at_most=125), soaked_growth(at_most=1), soaked_bytes()),
    ),
    "connections": Target(
        "100 connections of one stream each, 2 workers: failed rounds; requests/s, p50, p99",
        (
            figure("ours", MANY_CONNECTIONS, lambda _: 0, "failed", at_most=0),
            figure("ours", MANY_CONNECTIONS, requests_per_second, "/s"),
            figure("ours", MANY_CONNECTIONS, p50, "ms"),
            figure("ours", MANY_CONNECTIONS, p99, "ms"),
        ),
    ),
    "open-loop": Target(
        "open loop at 5,000/s for a minute, 2 workers: calls without a response; p99; p50, and how late it sent (p99)",
        (
            tail("ours", STEADY, lambda measured: measured.unanswered, "failed", at_most=0),
            tail("ours", STEADY, lambda measured: measured.p99_ms, "ms", at_most=5),
            tail("ours", STEADY, lambda measured: measured.p50_ms, "ms"),
            tail("ours", STEADY, lambda measured: measured.sent_late_ms, "ms"),
        ),
    ),
}


def needs_of(names: Iterable[str]) -> list[Need]:
    """Servers and loads that the targets `names` need. ONNX Runtime alone is measured with every 64 digits."""
    alone = {ceiling.name for ceiling in CEILINGS}
    needs = [need for name in names for check in TARGETS[name].checks for need in check.needs]
    return [need for need in dict.fromkeys(needs) if need[0] not in alone]


def target_table(names: Iterable[str], evidence: Evidence) -> str:
    """The table, as Markdown."""
    rows = [("what", "at least", "measured", "met?"), ("---",) * 4]
    rows += [TARGETS[name].cells(evidence) for name in names]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def read_evidence(results: Path, soak: Path) -> Evidence:
    """Reads the file of a comparison, and that of a soak if there is one."""
    return Evidence(read_results(results), read_record(soak) if soak.exists() else None)


def main(arguments: Sequence[str]) -> None:
    """Prints the table of targets from the files of a comparison and a soak."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks targets", description=__doc__)
    shown = "(default: %(default)s)"
    parser.add_argument("names", metavar="TARGET", nargs="*", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--results", type=Path, default=Path("runs/benchmark.json"), help=shown)
    parser.add_argument("--soak", type=Path, default=Path("runs/soak.json"), help=shown)
    options = parser.parse_args(arguments)
    names = options.names or list(TARGETS)
    if unknown := [name for name in names if name not in TARGETS]:
        parser.error(f"{', '.join(unknown)}: no target; expected some of {', '.join(TARGETS)}")
    evidence = read_evidence(options.results, options.soak)
    print(target_table(names, evidence))
    about = evidence.results.about
    print(f"\n{about['rounds']} rounds of {about['seconds']:g} s, {about['when'][:10]}, {about['processor']}")
