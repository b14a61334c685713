"""Compares our server with its peers, all with the same network, in interleaved rounds: medians and ranges."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks.compare.chart import draw
from benchmarks.compare.comparison import Comparison
from benchmarks.compare.plan import Need, Plan, plan_loads
from benchmarks.compare.results import Results
from benchmarks.compare.tables import print_results
from benchmarks.compare.targets import TARGETS, needs_of, read_evidence, target_table
from benchmarks.load.h2load import LoadError, check_installed
from benchmarks.load.in_process import CEILINGS
from benchmarks.load.measurement import LOADS, PICTURE_LOADS, Load, OpenLoop
from benchmarks.protocols.protocol import RequestError
from benchmarks.servers.environments import InstallError
from benchmarks.servers.lineup import OURS, PEERS, VARIANTS
from benchmarks.servers.running_server import StartError, WrongAnswerError
from benchmarks.system.this_run import about_this_run


def main(arguments: Sequence[str]) -> None:
    """Runs the comparison, prints the tables, writes the figures as JSON and draws them."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.open_loop and options.targets is not None:
        parser.error("--open-loop measures fixed rates only, without --targets")
    plan = Plan(_loads(options), options.rounds, options.seconds, options.runs, options.model_repository)
    if not plan.loads:
        parser.error("no server is named by --ours, --peers or --targets")
    check_installed()  # last: a plan that makes no sense is refused whatever is installed
    titles = {server.name: server.title for server in plan.servers}
    titles |= {ceiling.name: ceiling.title for ceiling in CEILINGS}
    results = Results(titles, about_this_run({"rounds": plan.rounds, "seconds": plan.seconds}))
    comparison = Comparison(plan, results)
    try:
        comparison.prepare()
        if not options.open_loop:
            comparison.measure_alone()
        comparison.measure_together()
    except (InstallError, StartError, WrongAnswerError, RequestError, LoadError) as error:
        raise SystemExit(f"error: {error}") from error
    print_results(results, plan.servers[0].name, Console(width=130))
    runs = plan.runs.parent
    _write(results, runs / ("open_loop.json" if options.open_loop else "benchmark.json"))
    if options.targets is not None:
        print(target_table(options.targets or TARGETS, read_evidence(runs / "benchmark.json", runs / "soak.json")))


def _loads(options: argparse.Namespace) -> dict[str, tuple[Load | OpenLoop, ...]]:
    """The loads of each server that the options ask for."""
    needs: list[Need] = []
    if options.targets is not None:
        for server, load in needs_of(options.targets or TARGETS):
            if isinstance(load, OpenLoop):
                load = replace(load, seconds=options.open_loop_seconds)
            needs.append((server, load))
    rates = [OpenLoop(rate, options.seconds) for rate in options.open_loop or ()]
    named = [(LOADS | PICTURE_LOADS)[name] for name in options.loads]
    return plan_loads((*options.ours, *options.peers), rates or named, needs)


def _write(results: Results, path: Path) -> None:
    results.write(path)
    print(f"written: {path}")
    picture = path.with_suffix(".png")
    if draw(results, picture):
        print(f"drawn: {picture}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="Other commands: python -m benchmarks revisions | chart | codec_time | inference_time | overload | "
        "picture_cost | python_clients | soak | startup | targets | visitors, each with --help.",
    )
    ours, peers = [server.name for server in OURS], [server.name for server in PEERS]
    variants = [server.name for server in VARIANTS]
    shown = "(default: %(default)s)"
    parser.add_argument(
        "--ours",
        nargs="*",
        choices=[*ours, *variants],
        default=ours,
        help=f"our servers; the first is the reference of all ratios {shown}",
    )
    parser.add_argument("--peers", nargs="*", choices=peers, default=peers, help=shown)
    parser.add_argument("--loads", nargs="+", choices=LOADS | PICTURE_LOADS, default=list(LOADS), help=shown)
    parser.add_argument(
        "--targets",
        nargs="*",
        choices=TARGETS,
        help="measure in addition what these rows of the table of targets need, and print it (all, if none is named)",
    )
    parser.add_argument(
        "--open-loop-seconds", type=float, default=60, help=f"length of the targets' open loop in each round {shown}"
    )
    parser.add_argument("--rounds", type=int, default=5, help=f"rounds of every load on every server {shown}")
    parser.add_argument("--seconds", type=float, default=4, help=f"length of each load {shown}")
    parser.add_argument(
        "--open-loop", nargs="+", type=float, metavar="RATE", help="send at fixed rates a second instead of the loads"
    )
    parser.add_argument("--model-repository", type=Path, default=Path("models"), help=shown)
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark"), help=f"folder for generated files {shown}")
    return parser
