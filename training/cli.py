"""The command line `python -m training`: what each command takes, and the function that does it."""

import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from training.command_line import (
    ADAPT,
    COLUMNS,
    TRAINING,
    SettingsCommand,
    WholeNumbers,
    run_command,
    settings_options,
    varied_values,
)
from training.config import AdaptConfig, ColumnsConfig, Places
from training.environment import require_tensorflow, stderr_held_back
from training.errors import RunError

PREFIX = "MNIST_TRAIN"
_WIDE = {"max_content_width": 120, "help_option_names": ["-h", "--help"]}
# The prefix again for each command, or click would put the command's name into the variable: a flag has one variable.
_COMMAND: dict[str, Any] = {"cls": SettingsCommand, "context_settings": {**_WIDE, "auto_envvar_prefix": PREFIX}}

_run_option = click.option("--run", default="default", metavar="NAME", help="name of the run (default: default)")
_resume_option = click.option("--resume", is_flag=True, help="go on with the run where it stopped")
_restart_option = click.option("--restart", is_flag=True, help="delete the run and begin it again")
_int8_option = click.option("--int8", is_flag=True, help="also write an int8 form, as the model NAME-int8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0 done, 1 a clear failure, 2 not understood, 130 interrupted."""
    return run_command(training, arguments, "python -m training", PREFIX)


@click.group(context_settings=_WIDE, no_args_is_help=False)
def training() -> None:
    """Train the digit network on MNIST and export it as a model version that the server loads.

    Values come from the defaults, then from --config FILE (TOML, tables [training] and [places]), then from the
    environment, then from flags. Each flag has an environment variable: MNIST_TRAIN_EPOCHS=5 is --epochs 5 in every
    command that has --epochs. An empty variable counts as not set. An unknown MNIST_TRAIN_ variable is an error.
    """


# The commands import what they do inside, and not above: --help need not wait for TensorFlow.


@training.command(**_COMMAND)
@settings_options()
def data(places: Places) -> None:
    """Fetch MNIST, verify its checksums, keep it in the cache."""
    from training.commands.data import fetch_data

    fetch_data(places)


@training.command(**_COMMAND)
@_run_option
@_resume_option
@_restart_option
@settings_options(TRAINING)
def train(places: Places, settings: Mapping[str, Any], run: str, resume: bool, restart: bool) -> None:
    """Train the network; stop it with Ctrl-C, go on with --resume."""
    with stderr_held_back():
        from training.commands.pipeline import train
    train(places, run, settings, resume, restart)


@training.command(**_COMMAND, name="sweep")
@click.option("--sweep", default="sweep", metavar="NAME", help="name of the sweep (default: sweep)")
@click.option("--seeds", type=WholeNumbers(), default=(), metavar="N,N,…", help="a trial for each, as of a committee")
@click.option(
    "--vary", multiple=True, metavar="SETTING=V,V,…", help="a trial for each value; may be given several times"
)
@click.option("--ray", metavar="ADDRESS", help="Ray cluster to run on, such as auto (default: this machine)")
@_resume_option
@settings_options(TRAINING)
def sweep_runs(
    places: Places,
    settings: Mapping[str, Any],
    sweep: str,
    seeds: tuple[int, ...],
    vary: tuple[str, ...],
    ray: str | None,
    resume: bool,
) -> None:
    """Train many runs, of several seeds and settings, here or on a Ray cluster. Needs the extra `scale`."""
    with stderr_held_back():
        from training.commands.sweep import run_sweep
    run_sweep(places, sweep, settings, seeds, varied_values(vary), ray, resume)


@training.command(**_COMMAND)
@_run_option
@_restart_option
@click.option("--member", "members", multiple=True, metavar="NAME", help="a finished run; give two or more")
@settings_options()
def committee(places: Places, run: str, restart: bool, members: tuple[str, ...]) -> None:
    """Join finished runs of one kind of network to one, whose answer is the mean of theirs."""
    with stderr_held_back():
        from training.commands.pipeline import join_runs
    join_runs(places, run, restart, members)


@training.command(**_COMMAND)
@_run_option
@settings_options()
def evaluate(places: Places, run: str) -> None:
    """Measure a finished run: metrics.json and pictures in its folder."""
    with stderr_held_back():
        from training.commands.pipeline import evaluate
    evaluate(places, run)


@training.command(**_COMMAND)
@_run_option
@_int8_option
@settings_options()
def export(places: Places, run: str, int8: bool) -> None:
    """Write a finished and evaluated run as the next version of the model repository."""
    with stderr_held_back():
        from training.commands.pipeline import export
    export(places, run, int8)


@training.command(**_COMMAND)
@click.option(
    "--fast",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FOLDER",
    help="version that answers every image, such as models/mnist/6",
)
@click.option(
    "--second",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FOLDER",
    help="version that answers where the first is unsure, such as models/mnist-accurate/6",
)
@click.option(
    "--unsure-below",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="N",
    help="largest probability below which the second answers (default: chosen on the validation rows)",
)
@_int8_option
@settings_options()
def cascade(places: Places, fast: Path, second: Path, unsure_below: float | None, int8: bool) -> None:
    """Join two versions in one graph, a version of --model: the second answers where the fast one is unsure."""
    with stderr_held_back():
        from training.commands.cascade import join
    join(places, fast, second, unsure_below, int8)


@training.command(**_COMMAND, name="int8")
@click.argument("version", type=click.Path(path_type=Path), metavar="VERSION")
@settings_options()
def int8_form(places: Places, version: Path) -> None:
    """Write the int8 form of VERSION, such as models/mnist/6, as the next version of NAME-int8."""
    with stderr_held_back():
        from training.commands.int8 import write_int8_form
    write_int8_form(places, version)


@training.command(**_COMMAND)
@click.argument("source", type=click.Path(path_type=Path), metavar="FOLDER|FILE")
@click.option(
    "--start", type=click.Path(path_type=Path), metavar="FOLDER", help="version to start from (default: the highest)"
)
@click.option(
    "--by",
    type=click.Choice(["auto", "writer", "picture"]),
    default="auto",
    help="what is held out together (default: auto, all pictures of a writer where writers are named)",
)
@click.option("--anyway", is_flag=True, help="write a version whatever speaks against it, and say so in its card")
@settings_options(ADAPT, AdaptConfig())
def adapt(places: Places, settings: Mapping[str, Any], source: Path, start: Path | None, by: str, anyway: bool) -> None:
    """Adapt a version to your own digits: a folder 0/ … 9/ none/, a CSV file of path,label[,writer], or a store.

    Writes the next version of --model if it reads held-out pictures of yours better, and others no worse.
    """
    with stderr_held_back():
        from training.commands.adapt import adapt_version
    adapt_version(places, settings, source, start, by, anyway)


@training.command(**_COMMAND)
@click.option("--run", default="columns", metavar="NAME", help="name of the run (default: columns)")
@_resume_option
@_restart_option
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="where the network goes as ONNX (default: columns.onnx in the run's folder)",
)
@settings_options(COLUMNS, ColumnsConfig())
def columns(
    places: Places, settings: Mapping[str, Any], run: str, resume: bool, restart: bool, output: Path | None
) -> None:
    """Train the column network, which helps to read whole numbers; stop it with Ctrl-C, go on with --resume."""
    require_tensorflow("the column network")
    with stderr_held_back():
        from training.commands.columns import train_columns
    train_columns(places, run, settings, resume, restart, output)


