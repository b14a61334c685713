"""Compares the server of this checkout with that of another: same machine, same loads, interleaved rounds."""

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.load.h2load import LoadError, check_installed, measure
from benchmarks.load.measurement import LOADS, Load, Measurement, Spread, spread_of
from benchmarks.protocols.mnist_v1 import HTTP_PNG, HTTP_RAW
from benchmarks.protocols.open_inference import open_inference
from benchmarks.protocols.protocol import Pixels, Protocol, RequestError
from benchmarks.servers.example_network import example_repository, graph_file, sample_digits
from benchmarks.servers.lineup import ROOT, Deployment, Server, our_python, our_server
from benchmarks.servers.running_server import (
    RunningServer,
    StartError,
    WrongAnswerError,
    expected_digits,
    run_server,
)
from benchmarks.system.this_run import about_this_run

WORKERS = 2
WARM_UP_SECONDS = 1.0  # at most; never longer than a measurement
BASE, THIS = "base", "this checkout"
Rounds = dict[str, dict[str, list[Measurement]]]  # by load and revision, one measurement a round


@dataclass(frozen=True, slots=True)
class RevisionLoad:
    """A load over one of the server's contracts."""

    title: str
    protocol: Protocol
    load: Load


REVISION_LOADS = {
    **{name: RevisionLoad(f"ModelInfer, {load.title}", open_inference(), load) for name, load in LOADS.items()},
    "http-raw": RevisionLoad("HTTP, 784 bytes, 32 at once", HTTP_RAW, Load(32, 1)),
    "http-png": RevisionLoad("HTTP, PNG of 200x200, 32 at once", HTTP_PNG, Load(32, 1)),
}


def main(arguments: Sequence[str]) -> None:
    """Measures both servers, prints a table and writes the figures as JSON."""
    options = _parser().parse_args(arguments)
    check_installed()
    repository = (options.model_repository or example_repository(options.runs)).absolute()
    pixels = sample_digits()
    loads = {name: REVISION_LOADS[name] for name in options.loads}
    try:
        with _both_suspended(options.base.absolute(), repository, options.runs.absolute(), pixels) as servers:
            rounds = _measure(servers, loads, pixels, options.rounds, options.seconds)
            memory = {name: server.processes.memory_bytes() / 2**20 for name, server in servers.items()}
    except (StartError, WrongAnswerError, RequestError, LoadError) as error:
        raise SystemExit(f"error: {error}") from error
    Console(width=165).print(_table(rounds, loads, memory))
    about = about_this_run({"rounds": options.rounds, "seconds": options.seconds, "workers": WORKERS})
    content = {
        "about": about,
        "memory_mebibytes": memory,
        "loads": {
            load: {revision: [asdict(each) for each in measured] for revision, measured in by_revision.items()}
            for load, by_revision in rounds.items()
        },
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(content, indent=1) + "\n")
    print(f"written: {options.json}")


@contextmanager
def _both_suspended(base: Path, repository: Path, runs: Path, pixels: Pixels) -> Iterator[dict[str, RunningServer]]:
    """Starts both servers, and suspends each until its turn comes."""
    graph = graph_file(repository)
    expected = expected_digits(graph, pixels)
    with ExitStack() as stack:
        servers = {}
        for name, root, python in ((BASE, base, base / ".venv/bin/python"), (THIS, ROOT, our_python())):
            if not python.exists():
                raise StartError(f"{python} does not exist: install that checkout's environment first (make run)")
            folder = runs / "servers" / name.replace(" ", "-")
            folder.mkdir(parents=True, exist_ok=True)
            server = Server(name, name, open_inference(), our_server("--workers", str(WORKERS)))
            deployment = Deployment(python, graph, repository, folder, root)
            servers[name] = stack.enter_context(run_server(server, deployment, pixels, expected))
            servers[name].processes.wait_until_idle()
            servers[name].processes.suspend()
        yield servers


def _measure(
    servers: dict[str, RunningServer], loads: dict[str, RevisionLoad], pixels: Pixels, rounds: int, seconds: float
) -> Rounds:
    """One round that warms up and does not count, then `rounds`; the order of the servers alternates."""
    measured: Rounds = {name: {revision: [] for revision in servers} for name in loads}
    for number in range(rounds + 1):
        for name, load in loads.items():
            for revision in sorted(servers, reverse=bool(number % 2)):
                duration = seconds if number else min(seconds, WARM_UP_SECONDS)
                figures = _measure_one(servers[revision], load, pixels, duration)
                if number:
                    measured[name][revision].append(figures)
    return measured


def _measure_one(running: RunningServer, load: RevisionLoad, pixels: Pixels, seconds: float) -> Measurement:
    grpc_port, http_port, *_ = running.ports
    ports = (grpc_port if load.protocol.is_grpc else http_port,)
    target = replace(running, server=replace(running.server, protocol=load.protocol), ports=ports)
    running.processes.resume()
    try:
        return measure(target, load.load, pixels[: load.load.images], seconds)
    finally:
        running.processes.wait_until_idle()
        running.processes.suspend()


def _table(rounds: Rounds, loads: dict[str, RevisionLoad], memory: dict[str, float]) -> Table:
    table = Table(
        *("load", f"{BASE}: requests/s", f"{THIS}: requests/s", "ratio", "p99 ms", "CPU us/request"),
        title=f"medians (ranges); ratio: {THIS} to {BASE}, round by round; p99 and CPU: {BASE}, {THIS}",
    )
    for name, by_revision in rounds.items():
        base, this = by_revision[BASE], by_revision[THIS]
        pairs = zip(this, base, strict=True)
        ratio = spread_of([mine.requests_per_second / theirs.requests_per_second for mine, theirs in pairs])
        p99 = [spread_of([each.p99_ms for each in measured]).median for measured in (base, this)]
        cpu = [spread_of([each.cpu_us_per_request for each in measured]).median for measured in (base, this)]
        table.add_row(
            loads[name].title,
            str(_rate(base)),
            str(_rate(this)),
            str(ratio),
            f"{p99[0]:.2f}, {p99[1]:.2f}",
            f"{cpu[0]:,.0f}, {cpu[1]:,.0f}",
        )
    ratio_of_memory = f"{memory[THIS] / memory[BASE]:.2f}"
    table.add_row("memory afterwards, MiB (PSS)", f"{memory[BASE]:.0f}", f"{memory[THIS]:.0f}", ratio_of_memory)
    return table


def _rate(measured: Sequence[Measurement]) -> Spread:
    return spread_of([each.requests_per_second for each in measured])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks revisions", description=__doc__)
    shown = "(default: %(default)s)"
    parser.add_argument("base", type=Path, help="folder of the other checkout, with an environment in its .venv")
    parser.add_argument("--rounds", type=int, default=5, help=f"rounds of every load on both servers {shown}")
    parser.add_argument("--seconds", type=float, default=2.0, help=f"length of each load {shown}")
    parser.add_argument("--loads", nargs="+", choices=REVISION_LOADS, default=list(REVISION_LOADS), help=shown)
    parser.add_argument("--model-repository", type=Path, help="for both servers (default: the example network)")
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark"), help=f"folder for generated files {shown}")
    parser.add_argument("--json", type=Path, default=Path("runs/revisions.json"), help=f"file for the figures {shown}")
    return parser
