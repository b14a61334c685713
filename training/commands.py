"""What each command does, in terms of the modules that do it."""

from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from training.cli import Request
from training.data_cache import load_mnist
from training.errors import RunError
from training.evaluation import judge
from training.export import FinishedRun, export_run
from training.mnist_files import Mnist
from training.model_metadata import Evaluation
from training.run_folder import RunFolder
from training.sources import default_sources
from training.training_run import begin, train

_console = Console(stderr=True)


def data(request: Request) -> None:
    """Fetch or verify MNIST."""
    mnist = _mnist(request)
    _say(f"MNIST is whole: {len(mnist.train):,} training rows, {len(mnist.test):,} test rows")


def train_network(request: Request) -> None:
    """Train until finished or interrupted."""
    folder = _folder(request)
    record = begin(folder, request.training, request.resume, request.restart)
    try:
        history = train(folder, record.config, _mnist(request), _console)
    except KeyboardInterrupt:
        _say(f"\nGo on with: python -m training {request.command} --resume --run {request.run}")
        raise
    last, minutes = history[-1], sum(each.seconds for each in history) / 60
    _say(f"{folder.path}: {last.epoch} epochs in {minutes:.1f} min, validation accuracy {last.validation_accuracy:.2%}")


def evaluate(request: Request) -> None:
    """Measure a finished run."""
    folder = _folder(request)
    judgement = judge(folder.read_record().config, folder.read_weights(), _mnist(request))
    folder.write_json(folder.metrics.name, judgement.evaluation)


def export(request: Request) -> None:
    """Write a finished and evaluated run as a model version."""
    folder = _folder(request)
    record, weights = folder.read_record(), folder.read_weights()
    if not folder.metrics.exists():
        raise RunError(
            f"the run {folder.name!r} is not evaluated yet: `python -m training evaluate --run {folder.name}`"
        )
    evaluation: Evaluation = folder.read_json(folder.metrics.name)
    seconds = sum(each["seconds"] for each in folder.read_json("history.json"))
    run = FinishedRun(record, weights, evaluation, seconds)
    path, report = export_run(run, _mnist(request), Path(request.places.model_repository))
    _say(f"{path}: {report}")


COMMANDS: dict[str, Callable[[Request], None]] = {
    "data": data,
    "train": train_network,
    "evaluate": evaluate,
    "export": export,
}


def _folder(request: Request) -> RunFolder:
    if not request.run or Path(request.run).name != request.run:
        raise RunError(f"--run {request.run!r} is not a plain name")
    return RunFolder(Path(request.places.runs_folder) / request.run)


def _mnist(request: Request) -> Mnist:
    return load_mnist(request.places.cache, default_sources(request.places.local_mnist), _say)


def _say(line: str) -> None:
    _console.print(line, highlight=False, markup=False, soft_wrap=True)
