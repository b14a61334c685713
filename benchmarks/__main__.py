"""`python -m benchmarks`: our server and its peers on the same network, in interleaved rounds; medians and ranges."""

import argparse
from pathlib import Path

from rich.console import Console

from benchmarks.chart import draw
from benchmarks.comparison import Comparison, Plan
from benchmarks.environments import InstallError
from benchmarks.h2load import LoadError, check_installed
from benchmarks.in_process import LIMITS
from benchmarks.lineup import OURS, PEERS, SERVERS, VARIANTS
from benchmarks.measurement import Load
from benchmarks.results import Results, about_this_run
from benchmarks.running_server import StartError, WrongAnswerError
from benchmarks.tables import print_results
from benchmarks.wire.protocol import AskError

LOADS = {"1": Load(1, 1), "32": Load(32, 1), "128": Load(128, 1), "64x8": Load(8, 64)}


def main() -> None:
    """Runs the comparison, prints the tables, writes the figures as JSON and draws them."""
    options = _parser().parse_args()
    check_installed()
    plan = Plan(
        servers=tuple(SERVERS[name] for name in (*options.ours, *options.peers)),
        loads=tuple(LOADS[name] for name in options.loads),
        rounds=options.rounds,
        seconds=options.seconds,
        runs=options.runs,
        models=options.model_repository,
    )
    titles = {server.name: server.title for server in plan.servers} | {limit.name: limit.title for limit in LIMITS}
    results = Results(titles, about_this_run({"rounds": plan.rounds, "seconds": plan.seconds}))
    comparison = Comparison(plan, results)
    try:
        comparison.prepare()
        if options.open_loop:
            comparison.measure_tails(options.open_loop)
        else:
            comparison.measure_alone()
            comparison.measure_together()
    except (InstallError, StartError, WrongAnswerError, AskError, LoadError) as error:
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
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    ours, peers = [server.name for server in OURS], [server.name for server in PEERS]
    variants = [server.name for server in VARIANTS]
    shown = "(default: %(default)s)"
    parser.add_argument(
        "--ours",
        nargs="+",
        choices=[*ours, *variants],
        default=ours,
        help=f"the first is compared with all others {shown}",
    )
    parser.add_argument("--peers", nargs="*", choices=peers, default=peers, help=shown)
    parser.add_argument("--loads", nargs="+", choices=LOADS, default=list(LOADS), help=shown)
    parser.add_argument("--rounds", type=int, default=5, help=f"of every load on every server {shown}")
    parser.add_argument("--seconds", type=int, default=4, help=f"of each load {shown}")
    parser.add_argument(
        "--open-loop", nargs="+", type=float, metavar="RATE", help="requests a second at fixed times, in place of loads"
    )
    parser.add_argument("--model-repository", type=Path, default=Path("models"), help=shown)
    parser.add_argument("--runs", type=Path, default=Path("runs/benchmark"), help=f"folder for what it makes {shown}")
    return parser


if __name__ == "__main__":
    main()
