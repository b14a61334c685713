"""`samples`: the committed pictures and test digits, made again."""

from pathlib import Path

from training.commands.context import mnist_of, say
from training.config import TrainingConfig
from training.data.samples import write_samples
from training.data.split import split_rows
from training.request import Request

_REPOSITORY = Path(__file__).parents[2]


def execute(request: Request) -> None:
    """Write samples/ and tests/data/digits.npz from the validation rows of the default split."""
    config = TrainingConfig()
    split = split_rows(mnist_of(request).train, config.train_images, config.validation_images, config.split_seed)
    for path in write_samples(split.validation, _REPOSITORY / "samples", _REPOSITORY / "tests" / "data"):
        say(f"{path.relative_to(_REPOSITORY)}  {path.stat().st_size:,} bytes")
