"""Compares our server with its peers, all with the same network, in interleaved rounds: medians and ranges."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.compare.chart import draw
from benchmarks.compare.comparison import Comparison, Plan
from benchmarks.compare.results import Results, about_this_run
from benchmarks.compare.tables import print_results
from benchmarks.load.h2load import LoadError, check_installed
from benchmarks.load.in_process import CEILINGS
from benchmarks.load.measurement import LOADS
from benchmarks.protocols.protocol import RequestError
from benchmarks.servers.environments import InstallError
from benchmarks.servers.lineup import OURS, PEERS, SERVERS, VARIANTS
from benchmarks.servers.running_server import StartError, WrongAnswerError


def main(arguments: Sequence[str]) -> None:
    """Runs the comparison, prints the tables, writes the figures as JSON and draws them."""
    options = _parser().parse_args(arguments)
    check_installed()
    plan = Plan(
        servers=tuple(SERVERS[name] for name in (*options.ours, *options.peers)),
        loads=tuple(LOADS[name] for name in options.loads),
        rounds=options.rounds,
        seconds=options.seconds,
        runs=options.runs,
        models=options.model_repository,
    )
    titles = {server.name: server.title for server in plan.servers}
    titles |= {ceiling.name: ceiling.title for ceiling in CEILINGS}
    results = Results(titles, about_this_run({"rounds": plan.rounds, "seconds": plan.seconds}))
    comparison = Comparison(plan, results)
    try:
        comparison.prepare()
        if options.open_loop:
            comparison.measure_tails(options.open_loop)
        else:
            comparison.measure_alone()
            comparison.measure_together()
    except (InstallError, StartError, WrongAnswerError, RequestError, LoadError) as error:
        raise SystemExit(f"error: {error}") from error
    print_results(results, plan.servers[0].name, Console(width=130))
    _write(results, plan.runs.parent / ("open_loop.json" if options.open_loop else "benchmark.json"))


def _write(results: Results, path: Path) -> None:
    results.write(path)
    print(f"written: {path}")
    if results.rounds:
        picture = path.with_suffix(".png")
        draw(results, picture)
        print(f"drawn: {picture}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="Other commands: python -m benchmarks revisions | chart | codec_time | inference_time | overload | "
        "python_clients | soak | startup | visitors, each with --help.",
    )
    ours, peers = [server.name for server in OURS], [server.name for server in PEERS]
    variants = [server.name for server in VARIANTS]
    shown = "(default: %(default)s)"
    parser.add_argument(
        "--ours",
        nargs="+",
        choices=[*ours, *variants],
        default=ours,
        help=f"our servers; the first is the reference of all ratios {shown}",
    )
    parser.add_argument("--peers", nargs="*", choices=peers, default=peers, help=shown)
    parser.add_argument("--loads", nargs="+", choices=LOADS, default=list(LOADS), help=shown)
    parser.add_argument("--rounds", type=int, default=5, help=f"rounds of every load on every server {shown}")
    parser.add_argument("--seconds", type=float, default=4, help=f"length of each load {shown}")
    parser.add_argument(
        "--open-loop", nargs="+", type=float, metavar="RATE", help="send at fixed rates a second instead of the loads"
    )
    parser.add_argument("--model-repository", type=Path, default=Path("models"), help=shown)
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark"), help=f"folder for generated files {shown}")
    return parser
