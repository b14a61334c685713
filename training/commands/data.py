"""The data of a run, each part made once, and the two commands that do nothing but make data."""

from pathlib import Path

from rich.console import Console

from training.config import Places, TrainingConfig
from training.data.arrays import LabelledDigits
from training.data.cache import load_mnist
from training.data.mnist import Mnist
from training.data.samples import write_samples
from training.data.sources import default_sources
from training.data.split import Split, split_mnist
from training.errors import RunError
from training.evaluation.stand_ins import stand_ins
from training.fit.batches import AddedRows
from training.fit.run_folder import RunFolder
from training.other_handwriting.sets import load_other_handwriting
from training.synthetic.synthetic_set import load_synthetic

_REPOSITORY = Path(__file__).parents[2]
console = Console(stderr=True)


def say(line: str) -> None:
    """Print a line to standard error as it is."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def fetch_data(places: Places) -> None:
    """Fetch MNIST, or verify the copy in the cache."""
    mnist = load_data(places)
    rows = f"{len(mnist.train):,} training rows and {len(mnist.test):,} test rows"
    say(f"MNIST is whole: {rows} in {places.cache}")


def write_sample_files(places: Places) -> None:
    """Write samples/ and tests/data/digits.npz from rows that trained none of the committed models."""
    split = split_of(TrainingConfig(), load_data(places))
    for path in write_samples(split.validation, _REPOSITORY / "samples", _REPOSITORY / "tests" / "data"):
        say(f"{path.relative_to(_REPOSITORY)}  {path.stat().st_size:,} bytes")


def run_folder(places: Places, run: str) -> RunFolder:
    """The folder of the run of this name.

    Raises:
        RunError: the name is no plain folder name.
    """
    if run in ("", ".", "..") or Path(run).name != run:
        raise RunError(f"--run {run!r} is not a plain name, such as `default`")
    return RunFolder(Path(places.runs_folder) / run)


def load_data(places: Places) -> Mnist:
    """MNIST from the cache, or fetched."""
    return load_mnist(places.cache, default_sources(places.local_mnist), say)


def split_of(config: TrainingConfig, mnist: Mnist) -> Split:
    """MNIST's rows as the settings of a run split them."""
    return split_mnist(mnist, config.train_images, config.validation_images, config.split_seed, config.split)


def make_added(config: TrainingConfig, split: Split, places: Places) -> AddedRows:
    """The rows that join MNIST's in a run, from the cache or made."""
    synthetic = load_synthetic(places.cache, "train", split.train, say) if config.synthetic_images else None
    others = load_other_handwriting(places.cache, "train", say) if config.other_handwriting_images else None
    return AddedRows(
        synthetic=LabelledDigits(synthetic.pixels, synthetic.labels) if synthetic else None,
        other_handwriting=LabelledDigits(others.pixels, others.labels) if others else None,
    )


def make_stand_ins(config: TrainingConfig, split: Split) -> list[LabelledDigits]:
    """Stand-ins for other populations, which the threshold must accept; none for a run that learns no novelty."""
    return list(stand_ins(split.validation).values()) if config.synthetic_images else []
