"""The version that adapting starts from: its graph, its figures, its settings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from training.config import FORMER_SETTINGS, TrainingConfig, apply_settings
from training.data.arrays import LabelledDigits
from training.errors import ConfigError, ExportError
from training.evaluation.predictions import Predictions
from training.export.checks import onnx_predictions
from training.export.metadata import Metadata
from training.export.model_repository import read_version

_NO_SETTINGS = ("started", "seconds", "processor", "members")  # of metadata.json's record of a training run


@dataclass(frozen=True, slots=True)
class StartVersion:
    """A version on disk, whose weights can be trained on."""

    folder: Path
    graph: bytes
    metadata: Metadata
    config: TrainingConfig

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a version.

        Raises:
            ExportError: it cannot be read, or it is no float32 network with a learned novelty.
        """
        graph, metadata = read_version(folder)
        if "cascade" in metadata or metadata.get("precision", "float32") != "float32":
            raise ExportError(
                f"{folder} is a cascade or an int8 form, whose weights cannot be trained on: name the float32 version"
                " that it was made from"
            )
        if "adaptation" in metadata:
            raise ExportError(
                f"{folder} was adapted itself: pictures that it has learned cannot be held out from it any more. Start"
                " from the version that it started from, with all pictures"
            )
        try:
            settings: dict[str, Any] = {**FORMER_SETTINGS, **metadata["training"]}
            for name in _NO_SETTINGS:
                settings.pop(name, None)
            config = apply_settings(TrainingConfig(), settings, f"{folder}/metadata.json")
            _ = float(metadata["novelty_threshold"]), str(metadata["name"]), int(metadata["version"])
        except (ConfigError, KeyError, TypeError, ValueError) as error:
            raise ExportError(f"{folder} is of another form than this code trains: {error!r}") from error
        if not config.synthetic_images or not config.novelty_weight:
            raise ExportError(f"{folder} has learned no novelty, which adapting would have to fit anew")
        return cls(folder, graph, metadata, config)

    @property
    def name(self) -> str:
        """Such as mnist/4."""
        return f"{self.metadata['name']}/{self.metadata['version']}"

    @property
    def threshold(self) -> float:
        """Novelty above which it refuses."""
        return float(self.metadata["novelty_threshold"])

    def predict(self, digits: LabelledDigits) -> Predictions:
        """Predictions for pictures, by ONNX Runtime."""
        return onnx_predictions(self.graph, digits)


def highest_version(repository: Path, name: str) -> Path:
    """The folder of the highest version of a model that was not adapted itself.

    Raises:
        ExportError: there is none, or one cannot be read.
    """
    folders = [each for each in (repository / name).glob("*") if each.name.isdecimal()]
    for folder in sorted(folders, key=lambda each: int(each.name), reverse=True):
        if "adaptation" not in read_version(folder)[1]:
            return folder
    raise ExportError(f"there is no version of {name} in {repository}: name one with --start, such as models/mnist/6")


def answered_rightly(predictions: Predictions, threshold: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(n,): the right digit, and not refused; where there is no digit, refused."""
    refused = predictions.novelty > threshold
    return np.where(predictions.digits.labels < 0, refused, ~refused & (predictions.digit == predictions.digits.labels))