@training.command(**_COMMAND, name="run")
@_run_option
@_resume_option
@_restart_option
@_int8_option
@settings_options(TRAINING)
def run_all(places: Places, settings: Mapping[str, Any], run: str, resume: bool, restart: bool, int8: bool) -> None:
    """Data, train, evaluate and export, one after the other."""
    with stderr_held_back():
        from training.commands.pipeline import run_pipeline
    run_pipeline(places, run, settings, resume, restart, int8)


@training.command(**_COMMAND)
@click.option("--check", is_flag=True, help="only compare MNIST's figures with the model cards'")
@click.option("--other-handwriting", is_flag=True, help="only show the figures on other people's handwriting")
@click.option("--output", metavar="FOLDER", help="where the report goes (default: report in the runs folder)")
@click.option("--write-cards", is_flag=True, help="also write the figures into the model cards")
@settings_options()
def report(places: Places, check: bool, other_handwriting: bool, output: str | None, write_cards: bool) -> None:
    """Measure every figure of the model cards again, from the ONNX files and the data, with pictures."""
    with stderr_held_back():
        from training.commands.report import check_cards, show_other_handwriting, write_report
    if check:
        check_cards(places)
    elif other_handwriting:
        show_other_handwriting(places)
    else:
        write_report(places, output, write_cards)


@training.command(**_COMMAND)
@click.argument(
    "folders", nargs=-1, required=True, metavar="FOLDER...", type=click.Path(path_type=Path, file_okay=False)
)
@settings_options()
def drift(places: Places, folders: tuple[Path, ...]) -> None:
    """Write drift.json of versions, such as models/mnist/6: the server compares its traffic with it."""
    with stderr_held_back():
        from training.commands.drift import write_drift_references
    write_drift_references(places, folders)


@training.command(**_COMMAND)
@settings_options()
def samples(places: Places) -> None:
    """Write samples/ and tests/data/ again, from validation rows of MNIST."""
    from training.commands.data import write_sample_files

    write_sample_files(places)


# Takes whatever the experiment takes, --help included.
_PASSED_ON: dict[str, Any] = {"ignore_unknown_options": True, "allow_interspersed_args": False}


@training.command(context_settings=_PASSED_ON, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def race(arguments: tuple[str, ...]) -> None:
    """Moved: python -m experiments.time_to_accuracy."""
    _become("race", "experiments.time_to_accuracy", arguments)


@training.command(context_settings=_PASSED_ON, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def lesson(arguments: tuple[str, ...]) -> None:
    """Moved: python -m experiments.shift_invariance."""
    _become("lesson", "experiments.shift_invariance", arguments)


def _become(command: str, module: str, arguments: Sequence[str]) -> None:
    """Put the experiment in the place of this process, so that signals and exit status are its own."""
    print(
        f"`python -m training {command}` is now `python -m {module}`; it goes on as that.", file=sys.stderr, flush=True
    )
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        raise RunError(f"{module} is not installed here: run `python -m {module}` in a checkout of the repository")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])
