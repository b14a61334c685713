"""Other populations before and after adapting: MNIST, those of the report, stand-ins. Nothing of them is to be lost."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.adapt.judgement import Change, PopulationChange
from training.data.arrays import NOT_A_DIGIT, LabelledDigits
from training.data.split import Split
from training.evaluation.evaluation_sets import EvaluationSet
from training.evaluation.figures import DigitFigures, OtherSets, RefusalFigures
from training.evaluation.predictions import Predictions

Predict = Callable[[LabelledDigits], Predictions]


@dataclass(frozen=True, slots=True)
class Reader:
    """A version, as far as populations are read with it."""

    predict: Predict
    threshold: float


@dataclass(frozen=True, slots=True)
class Population:
    """Pictures of others, labelled NOT_A_DIGIT where none is a digit; `kind`: their place in metadata.json."""

    name: str
    digits: LabelledDigits
    kind: str  # mnist, digits, stand_ins or refusal
    decides: bool = True


def populations_of(
    split: Split, sets: Sequence[EvaluationSet], stand_ins: Mapping[str, LabelledDigits]
) -> tuple[Population, ...]:
    """All of them; MNIST's test rows decide nothing."""
    others = [
        Population(
            each.name,
            LabelledDigits(each.pixels, np.full(len(each.pixels), NOT_A_DIGIT) if each.labels is None else each.labels),
            "refusal" if each.labels is None else "digits",
        )
        for each in sets
    ]
    return (
        Population("MNIST, validation", split.validation, "mnist"),
        Population("MNIST, test", split.test, "mnist", decides=False),
        *others,
        *(Population(name, digits, "stand_ins") for name, digits in stand_ins.items()),
    )


def changes(populations: Sequence[Population], before: Reader, after: Reader) -> list[PopulationChange]:
    """Accuracy and refusals of each, by both versions."""
    found = []
    for each in populations:
        one, other = before.predict(each.digits), after.predict(each.digits)
        if each.kind != "refusal":
            labels = each.digits.labels
            change = Change.of(one.digit == labels, other.digit == labels)
            found.append(PopulationChange(each.name, "accuracy", True, each.decides, change))
        change = Change.of(one.novelty > before.threshold, other.novelty > after.threshold)
        found.append(PopulationChange(each.name, "refused", each.kind == "refusal", each.decides, change))
    return found


def other_sets(populations: Sequence[Population], found: Sequence[PopulationChange]) -> OtherSets:
    """The new version's figures as metadata.json holds them: the gate of promotion compares them."""
    after = {(each.name, each.measure): each.change.after for each in found}

    def digits(kind: str) -> dict[str, DigitFigures]:
        return {
            each.name: {
                "images": len(each.digits),
                "accuracy": after[each.name, "accuracy"],
                "refused": after[each.name, "refused"],
            }
            for each in populations
            if each.kind == kind
        }

    refusal: dict[str, RefusalFigures] = {
        each.name: {"images": len(each.digits), "refused": after[each.name, "refused"], "auroc": {}}
        for each in populations
        if each.kind == "refusal"
    }
    return {"refusal": refusal, "digits": digits("digits"), "stand_ins": digits("stand_ins")}
