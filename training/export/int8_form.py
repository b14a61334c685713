"""Writes the int8 form of a version on disk: the same network in integers, every figure measured anew."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training.config import FORMER_SETTINGS
from training.data.arrays import LabelledDigits
from training.data.split import SPLIT_SETTINGS, Split
from training.environment import library_versions
from training.errors import ExportError
from training.evaluation.calibration import shared_threshold
from training.evaluation.evaluate import evaluation_metrics
from training.evaluation.predictions import Predictions
from training.export import drift_reference
from training.export.checks import check_quantized, onnx_predictions
from training.export.drift_reference import Populations, reference_file
from training.export.metadata import Metadata
from training.export.model_repository import next_version, read_version, write_described
from training.export.model_version import golden_digits, golden_file
from training.export.onnx_graph import with_properties
from training.export.quantization import quantized

# Of the record of a training run: what an int8 form is made with.
SETTINGS = (
    *SPLIT_SETTINGS,
    *("synthetic_images", "largest_refused_share", "largest_refused_share_elsewhere"),
)


@dataclass(frozen=True, slots=True)
class IntegerGraph:
    """An int8 graph with its threshold, its predictions for the validation rows, and the largest difference of a
    probability from float32's.
    """

    graph: bytes
    novelty_threshold: float
    validation: Predictions
    difference: float


def in_int8(
    graph: bytes, split: Split, stand_ins: Sequence[LabelledDigits], settings: Mapping[str, Any]
) -> IntegerGraph:
    """A graph with convolutions and hidden layers in integers, checked against itself in float32.

    Args:
        graph: a serialized float32 graph of `onnx_graph`.
        split: as it was trained with: training rows give the ranges, validation rows the threshold.
        stand_ins: digits of other populations that the threshold must accept.
        settings: of the training, with the shares of digits that may be refused.

    Raises:
        ExportError: too many digits are read otherwise.
    """
    integers = quantized(graph, split.train.pixels)
    report = check_quantized(integers, onnx_predictions(graph, split.validation))
    validation = onnx_predictions(integers, split.validation)
    threshold = threshold_of(integers, validation, stand_ins, settings)
    return IntegerGraph(integers, threshold, validation, report.runtime_difference)


def threshold_of(
    graph: bytes, validation: Predictions, stand_ins: Sequence[LabelledDigits], settings: Mapping[str, Any]
) -> float:
    """The novelty threshold of a serialized graph. `validation`: its predictions; the rest as for `in_int8`."""
    return shared_threshold(
        validation.novelty,
        settings["largest_refused_share"],
        [onnx_predictions(graph, each).novelty for each in stand_ins],
        settings["largest_refused_share_elsewhere"],
    )


def read_float_version(folder: Path) -> tuple[bytes, Metadata]:
    """The graph and the metadata of a version that can have an int8 form.

    Raises:
        ExportError: it cannot be read, is a cascade, an int8 form or adapted, or does not say how it was trained.
    """
    graph, metadata = read_version(folder)
    if "cascade" in metadata:
        raise ExportError(f"{folder} is a cascade: `training cascade --int8` joins the int8 forms of its stages")
    if metadata.get("precision") == "int8":
        raise ExportError(f"{folder} is an int8 form: name the version whose form it is")
    if "adaptation" in metadata:
        raise ExportError(
            f"{folder} is adapted to own digits: its threshold and its reference of drift follow from those, which an"
            " int8 form does not have"
        )
    training = metadata.get("training")
    if not isinstance(training, dict) or not {*SETTINGS} <= {*FORMER_SETTINGS, *training}:
        raise ExportError(f"{folder} does not say how it was trained: its metadata.json lacks {', '.join(SETTINGS)}")
    if not training["synthetic_images"]:
        raise ExportError(f"{folder} learned no novelty, for which an int8 form has a threshold of its own")
    return graph, metadata


def export_int8_form(
    folder: Path,
    split: Split,
    stand_ins: Sequence[LabelledDigits],
    repository: Path,
    name: str,
    populations: Populations | None = None,
) -> tuple[Path, float]:
    """Write the int8 form of a version as the next version of the model `name`.

    Args:
        folder: the version.
        split: MNIST's rows as it was trained with; the test rows give figures alone.
        stand_ins: digits of other populations, made from validation rows, which the novelty threshold must accept.
        repository: the folder of models.
        name: the model's name.
        populations: measured for drift.json; None: the form has none.

    Returns:
        its folder, and the largest difference of a probability from float32's.

    Raises:
        ExportError: the version can have no int8 form, a check failed, or the repository cannot be written; no version
            was written.
        DataError: the server's measuring cannot run; no version was written.
    """
    graph, own = read_float_version(folder)
    version = next_version(repository, name)
    found = in_int8(graph, split, stand_ins, own["training"])
    properties = {
        "version": str(version),
        "temperature": repr(own["temperature"]),
        "novelty_threshold": repr(found.novelty_threshold),
        "git_revision": own["git"]["revision"],
    }
    model = with_properties(found.graph, properties)
    files = {"model.onnx": model, "golden.npz": golden_file(onnx_predictions(model, golden_digits(split)))}
    if populations:
        files[drift_reference.FILE] = reference_file(model, populations)
    metrics = evaluation_metrics(found.validation, onnx_predictions(model, split.test), found.novelty_threshold)
    metadata: Metadata = {
        **own,
        "name": name,
        "version": version,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "metrics": metrics,
        "novelty_threshold": found.novelty_threshold,
        "precision": "int8",
        "files": {file: hashlib.sha256(content).hexdigest() for file, content in files.items()},
        "libraries": library_versions(),
    }
    metadata.pop("other_sets", None)  # measured on the float32 graph
    return write_described(repository, metadata, files), found.difference
