"""What the report measures on, loaded once for all models. A set that cannot be had is missing, with its reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from training.arrays import LabelledDigits, Pixels
from training.config import TrainingConfig
from training.corruptions import CORRUPTIONS, corrupted
from training.errors import DataError
from training.evaluation_sets import EvaluationSet, load_evaluation_sets
from training.mnist_files import Mnist
from training.split import split_rows
from training.stand_ins import stand_ins

CORRUPTION_SEED = 20261123
_FITTED_ROWS = 10_000  # training rows that the feature distance is fitted on
Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ReportData:
    """Every set of the report.

    `train` are the training rows that the feature distance is fitted on; `corrupted_test` the test rows by corruption;
    `missing` says for each part that cannot be had why not.
    """

    train: LabelledDigits
    validation: LabelledDigits
    test: LabelledDigits
    corrupted_test: Mapping[str, Pixels]
    evaluation_sets: tuple[EvaluationSet, ...]
    stand_ins: Mapping[str, LabelledDigits]
    missing: Mapping[str, str]


def load_report_data(mnist: Mnist, cache: Path, say: Say) -> ReportData:
    """Load, draw and corrupt everything; says what it does, as that takes minutes."""
    config, missing = TrainingConfig(), dict[str, str]()
    split = split_rows(mnist.train, config.train_images, config.validation_images, config.split_seed)

    def attempt(what: str, load: Callable[[], T], otherwise: T) -> T:
        say(f"{what} ...")
        try:
            return load()
        except DataError as error:
            missing[what] = str(error)
            say(f"{what}: missing: {error}")
            return otherwise

    return ReportData(
        train=split.train.take(np.arange(min(_FITTED_ROWS, len(split.train)))),
        validation=split.validation,
        test=mnist.test,
        corrupted_test=attempt("the fifteen corruptions of the test rows", lambda: _corrupted(mnist.test.pixels), {}),
        evaluation_sets=attempt("other populations and non-digits", lambda: load_evaluation_sets(cache, say), ()),
        stand_ins=attempt("stand-ins made from validation rows", lambda: stand_ins(split.validation), {}),
        missing=missing,
    )


def _corrupted(pixels: Pixels) -> Mapping[str, Pixels]:
    return {name: corrupted(pixels, name, CORRUPTION_SEED) for name in CORRUPTIONS}
