"""The command line: words to settings, settings to commands, errors to one message and an exit status."""

import argparse
import dataclasses
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.config import Places, TrainingConfig, apply_settings, read_toml
from training.environment import stderr_held_back
from training.errors import TrainingError
from training.request import Request

_COMMANDS = {
    "data": "fetch MNIST, verify its checksums, keep it in the cache",
    "train": "train the network; stop it with Ctrl-C, go on with --resume",
    "evaluate": "measure a finished run: metrics.json and pictures in its folder",
    "export": "write a finished and evaluated run as the next version of the model repository",
    "run": "data, train, evaluate and export, one after the other",
    "race": "seconds of training to 99.0, 99.4 and 99.6 %, beside Keras' example network, in one run",
    "lesson": "the lesson's claim: dense layers and convolutions, on digits, shuffled digits and moved ones",
    "report": "measure every figure of the model cards again, from the ONNX files and the data, with pictures",
    "samples": "write samples/ and tests/data/ again, from validation rows of MNIST",
}
_MODULES = {"race": "experiments.time_to_accuracy.command", "lesson": "experiments.shift_invariance.command"}
_WITH_TRAINING_SETTINGS = ("train", "run")
_INTERRUPTED = 130  # what shells report for a program that SIGINT ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0 done, 1 a clear failure, 2 not understood, 130 interrupted."""
    try:
        request = _understand(_parser().parse_args(arguments))
        with stderr_held_back():  # imported here and not above: --help need not wait for TensorFlow
            command = importlib.import_module(_MODULES.get(request.command, f"training.commands.{request.command}"))
        command.execute(request)
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"error: {error.filename or 'a file'}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return _INTERRUPTED
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Train the digit network on MNIST and export it as a model version that the server loads.",
        epilog="Settings come from defaults, then --config FILE (TOML, tables [training] and [places]), then flags.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in _COMMANDS.items():
        command = commands.add_parser(
            name,
            allow_abbrev=False,
            usage=f"{parser.prog} {name} [options]",  # listing thirty of them tells nobody anything
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
        )
        command.add_argument("--config", type=Path, metavar="FILE", help="settings file (TOML)")
        if name not in ("data", "report", "samples"):
            default = name if name in ("race", "lesson") else "default"
            command.add_argument("--run", default=default, metavar="NAME", help=f"name of the run (default: {default})")
        if name in _WITH_TRAINING_SETTINGS:
            command.add_argument("--resume", action="store_true", help="go on with the run where it stopped")
            command.add_argument("--restart", action="store_true", help="delete the run and begin it again")
        if name in ("export", "run"):
            command.add_argument("--int8", action="store_true", help="also write an int8 form, as the model NAME-int8")
        if name == "race":
            command.add_argument("--seconds", type=float, default=600, metavar="N", help="limit of each (default: 600)")
            command.add_argument("--seed", type=int, metavar="N", help="seed of both sides (default: 1)")
        if name == "report":
            command.add_argument(
                "--check", action="store_true", help="only compare MNIST's figures with the model cards'"
            )
            command.add_argument(
                "--output",
                default="",
                metavar="FOLDER",
                help="where the report goes (default: report in the runs folder)",
            )
            command.add_argument(
                "--write-cards", action="store_true", help="also write the figures into the model cards"
            )
        _add_settings(command.add_argument_group("places"), Places())
        if name in _WITH_TRAINING_SETTINGS:
            _add_settings(command.add_argument_group("training settings"), TrainingConfig())
    return parser


def _add_settings(group: argparse._ArgumentGroup, defaults: TrainingConfig | Places) -> None:
    for each in dataclasses.fields(defaults):
        value = getattr(defaults, each.name)
        shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
        group.add_argument(
            f"--{each.name.replace('_', '-')}",
            type=_whole_numbers if isinstance(value, tuple) else type(value),
            metavar="N" if isinstance(value, int | float) else "N,N,…" if isinstance(value, tuple) else "FOLDER",
            help=each.metadata["help"] + (f" (default: {shown})" if shown != "" else ""),
        )


def _whole_numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers, such as 16,48,96") from error


def _understand(parsed: argparse.Namespace) -> Request:
    file = read_toml(parsed.config) if parsed.config else {"training": {}, "places": {}}
    places = apply_settings(Places(), file["places"], str(parsed.config))
    apply_settings(TrainingConfig(), file["training"], str(parsed.config))  # refused here, with the file's name
    places = apply_settings(places, _given(parsed, Places()), "flags")
    return Request(
        command=parsed.command,
        places=places,
        training={**file["training"], **_given(parsed, TrainingConfig())},
        run=getattr(parsed, "run", ""),
        resume=getattr(parsed, "resume", False),
        restart=getattr(parsed, "restart", False),
        int8=getattr(parsed, "int8", False),
        write_cards=getattr(parsed, "write_cards", False),
        check=getattr(parsed, "check", False),
        output=getattr(parsed, "output", ""),
        seconds=getattr(parsed, "seconds", 0.0),
    )


def _given(parsed: argparse.Namespace, defaults: TrainingConfig | Places) -> dict[str, Any]:
    names = [each.name for each in dataclasses.fields(defaults)]
    return {name: getattr(parsed, name) for name in names if getattr(parsed, name, None) is not None}
