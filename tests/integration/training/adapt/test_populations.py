"""Other populations by two versions: what decides, what is only shown, and what the card gets."""

import numpy as np
import numpy.typing as npt

from training.adapt.populations import Population, Reader, changes, other_sets, populations_of
from training.data.arrays import NOT_A_DIGIT, PIXELS, LabelledDigits
from training.data.split import Split
from training.evaluation.evaluation_sets import EvaluationSet
from training.evaluation.predictions import Predictions


def rows(labels: list[int]) -> LabelledDigits:
    """Images that say by their first two pixels what each reader makes of them: read as, novelty in hundredths."""
    pixels = np.zeros((len(labels), PIXELS), np.uint8)
    pixels[:, 0] = np.maximum(labels, 0)
    pixels[:, 1] = [90 if label == NOT_A_DIGIT else 10 for label in labels]
    return LabelledDigits(pixels, np.array(labels, np.int64))


def reader(threshold: float, misread: int = -1) -> Reader:
    """Reads every image as it says, but `misread` as the next digit."""

    def predict(digits: LabelledDigits) -> Predictions:
        seen: npt.NDArray[np.int64] = digits.pixels[:, 0].astype(np.int64)
        digit = np.where(seen == misread, (seen + 1) % 10, seen)
        return Predictions(
            digits, np.eye(10, dtype=np.float32)[digit], digits.pixels[:, 1].astype(np.float32) / np.float32(100)
        )

    return Reader(predict, threshold)


def every() -> tuple[Population, ...]:
    digits = rows(list(range(10)) * 10)
    split = Split(digits, digits, digits)
    sets = [EvaluationSet("maps", digits.pixels, digits.labels), EvaluationSet("letters", rows([-1] * 50).pixels, None)]
    return populations_of(split, sets, {"photos": digits})


def test_a_digit_that_is_unlearned_makes_every_population_worse_and_test_rows_decide_nothing() -> None:
    found = changes(every(), reader(0.5), reader(0.5, misread=3))
    accuracy = {each.name: each for each in found if each.measure == "accuracy"}
    assert set(accuracy) == {"MNIST, validation", "MNIST, test", "maps", "photos"}
    assert all(each.change.after == 0.9 and each.is_worse for each in accuracy.values())
    assert [each.name for each in found if not each.decides] == ["MNIST, test", "MNIST, test"]


def test_refusing_more_digits_or_fewer_letters_is_worse() -> None:
    more, fewer = changes(every(), reader(0.5), reader(0.05)), changes(every(), reader(0.5), reader(0.95))
    refused = {each.name: each.is_worse for each in more if each.measure == "refused"}
    assert refused == {name: name != "letters" for name in refused}
    assert [each.name for each in fewer if each.is_worse] == ["letters"]
    assert not any(each.is_worse for each in changes(every(), reader(0.5), reader(0.5)))


def test_the_card_gets_the_new_figures_by_kind() -> None:
    populations = every()
    sets = other_sets(populations, changes(populations, reader(0.5), reader(0.5, misread=3)))
    assert sets["digits"] == {"maps": {"images": 100, "accuracy": 0.9, "refused": 0.0}}
    assert sets["stand_ins"] == {"photos": {"images": 100, "accuracy": 0.9, "refused": 0.0}}
    assert sets["refusal"] == {"letters": {"images": 50, "refused": 1.0, "auroc": {}}}
