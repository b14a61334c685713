"""All of training: data, fit, evaluate, export. Each step is also a command of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from training.commands.data import console, load_data, make_added, make_stand_ins, run_folder, say, split_of
from training.commands.drift import populations_if_possible
from training.config import Places, TrainingConfig
from training.data.arrays import LabelledDigits
from training.data.split import Split
from training.errors import RunError
from training.evaluation.evaluate import evaluate_network
from training.evaluation.figures import Evaluation
from training.evaluation.plots import draw_run
from training.export.int8_form import export_int8_form
from training.export.model_version import FinishedRun, export_run
from training.fit.batches import AddedRows
from training.fit.committee import join
from training.fit.run_folder import RunFolder, RunRecord
from training.fit.training_run import begin, fit, make_room


def run_pipeline(
    places: Places, run: str, settings: Mapping[str, Any], resume: bool, restart: bool, int8: bool
) -> None:
    """Data, fit, evaluate, export: a model version from MNIST, with the rows split once for all of them."""
    folder, mnist = run_folder(places, run), load_data(places)
    record = begin(folder, settings, resume, restart)
    split = split_of(record.config, mnist)
    added = make_added(record.config, split, places)
    _fit(folder, record.config, split, added, command="run")
    stand_ins = make_stand_ins(record.config, split)
    evaluation = _evaluate(folder, record.config, split, stand_ins)
    _export(folder, record, evaluation, split, stand_ins if int8 else None, places)


def train(places: Places, run: str, settings: Mapping[str, Any], resume: bool, restart: bool) -> None:
    """Data and fit."""
    folder, mnist = run_folder(places, run), load_data(places)
    record = begin(folder, settings, resume, restart)
    split = split_of(record.config, mnist)
    _fit(folder, record.config, split, make_added(record.config, split, places), command="train")


def join_runs(places: Places, run: str, restart: bool, members: Sequence[str]) -> None:
    """Join finished runs to a committee, a finished run.

    Raises:
        RunError: they do not fit together, or there is a run of this name.
    """
    folder = run_folder(places, run)
    if run in members:
        raise RunError(f"--run {run} is a member itself: give the committee a name of its own")
    make_room(folder, restart)
    record = join(folder, [run_folder(places, each) for each in members])
    say(f"{folder.path}: {record.config.columns} columns. Go on with: python -m training evaluate --run {run}")


def evaluate(places: Places, run: str) -> None:
    """Evaluate a finished run.

    Raises:
        RunError: there is no such run, or it is not finished.
    """
    folder = run_folder(places, run)
    config = folder.read_record().config
    folder.read_weights()  # refused before MNIST is fetched
    split = split_of(config, load_data(places))
    _evaluate(folder, config, split, make_stand_ins(config, split))


def export(places: Places, run: str, int8: bool) -> None:
    """Export a finished and evaluated run; its int8 form as well, if that is wanted.

    Raises:
        RunError: there is no such run, or it is not finished or not evaluated.
    """
    folder = run_folder(places, run)
    record = folder.read_record()
    folder.read_weights()  # refused before MNIST is fetched
    if not folder.metrics.exists():
        raise RunError(f"the run {run!r} is not evaluated: `python -m training evaluate --run {run}`")
    split = split_of(record.config, load_data(places))
    stand_ins = make_stand_ins(record.config, split) if int8 else None
    _export(folder, record, folder.read_json(folder.metrics.name), split, stand_ins, places)


def _fit(folder: RunFolder, config: TrainingConfig, split: Split, added: AddedRows, command: str) -> None:
    """Train until finished; a run that Ctrl-C stops says how to go on."""
    try:
        history = fit(folder, config, split, added, console)
    except KeyboardInterrupt:
        say(f"\nGo on with: python -m training {command} --resume --run {folder.name}")
        raise
    last, minutes = history[-1], sum(each.seconds for each in history) / 60
    back = f" before the weights were taken back to {config.interpolation:.0%}" if config.interpolation < 1 else ""
    accuracy = f"validation accuracy {last.validation_accuracy:.2%}{back}"
    say(f"{folder.path}: {last.epoch} epochs in {minutes:.1f} min, {accuracy}")


def _evaluate(
    folder: RunFolder, config: TrainingConfig, split: Split, stand_ins: Sequence[LabelledDigits]
) -> Evaluation:
    """Measure; metrics.json and pictures into the run's folder, the figures to standard output."""
    result = evaluate_network(config, folder.read_weights(), split, stand_ins)
    folder.write_json(folder.metrics.name, result.figures)
    draw_run(folder.path, folder.read_json("history.json"), result.test.digits, result.test.probabilities)
    Console().print(_table(result.figures))
    say(f"metrics.json and pictures are in {folder.path}")
    return result.figures


def _export(
    folder: RunFolder,
    record: RunRecord,
    evaluation: Evaluation,
    split: Split,
    stand_ins: Sequence[LabelledDigits] | None,
    places: Places,
) -> None:
    """Write the run as the next version; with `stand_ins`, its int8 form as a version of the model NAME-int8."""
    seconds = sum(each["seconds"] for each in folder.read_json("history.json"))
    finished = FinishedRun(record, folder.read_weights(), evaluation, seconds)
    repository = Path(places.model_repository)
    # As the stand-ins: a run that learns no novelty knows no other populations.
    populations = populations_if_possible(places.cache, split.validation) if record.config.synthetic_images else None
    path, report = export_run(finished, split, repository, places.model, populations)
    say(
        f"checked: valid ONNX; ONNX Runtime agrees with Keras on {report.runtime_images:,} images"
        f" (largest difference {report.runtime_difference:.1e}),"
        f" the ONNX reference evaluator on {report.reference_images} ({report.reference_difference:.1e})"
    )
    say(f"written: {path}")
    if stand_ins is not None:
        name = f"{places.model}-int8"
        path, difference = export_int8_form(path, split, stand_ins, repository, name, populations)
        say(f"written: {path}")
        say(f"the largest difference of a probability from float32's: {difference:.2f}")


def _table(evaluation: Evaluation) -> Table:
    validation, test = evaluation["metrics"]["mnist_validation"], evaluation["metrics"]["mnist_test"]
    table = Table("", "validation", "test", title=f"temperature {evaluation['temperature']:.3f}")
    without = test["accuracy_without_known_wrong_labels"]
    table.add_row("accuracy", f"{validation['accuracy']:.2%}", f"{test['accuracy']:.2%}")
    table.add_row("accuracy without the 15 known wrong labels", "", f"{without:.2%}")
    table.add_row("negative log-likelihood (nats)", f"{validation['nll']:.4f}", f"{test['nll']:.4f}")
    table.add_row("Brier score", f"{validation['brier']:.4f}", f"{test['brier']:.4f}")
    for name, key in (("expected calibration error", "ece"), ("refused", "refused")):
        table.add_row(name, f"{validation[key]:.2%}", f"{test[key]:.2%}")  # type: ignore[literal-required]  # both are keys
    return table
