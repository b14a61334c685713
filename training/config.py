"""Every setting of a training run: one frozen object, from defaults, then a TOML file, then flags."""

import dataclasses
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from training.errors import ConfigError

T = TypeVar("T")

# Values that a run or a model version had if it does not name these settings: it is from before they were there.
FORMER_SETTINGS: Mapping[str, Any] = {"split": "rows", "other_handwriting_images": 0}


def _setting(default: Any, help: str, minimum: float | None = None, maximum: float | None = None) -> Any:
    return field(default=default, metadata={"help": help, "minimum": minimum, "maximum": maximum})


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Settings that decide the weights: equal values train equal networks on one machine, bit for bit."""

    seed: int = _setting(1, "seed of weights and dropout", 0, 2**31 - 1)
    data_seed: int = _setting(0, "seed of the order of the rows and of their distortions", 0, 2**31 - 1)
    split_seed: int = _setting(0, "seed of the choice of validation rows", 0)
    split: str = _setting("writers", "what validation rows are drawn by: writers, who then train nothing, or rows")
    train_images: int = _setting(55_000, "rows to train on", 1, 60_000)
    validation_images: int = _setting(5_000, "rows to evaluate on, taken from the training rows", 1, 60_000)
    start: str = _setting("", "model file (ONNX) of this shape whose weights training starts from, not from chance")
    interpolation: float = _setting(1.0, "share of the way from the start's weights to the trained ones", 0, 1)
    synthetic_images: int = _setting(32, "non-digits and printed digits added to each step", 0)
    other_handwriting_images: int = _setting(
        24, "pen digits, map digits, letters and rare forms by others than MNIST's writers added to each step", 0
    )
    threads: int = _setting(2, "threads to compute with; another number gives other last bits", 1)
    columns: int = _setting(1, "networks side by side whose mean logits are the output", 1, 8)
    filters: tuple[int, ...] = _setting((16, 64, 96), "filters of each convolution, such as 16,48,96", 1)
    depths: tuple[int, ...] = _setting((), "convolutions before each pooling, such as 1,2,2; none named: one each", 1)
    dense_units: int = _setting(128, "units of the hidden dense layer", 1)
    dropout: float = _setting(0.3, "share of hidden units dropped while training", 0, 0.9)
    epochs: int = _setting(30, "passes over the training rows", 1)
    batch_size: int = _setting(128, "images per step", 1)
    learning_rate: float = _setting(0.003, "learning rate after warm-up", 1e-9)
    warmup_epochs: float = _setting(1.0, "epochs over which the learning rate rises to its full value", 0)
    weight_decay: float = _setting(0.05, "AdamW's decoupled weight decay of kernels", 0)
    convolution_precision: str = _setting(
        "bfloat16", "type that the inner convolutions multiply in: bfloat16 or float32"
    )
    label_smoothing: float = _setting(0.0, "share of the label spread over all digits", 0, 0.9)
    averaging: float = _setting(0.998, "how much of the average weights each step keeps; 0 takes the last", 0, 0.99999)
    rotation_degrees: float = _setting(12.0, "largest turn", 0, 90)
    shear: float = _setting(0.15, "largest slant, as horizontal over vertical", 0, 1)
    scale: float = _setting(0.12, "largest change of size, as a natural logarithm", 0, 1)
    aspect: float = _setting(0.1, "largest change of height over width, as a natural logarithm", 0, 1)
    shift_pixels: float = _setting(2.0, "largest shift in each direction", 0, 14)
    elastic_pixels: float = _setting(1.0, "largest local displacement", 0, 7)
    stroke: float = _setting(0.4, "largest share of a pixel by which strokes grow or shrink on each side", 0, 1)
    wild: float = _setting(0.1, "share of images distorted by up to twice as much", 0, 1)
    degraded: float = _setting(0.2, "share of images that are blurred, coarse, noisy, crossed out and so on", 0, 1)
    novelty_weight: float = _setting(0.5, "weight of the novelty loss, added to that of the digits", 0, 100)
    teacher: str = _setting("", "finished runs (RUN or RUN,RUN) whose mean output is learned as well as the labels")
    teacher_weight: float = _setting(0.7, "share of the digits' loss that comes from the teacher", 0, 1)
    teacher_temperature: float = _setting(2.0, "divisor of both sides' logits before they are compared", 0.1, 20)
    largest_refused_share: float = _setting(0.002, "share of real digits the novelty threshold may refuse", 0, 1)
    largest_refused_share_elsewhere: float = _setting(
        0.02, "share of the digits of any one stand-in for another population that it may refuse", 0, 1
    )

    def __post_init__(self) -> None:
        _check_ranges(self)
        if self.batch_size > self.train_images:
            raise ConfigError(f"batch_size = {self.batch_size} is more than train_images = {self.train_images}")
        if not 1 <= len(self.filters) <= 4:
            raise ConfigError(f"filters has {len(self.filters)} numbers, but 28 pixels can be halved 1 to 4 times")
        if self.depths and len(self.depths) != len(self.filters):
            raise ConfigError(f"depths has {len(self.depths)} numbers, but filters has {len(self.filters)}")
        if self.convolution_precision not in ("bfloat16", "float32"):
            raise ConfigError(f"convolution_precision = {self.convolution_precision!r} must be bfloat16 or float32")
        if self.interpolation < 1 and not self.start:
            raise ConfigError(f"interpolation = {self.interpolation} needs a start to take the weights back to")
        if self.split not in ("writers", "rows"):
            raise ConfigError(f"split = {self.split!r} must be writers or rows")

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in one pass; the rows left over differ from epoch to epoch, as the order does."""
        return self.train_images // self.batch_size


