"""Writes two model versions of a repository as one, a cascade: chosen on validation rows, checked against both.

Its int8 form is a cascade of the int8 forms of both, with a threshold of its own.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from training.config import FORMER_SETTINGS
from training.data.arrays import LabelledDigits
from training.data.mnist import CHECKSUMS
from training.data.split import Split
from training.environment import current_git_state, library_versions
from training.errors import ExportError
from training.evaluation.evaluate import evaluation_metrics
from training.evaluation.predictions import Predictions
from training.export import drift_reference
from training.export.cascade import Joint, cascade_model, choose_unsure_below, novelty_power
from training.export.checks import check_cascade, onnx_predictions
from training.export.drift_reference import Populations, reference_file
from training.export.int8_form import in_int8, threshold_of
from training.export.metadata import SCHEMA_VERSION, SIGNATURE, Metadata, Stage
from training.export.model_repository import next_version, read_version, write_described
from training.export.model_version import GOLDEN_IMAGES, golden_file
from training.export.onnx_graph import with_properties

# Of the golden predictions: those that the second stage makes, and how far all should be from the threshold between
# the stages, in log-odds. Another processor's rounding may send a row that is nearer to the other stage.
_GOLDEN_UNSURE = 32
_GOLDEN_MARGIN = 1.0
# Of metadata.json's record of a training run: what both stages must share, and the cascade's own record has.
SHARED_SETTINGS = (
    "split_seed",
    "split",
    "train_images",
    "validation_images",
    "largest_refused_share",
    "largest_refused_share_elsewhere",
)
_DESCRIPTION = (
    "Handwritten digits, 28x28 pixels, by a cascade: a fast network answers, and a second, larger one answers where the"
    " first is unsure. In: pixels, uint8, 0 = paper, 255 = ink, rows from the top. Out: calibrated probabilities of the"
    " digits 0 to 9, the likeliest digit, and novelty, from 0 for a typical digit to 1 for no digit at all."
)


@dataclass(frozen=True, slots=True)
class StageVersion:
    """A model version on disk that is to be a stage: its graph and its metadata."""

    graph: bytes
    metadata: Metadata

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a version.

        Raises:
            ExportError: its files are missing or not those that its metadata names, or it is a cascade itself or an
                int8 form.
        """
        graph, metadata = read_version(folder)
        if "cascade" in metadata:
            raise ExportError(f"{folder} is a cascade itself: name one of its stages")
        if metadata.get("precision") == "int8":
            raise ExportError(f"{folder} is an int8 form: name the version whose form it is, and --int8")
        return cls(graph, metadata)

    def record(self) -> Stage:
        """What the cascade's metadata.json says of the stage."""
        own = self.metadata
        return {
            "name": own["name"],
            "version": own["version"],
            "sha256": own["files"]["model.onnx"],
            "precision": own.get("precision", "float32"),
            "parameters": own["parameters"],
            "multiply_adds": own["multiply_adds"],
            "temperature": own["temperature"],
            "novelty_threshold": own["novelty_threshold"],
            "git": own["git"],
        }

    def in_int8(self, split: Split, stand_ins: Sequence[LabelledDigits], settings: Mapping[str, Any]) -> Self:
        """The stage in 8 bits, with the novelty threshold that belongs to it.

        Args:
            split: as it was trained with: training rows give the ranges, validation rows the threshold.
            stand_ins: digits of other populations that the threshold must accept.
            settings: of `shared_settings`.

        Raises:
            ExportError: it reads too many digits otherwise in 8 bits.
        """
        found = in_int8(self.graph, split, stand_ins, settings)
        return type(self)(
            found.graph, {**self.metadata, "precision": "int8", "novelty_threshold": found.novelty_threshold}
        )


@dataclass(frozen=True, slots=True)
class CascadeReport:
    """Written folder, its metadata, the largest difference from the stages, and the images that showed it."""

    folder: Path
    metadata: Metadata
    difference: float
    images: int


def shared_settings(fast: StageVersion, second: StageVersion) -> dict[str, Any]:
    """The settings of the split and of refusals, by name.

    Raises:
        ExportError: the stages were trained with different ones, so that one's validation rows trained the other.
    """
    one, other = (
        [{**FORMER_SETTINGS, **each.metadata["training"]}.get(name) for name in SHARED_SETTINGS]
        for each in (fast, second)
    )
    if one != other or None in one:
        names = ", ".join(SHARED_SETTINGS)
        raise ExportError(f"the stages must be versions with a learned novelty and the same {names}: {one}, {other}")
    return dict(zip(SHARED_SETTINGS, one, strict=True))


