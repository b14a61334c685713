"""A model version for the report: its ONNX file with two inner values as outputs, and its metadata."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self, cast

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError

from training.data.arrays import Floats, LabelledDigits, Pixels
from training.data.mnist import Mnist
from training.data.split import Split, recorded_split
from training.errors import ExportError
from training.evaluation.predictions import Predictions
from training.export.cascade import FAST
from training.export.checks import runtime_session
from training.export.metadata import Metadata

_BATCH = 100
_HIDDEN = ("hidden_of_all_columns", "hidden_relu")  # of several columns, and of one
_STAGES = ("", FAST)  # before the names of values; those of a cascade are its fast stage's


@dataclass(frozen=True, slots=True)
class ModelOutputs:
    """Outputs of a model for n images: probabilities, logits (n, 10), novelty (n,), hidden (n, units), all float32.

    Logits and hidden values of a cascade are those of its fast stage, which sees every image.
    """

    probabilities: Floats
    novelty: Floats
    logits: Floats
    hidden: Floats


@dataclass(frozen=True, slots=True)
class Artefact:
    """One version on disk."""

    folder: Path
    metadata: Metadata
    session: onnxruntime.InferenceSession
    logits: str  # name of the value in the graph
    hidden: str

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a version.

        Raises:
            ExportError: its files are missing or damaged, or it is no network of this package.
        """
        try:
            metadata = cast(Metadata, json.loads((folder / "metadata.json").read_bytes()))
            graph = onnx.load_from_string((folder / "model.onnx").read_bytes())
        except (OSError, ValueError, DecodeError) as error:
            raise ExportError(f"{folder} is no model version that can be read: {error}") from error
        made = {name for node in graph.graph.node for name in node.output}
        hidden = next((stage + name for stage in _STAGES for name in _HIDDEN if stage + name in made), "")
        logits = next((f"{stage}logits" for stage in _STAGES if f"{stage}logits" in made), "")
        if not hidden or not logits:
            raise ExportError(f"{folder}/model.onnx has no values named logits and {' or '.join(_HIDDEN)}")
        graph.graph.output.extend(onnx.ValueInfoProto(name=name) for name in (logits, hidden))
        return cls(folder, metadata, runtime_session(graph.SerializeToString()), logits, hidden)

    @property
    def name(self) -> str:
        """Such as `mnist`."""
        return str(self.metadata["name"])

    @property
    def threshold(self) -> float:
        """Novelty above which it refuses."""
        return float(self.metadata["novelty_threshold"])

    def split(self, mnist: Mnist) -> Split:
        """MNIST's rows as this version's training run split them."""
        return recorded_split(mnist, self.metadata["training"])

    def outputs(self, pixels: Pixels) -> ModelOutputs:
        """Run the model on pixels (n, 784) uint8."""
        names = ["probabilities", "novelty", self.logits, self.hidden]
        starts = range(0, len(pixels), _BATCH)
        parts = zip(*(self.session.run(names, {"pixels": pixels[i : i + _BATCH]}) for i in starts), strict=True)
        return ModelOutputs(*(np.concatenate(part).astype(np.float32) for part in parts))

    def predict(self, digits: LabelledDigits) -> Predictions:
        """Predictions for labelled digits."""
        outputs = self.outputs(digits.pixels)
        return Predictions(digits, outputs.probabilities, outputs.novelty)


def highest_versions(repository: Path) -> list[Artefact]:
    """The highest version of each model in a repository, by name.

    Raises:
        ExportError: there is none, or one cannot be read.
    """
    models = sorted({path.parent.parent for path in repository.glob("*/*/metadata.json")})
    if not models:
        raise ExportError(f"there is no model version in {repository}: export one, or name another --model-repository")
    numbered = [[path for path in model.iterdir() if path.name.isdecimal()] for model in models]
    return [Artefact.load(max(versions, key=lambda path: int(path.name))) for versions in numbered]