@dataclass(frozen=True, slots=True)
class ColumnsConfig:
    """Settings of a run of the column network."""

    seed: int = _setting(1, "seed of weights, strips, their order and their distortions", 0, 2**31 - 1)
    strips: int = _setting(90_000, "strips to draw and to train on", 1)
    signs: float = _setting(0.15, "share of strips that show no digit, but a letter, a scribble and the like", 0, 0.9)
    validation_strips: int = _setting(3_000, "strips by writers who train nothing, to evaluate on", 1)
    epochs: int = _setting(14, "passes over the strips", 1)
    threads: int = _setting(2, "threads to compute with; another number gives other last bits", 1)

    def __post_init__(self) -> None:
        _check_ranges(self)


@dataclass(frozen=True, slots=True)
class AdaptConfig:
    """Settings of adapting a version to own digits; all others are those of the version's training run."""

    epochs: int = _setting(1, "passes over MNIST's training rows, which are repeated with the own pictures", 1)
    learning_rate: float = _setting(0.001, "learning rate after warm-up", 1e-9)
    own_images: int = _setting(32, "own pictures added to each step", 1, 1024)
    interpolation: float = _setting(
        0.5, "share of the way from the start's weights to the trained ones; less learns less and forgets less", 0, 1
    )
    threads: int = _setting(2, "threads to compute with; another number gives other last bits", 1)

    def __post_init__(self) -> None:
        _check_ranges(self)


@dataclass(frozen=True, slots=True)
class Places:
    """Folders and names that are read and written. Nothing here changes a weight. Empty means: the default."""

    mnist_folder: str = _setting("", "folder with MNIST's IDX files (plain or .gz), tried before any download")
    cache_folder: str = _setting("", "folder for fetched data (default: mnist-digits in your cache folder)")
    runs_folder: str = _setting("runs", "folder for runs")
    model_repository: str = _setting("models", "folder in which export writes <model>/<version>/")
    model: str = _setting("mnist", "name of the model that export writes a version of")

    @property
    def cache(self) -> Path:
        """The cache folder, or the default one."""
        return Path(self.cache_folder) if self.cache_folder else default_cache_folder()

    @property
    def local_mnist(self) -> Path | None:
        """The local folder with MNIST, if one was named."""
        return Path(self.mnist_folder) if self.mnist_folder else None


def default_cache_folder() -> Path:
    """`mnist-digits` under the user's cache folder (XDG_CACHE_HOME, or ~/.cache)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mnist-digits"


def read_toml(path: Path) -> dict[str, dict[str, Any]]:
    """The tables `training` and `places` of a settings file, not yet checked against the settings there are.

    Raises:
        ConfigError: the file cannot be read, is not TOML, or has other tables.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # a UnicodeDecodeError and a TOMLDecodeError are ValueErrors
        raise ConfigError(f"cannot read the settings file {path}: {error}") from error
    for name, table in tables.items():
        if name not in ("training", "places") or not isinstance(table, dict):
            raise ConfigError(f"{path}: settings stand in the tables [training] and [places], but there is {name!r}")
    return {"training": tables.get("training", {}), "places": tables.get("places", {})}


def apply_settings(base: T, settings: Mapping[str, Any], origin: str) -> T:
    """A copy of the dataclass `base` with `settings` in place of its own values.

    Args:
        base: a TrainingConfig or Places.
        settings: values by name, from TOML, JSON or flags.
        origin: their source, for messages.

    Raises:
        ConfigError: a name is unknown, or a value has the wrong type or is out of range.
    """
    types = {each.name: type(getattr(base, each.name)) for each in dataclasses.fields(base)}  # type: ignore[arg-type]  # T is a dataclass
    for name in settings:
        if name not in types:
            raise ConfigError(f"{origin}: there is no setting {name!r}; there are {', '.join(types)}")
    converted = {name: _convert(name, value, types[name], origin) for name, value in settings.items()}
    try:
        return dataclasses.replace(base, **converted)  # type: ignore[type-var]  # T is a dataclass
    except ConfigError as error:
        raise ConfigError(f"{origin}: {error}") from error


def _convert(name: str, value: Any, wanted: type, origin: str) -> Any:
    if wanted is tuple and isinstance(value, list | tuple) and all(type(each) is int for each in value):
        return tuple(value)
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        words = {int: "a whole number", float: "a number", str: "a text", tuple: "a list of whole numbers"}
        raise ConfigError(f"{origin}: {name} = {value!r} is not {words[wanted]}")
    return value


def _check_ranges(config: TrainingConfig | ColumnsConfig | AdaptConfig) -> None:
    for each in dataclasses.fields(config):
        value, low, high = getattr(config, each.name), each.metadata["minimum"], each.metadata["maximum"]
        for number in value if isinstance(value, tuple) else (value,):
            if (low is not None and not number >= low) or (high is not None and not number <= high):
                limits = f"at least {low}" if high is None else f"between {low} and {high}"
                raise ConfigError(f"{each.name} = {number} must be {limits}")
