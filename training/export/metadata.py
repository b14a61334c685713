"""metadata.json of a model version, typed as it stands on disk."""

from typing import Any, NotRequired, TypedDict

from training.evaluation.figures import AllMetrics, ChangeFigures, OtherSets

SCHEMA_VERSION = 1


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


class Stage(TypedDict):
    """A version that a cascade was joined from."""

    name: str
    version: int
    sha256: str  # of its model.onnx, also where its int8 form is the stage
    precision: str
    parameters: int
    multiply_adds: int
    temperature: float
    novelty_threshold: float
    git: Git


class Cascade(TypedDict):
    """How the stages of a cascade are joined."""

    unsure_below: float  # largest probability of the fast stage below which the second one answers
    is_given: NotRequired[bool]  # the threshold was given and not chosen on validation rows
    novelty_power: float  # of the second stage's novelty
    unsure_share: float  # of the validation rows that the second stage answers
    fast: Stage
    second: Stage


class Start(TypedDict):
    """The version that an adapted one began with."""

    name: str
    version: int
    sha256: str  # of its model.onnx


class Adaptation(TypedDict):
    """How a version was adapted to a user's own pictures, and what that changed."""

    start: Start
    pictures: int
    digits: int  # of them
    groups: int
    by: str  # what a group is, whose pictures were held out together: writer, request or picture
    parts: int  # of the cross-validation
    sha256: str  # of the pictures' pixels and labels
    own_images: int  # of them in each batch
    interpolation: float  # share of the way from the start's weights to the trained ones
    own: dict[str, ChangeFigures]  # on the own pictures, each read by a network that had not learned it
    populations: dict[str, dict[str, ChangeFigures]]  # by name, then accuracy or refused
    objections: list[str]  # in spite of which it was written


class Metadata(TypedDict):
    """The whole file."""

    schema_version: int
    name: str
    version: int
    created: str
    git: Git
    training: dict[str, Any]  # of a cascade: the settings that its stages share
    cascade: NotRequired[Cascade]
    adaptation: NotRequired[Adaptation]
    data: dict[str, str]
    metrics: AllMetrics
    other_sets: NotRequired[OtherSets]  # once `report --write-cards` has measured them
    temperature: NotRequired[float]  # of a cascade each stage has its own
    novelty_threshold: float
    precision: str  # of convolutions and hidden layers: float32 or int8
    parameters: int
    multiply_adds: int  # for each image; of a cascade the mean over the validation rows
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
