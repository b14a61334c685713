"""The figures of a model, typed as metrics.json and metadata.json hold them."""

from typing import NotRequired, TypedDict


class SetMetrics(TypedDict):
    """Figures of one evaluation set; rates and shares in 0..1, losses in nats."""

    images: int
    accuracy: float
    per_digit: list[float]
    nll: float
    brier: float
    ece: float
    ece_interval: list[float]  # 95 %
    refused: float  # share whose novelty is above the threshold
    accuracy_of_answered: float  # of those that are not refused


class TestMetrics(SetMetrics):
    """Figures of the test rows: those of any set, and the accuracy without the known wrong labels."""

    accuracy_without_known_wrong_labels: float


class AllMetrics(TypedDict):
    """One entry per evaluation set."""

    mnist_validation: SetMetrics
    mnist_test: TestMetrics


class DigitFigures(TypedDict):
    """Digits of another population; shares in 0..1."""

    images: int
    accuracy: float
    refused: float


class RefusalFigures(TypedDict):
    """Pictures that are no digits, against MNIST's test digits."""

    images: int
    refused: float  # at the shipped threshold
    refused_at_equal_share: NotRequired[float]  # where 0.3 % of MNIST's digits are refused; `adapt` measures none
    auroc: dict[str, float]  # by score; `novelty` is the model's output; `adapt` measures none


class ChangeFigures(TypedDict):
    """A share of the same pictures before and after adapting; shares in 0..1."""

    pictures: int
    before: float
    after: float
    interval: list[float]  # 95 %, of after - before


class OtherSets(TypedDict):
    """Figures that `report` measures on other sets than MNIST, by the name of the set."""

    corruptions: NotRequired[dict[str, float]]  # accuracy on the corrupted test rows; `adapt` does not measure it
    corruptions_mean: NotRequired[float]
    refusal: dict[str, RefusalFigures]
    digits: dict[str, DigitFigures]
    stand_ins: dict[str, DigitFigures]


class Evaluation(TypedDict):
    """Content of a run's metrics.json, written by `evaluate`."""

    temperature: float
    novelty_threshold: float
    metrics: AllMetrics
