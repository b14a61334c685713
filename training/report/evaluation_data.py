"""Evaluation sets of the report, loaded once for all models. A set that cannot be had is missing, with its reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.data.arrays import LabelledDigits, Pixels
from training.data.split import Split
from training.errors import DataError
from training.evaluation.corruptions import CORRUPTIONS, corrupted
from training.evaluation.evaluation_sets import EvaluationSet, load_evaluation_sets
from training.evaluation.stand_ins import stand_ins

CORRUPTION_SEED = 20261123
FITTED_ROWS = 10_000  # training rows that the feature distance is fitted on
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class EvaluationData:
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


def load_evaluation_data(split: Split, cache: Path, say: Say) -> EvaluationData:
    """Load, draw and corrupt everything; says what it does, as that takes minutes.

    Args:
        split: the training rows as the models had them.
        cache: folder for fetched data.
        say: gets one line for each step.
    """
    missing: dict[str, str] = {}

    def note(what: str, error: DataError) -> None:
        missing[what] = " ".join(str(error).split())
        say(f"{what}: missing: {missing[what]}")

    return EvaluationData(
        train=split.train.take(np.arange(min(FITTED_ROWS, len(split.train)))),
        validation=split.validation,
        test=split.test,
        corrupted_test=_corrupted(split.test.pixels, say),
        evaluation_sets=load_evaluation_sets(cache, say, on_missing=note),
        stand_ins=_stand_ins(split.validation, say, note),
        missing=missing,
    )


def _corrupted(pixels: Pixels, say: Say) -> Mapping[str, Pixels]:
    say(f"{len(CORRUPTIONS)} corruptions of the test rows ...")
    return {name: corrupted(pixels, name, CORRUPTION_SEED) for name in CORRUPTIONS}


def _stand_ins(
    validation: LabelledDigits, say: Say, note: Callable[[str, DataError], None]
) -> Mapping[str, LabelledDigits]:
    say("stand-ins for other populations, made from validation rows ...")
    try:
        return stand_ins(validation)
    except DataError as error:
        note("stand-ins", error)
        return {}
