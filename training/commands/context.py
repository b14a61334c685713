"""What commands share: where they print, and how a request leads to a run folder and to MNIST."""

from pathlib import Path

from rich.console import Console

from training.config import TrainingConfig
from training.data.arrays import LabelledDigits
from training.data.cache import load_mnist
from training.data.mnist import Mnist
from training.data.sources import default_sources
from training.data.split import split_rows
from training.errors import RunError
from training.evaluation.stand_ins import stand_ins
from training.fit.run_folder import RunFolder
from training.request import Request
from training.synthetic.synthetic_set import load_synthetic

console = Console(stderr=True)


def say(line: str) -> None:
    """Print a line as it is."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def run_folder(request: Request) -> RunFolder:
    """The folder of the run that was named.

    Raises:
        RunError: the name is no plain folder name.
    """
    if request.run in ("", ".", "..") or Path(request.run).name != request.run:
        raise RunError(f"--run {request.run!r} is not a plain name, such as `default`")
    return RunFolder(Path(request.places.runs_folder) / request.run)


def synthetic_of(request: Request, config: TrainingConfig, mnist: Mnist) -> LabelledDigits | None:
    """The synthesised rows a run is trained with beside MNIST's: from the cache, or made; None where it has none."""
    if not config.synthetic_images:
        return None
    split = split_rows(mnist.train, config.train_images, config.validation_images, config.split_seed)
    made = load_synthetic(request.places.cache, "train", split.train, say)
    return LabelledDigits(made.pixels, made.labels)


def stand_ins_of(config: TrainingConfig, mnist: Mnist) -> list[LabelledDigits]:
    """Stand-ins for other populations, which the threshold spares; none for a run that never learned novelty."""
    if not config.synthetic_images:
        return []
    split = split_rows(mnist.train, config.train_images, config.validation_images, config.split_seed)
    return list(stand_ins(split.validation).values())


def mnist_of(request: Request) -> Mnist:
    """MNIST from the cache, or fetched."""
    return load_mnist(request.places.cache, default_sources(request.places.local_mnist), say)