def export_cascade(
    fast: StageVersion,
    second: StageVersion,
    split: Split,
    stand_ins: Sequence[LabelledDigits],
    repository: Path,
    name: str,
    populations: Populations | None = None,
    unsure_below: float | None = None,
    int8: bool = False,
) -> CascadeReport:
    """Write the cascade of two versions as the next version of the model `name`.

    Args:
        fast: answers all rows.
        second: answers the rows of which `fast` is unsure.
        split: MNIST's rows as both were trained with; the test rows serve for nothing but the figures.
        stand_ins: digits of other populations, made from validation rows, which the novelty threshold must accept.
        repository: the folder of models.
        name: the model's name.
        populations: measured for drift.json; None: the version has none.
        unsure_below: the threshold between the stages; None: it is chosen on the validation rows.
        int8: of the int8 forms of both.

    Raises:
        DataError: the server's measuring cannot run; no version was written.
        ExportError: the cascade is no use, a check failed, or the repository cannot be written; no version was written.
    """
    settings, version = shared_settings(fast, second), next_version(repository, name)
    if int8:
        fast, second = (each.in_int8(split, stand_ins, settings) for each in (fast, second))
    first, other = (onnx_predictions(each.graph, split.validation) for each in (fast, second))
    power = novelty_power(fast.metadata["novelty_threshold"], second.metadata["novelty_threshold"])
    joint = Joint(choose_unsure_below(first, other) if unsure_below is None else unsure_below, power)
    model = cascade_model(fast.graph, second.graph, joint, {}, version, _DESCRIPTION).SerializeToString()
    expected = joint.merged(first, other)
    difference = check_cascade(model, expected)
    validation, test = (onnx_predictions(model, each) for each in (split.validation, split.test))
    threshold = threshold_of(model, validation, stand_ins, settings)
    share = float(np.mean(joint.is_unsure(first)))
    precisions = {each.record()["precision"] for each in (fast, second)}
    git = current_git_state()
    properties = {
        "version": str(version),
        "unsure_below": repr(joint.unsure_below),
        "novelty_threshold": repr(threshold),
        "git_revision": git.revision,
    }
    files = {
        "model.onnx": with_properties(model, properties),
        "golden.npz": golden_file(expected.rows(_golden_rows(first, joint))),
    }
    if populations:
        files[drift_reference.FILE] = reference_file(files["model.onnx"], populations)
    metadata: Metadata = {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "version": version,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "git": {"revision": git.revision, "dirty": git.dirty},
        "training": settings,
        "cascade": {
            "unsure_below": joint.unsure_below,
            "novelty_power": joint.novelty_power,
            "unsure_share": share,
            "fast": fast.record(),
            "second": second.record(),
        },
        "data": dict(CHECKSUMS),
        "metrics": evaluation_metrics(validation, test, threshold),
        "novelty_threshold": threshold,
        "precision": "int8" if "int8" in precisions else "float32",
        "parameters": fast.metadata["parameters"] + second.metadata["parameters"],
        "multiply_adds": round(fast.metadata["multiply_adds"] + share * second.metadata["multiply_adds"]),
        "signature": SIGNATURE,
        "files": {file: hashlib.sha256(content).hexdigest() for file, content in files.items()},
        "libraries": library_versions(),
    }
    if unsure_below is not None:
        metadata["cascade"]["is_given"] = True
    folder = write_described(repository, metadata, files)
    return CascadeReport(folder, metadata, difference, len(split.validation))


def _golden_rows(fast: Predictions, joint: Joint) -> npt.NDArray[np.int64]:
    """Rows of the golden predictions, of both stages."""
    distance, unsure = np.abs(_log_odds(fast.confidence) - _log_odds(joint.unsure_below)), joint.is_unsure(fast)
    clear = distance >= min(_GOLDEN_MARGIN, float(np.median(distance)))
    some = np.flatnonzero(clear & unsure)[:_GOLDEN_UNSURE]
    return np.sort(np.concatenate([some, np.flatnonzero(clear & ~unsure)[: GOLDEN_IMAGES - len(some)]]))


def _log_odds(probability: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Log-odds of probabilities of any shape; a float32 1 counts as its neighbour."""
    exact = np.clip(np.asarray(probability, np.float64), 1e-7, 1 - 1e-7)
    return np.log(exact / (1 - exact))
