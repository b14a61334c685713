"""`python -m benchmarks gpu`: splits a wheel for the way to a machine, joins it there, and takes the figures."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.parts import PartsError, join, split
from benchmarks.gpu.record import Budget, Record
from benchmarks.gpu.steps import STEPS, carry_out
from benchmarks.gpu.summary import summary

ROOT = Path(__file__).parents[2]


def main(arguments: Sequence[str]) -> None:
    """Runs the command named first: split, join, run or step."""
    options = _parser().parse_args(arguments)
    if options.command == "split":
        for folder in split(options.file, options.folder, options.part_bytes):
            print(folder)
    elif options.command == "join":
        try:
            print(join(options.folder, options.target))
        except PartsError as error:
            raise SystemExit(f"error: {error}") from error
    elif options.command == "step":
        carry_out(options.name, options.models, options.out, options.provider, options.seconds, options.result)
    else:
        _run(options)


def _run(options: argparse.Namespace) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    record = Record(options.out / "gpu.json", Budget(options.budget_seconds))
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.json")
        for name, limits in STEPS.items():
            if options.steps and name not in options.steps:
                continue
            command = [sys.executable, "-m", "benchmarks", "gpu", "step", name, str(result), "--out", folder]
            command += ["--models", str(options.models), "--provider", options.provider, "--seconds"]
            record.run(name, command, result, limits.at_least, limits.at_most)
    text = summary(record.steps)
    (options.out / "gpu.txt").write_text(text)
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks gpu", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    splitting = commands.add_parser("split", help="write a file as parts with their checksums")
    splitting.add_argument("file", type=Path)
    splitting.add_argument("folder", type=Path, help="gets part-00, part-01, ...")
    splitting.add_argument("--part-bytes", type=int, default=45_000_000, help="(default: %(default)s)")
    joining = commands.add_parser("join", help="join the parts below a folder, and check them")
    joining.add_argument("folder", type=Path)
    joining.add_argument("target", type=Path, help="folder of the joined file")
    running = commands.add_parser("run", help="take the figures; writes gpu.json after each step, and gpu.txt")
    running.add_argument("--budget-seconds", type=float, default=200.0, help="(default: %(default)s)")
    running.add_argument("--steps", nargs="+", choices=STEPS, metavar="STEP", help=f"of {', '.join(STEPS)}")
    stepping = commands.add_parser("step", help="carry out one step; `run` starts it")
    stepping.add_argument("name", choices=STEPS)
    stepping.add_argument("result", type=Path, help="gets the result as JSON")
    stepping.add_argument("--seconds", type=float, default=60.0, help="(default: %(default)s)")
    for command in (running, stepping):
        command.add_argument("--out", type=Path, default=Path("runs/gpu"), help="(default: %(default)s)")
        command.add_argument("--models", type=Path, default=ROOT / "models", help="(default: %(default)s)")
        command.add_argument("--provider", choices=["cuda", "cpu"], default="cuda", help="cpu: a rehearsal")
    return parser
