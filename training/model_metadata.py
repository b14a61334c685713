"""metadata.json: all a server or a reader must know of a model version. Typed as it stands on disk."""

from typing import Any, NotRequired, TypedDict

SCHEMA_VERSION = 1


class SetMetrics(TypedDict):
    """What one evaluation set says; rates and shares are in 0..1, losses in nats."""

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
    """The same, with the figure that leaves the known wrong labels out."""

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
    auroc: dict[str, float]  # by score; `novelty` is the model's output


class OtherSets(TypedDict):
    """What `report` measures beside MNIST, by the name of the set."""

    corruptions: dict[str, float]  # accuracy on the corrupted test rows
    corruptions_mean: float
    refusal: dict[str, RefusalFigures]
    digits: dict[str, DigitFigures]
    stand_ins: dict[str, DigitFigures]


class Evaluation(TypedDict):
    """What `evaluate` leaves in metrics.json of a run."""

    temperature: float
    novelty_threshold: float
    metrics: AllMetrics


class Git(TypedDict):
    """The revision that trained the model."""

    revision: str
    dirty: bool


class Tensor(TypedDict):
    """One input or output; a dimension is a number or the name of a symbolic one."""

    name: str
    dtype: str
    shape: list[int | str]


class Signature(TypedDict):
    """The graph's inputs and outputs."""

    inputs: list[Tensor]
    outputs: list[Tensor]


class Metadata(TypedDict):
    """The whole file."""

    schema_version: int
    name: str
    version: int
    created: str
    git: Git
    training: dict[str, Any]
    data: dict[str, str]
    metrics: AllMetrics
    other_sets: NotRequired[OtherSets]  # once `report --write-cards` has measured them
    temperature: float
    novelty_threshold: float
    precision: str  # of the convolutions: float32 or int8
    parameters: int
    multiply_adds: int
    signature: Signature
    files: dict[str, str]
    libraries: dict[str, str]


SIGNATURE: Signature = {
    "inputs": [{"name": "pixels", "dtype": "uint8", "shape": ["batch", 784]}],
    "outputs": [
        {"name": "probabilities", "dtype": "float32", "shape": ["batch", 10]},
        {"name": "digit", "dtype": "int64", "shape": ["batch"]},
        {"name": "novelty", "dtype": "float32", "shape": ["batch"]},
    ],
}
