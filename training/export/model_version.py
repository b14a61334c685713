"""Writes a finished, evaluated run as a model version: graph, golden predictions, metadata, card; checked first."""

import dataclasses
import hashlib
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from training.data.arrays import LabelledDigits, Weights
from training.data.mnist import CHECKSUMS
from training.data.other_handwriting import map_digits, omniglot, pen_digits
from training.data.split import Split
from training.evaluation.figures import Evaluation, OtherSets
from training.evaluation.predictions import Predictions, calibrated
from training.export import drift_reference
from training.export.checks import CheckReport, check_model
from training.export.drift_reference import Populations, reference_file
from training.export.metadata import SCHEMA_VERSION, SIGNATURE, Adaptation, Metadata
from training.export.model_repository import next_version, write_described
from training.export.onnx_graph import onnx_model
from training.fit.run_folder import RunRecord
from training.network.architecture import network_from_weights
from training.network.folding import FoldedNetwork, fold
from training.network.outputs import network_outputs

GOLDEN_IMAGES = 256
_OTHER_DATA = {
    "pen_digits.npz": pen_digits.SHA256,
    "map_digits.npz": map_digits.SHA256,
    "omniglot.npz": omniglot.SHA256,
}
_DESCRIPTION = (
    "Handwritten digits, 28x28 pixels. In: pixels, uint8, 0 = paper, 255 = ink, rows from the top."
    " Out: calibrated probabilities of the digits 0 to 9, the likeliest digit, and novelty,"
    " from 0 for a typical digit to 1 for no digit at all."
)


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """A run's record, weights, figures, and seconds of training."""

    record: RunRecord
    weights: Weights
    evaluation: Evaluation
    seconds: float


@dataclass(frozen=True, slots=True)
class AdaptedTo:
    """What an adapted version has besides: its record, and figures of other populations."""

    adaptation: Adaptation
    other_sets: OtherSets


@dataclass(frozen=True, slots=True)
class _Exported:
    """One graph with its precision, golden predictions and figures."""

    model: bytes
    precision: str
    golden: Predictions
    evaluation: Evaluation


def export_run(
    run: FinishedRun,
    split: Split,
    repository: Path,
    name: str,
    populations: Populations | None = None,
    adapted: AdaptedTo | None = None,
) -> tuple[Path, CheckReport]:
    """Write the run as the next version of the model `name`; its folder, and what the checks measured.

    Args:
        run: trained and evaluated.
        split: MNIST's rows as the run was trained with.
        repository: the folder of models.
        name: the model's name.
        populations: measured for drift.json; None: the version has none.
        adapted: what a version adapted to own digits has besides.

    Raises:
        ExportError: a check failed or the repository cannot be written; no version was written then.
        DataError: the server's measuring cannot run; no version was written then.
    """
    version = next_version(repository, name)
    model = _float_model(run, version)
    report = check_model(model, _keras_predictions(run, split.test))
    golden = _keras_predictions(run, golden_digits(split))
    exported = _Exported(model, "float32", golden, run.evaluation)
    return _write(run, repository, name, version, exported, populations, adapted), report


def golden_file(predictions: Predictions) -> bytes:
    """An npz of images with the predictions expected for them: pixels, digit, probabilities, novelty."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        allow_pickle=False,
        pixels=predictions.digits.pixels,
        digit=predictions.digit,
        probabilities=predictions.probabilities,
        novelty=predictions.novelty,
    )
    return buffer.getvalue()


def golden_digits(split: Split) -> LabelledDigits:
    """The validation rows whose predictions are recorded."""
    return split.validation.take(np.arange(min(GOLDEN_IMAGES, len(split.validation))))


def _float_model(run: FinishedRun, version: int) -> bytes:
    properties = _properties(run, version, run.evaluation)
    temperature = run.evaluation["temperature"]
    return onnx_model(
        fold(run.weights, run.record.config.depths), temperature, properties, version, _DESCRIPTION
    ).SerializeToString()


def _properties(run: FinishedRun, version: int, evaluation: Evaluation) -> dict[str, str]:
    return {
        "version": str(version),
        "temperature": repr(evaluation["temperature"]),
        "novelty_threshold": repr(evaluation["novelty_threshold"]),
        "git_revision": run.record.git.revision,
    }


def _keras_predictions(run: FinishedRun, digits: LabelledDigits) -> Predictions:
    outputs = network_outputs(network_from_weights(run.record.config, run.weights), digits.pixels)
    return calibrated(digits, outputs, run.evaluation["temperature"])


def _write(
    run: FinishedRun,
    repository: Path,
    name: str,
    version: int,
    exported: _Exported,
    populations: Populations | None,
    adapted: AdaptedTo | None = None,
) -> Path:
    files = {"model.onnx": exported.model, "golden.npz": golden_file(exported.golden)}
    if populations:  # written with the rest: a server does not look again at a version that it serves
        files[drift_reference.FILE] = reference_file(exported.model, populations)
    metadata = _metadata(run, fold(run.weights, run.record.config.depths), name, version, exported, files)
    if adapted:
        metadata |= {"adaptation": adapted.adaptation, "other_sets": adapted.other_sets}
    return write_described(repository, metadata, files)


def _metadata(
    run: FinishedRun,
    network: FoldedNetwork,
    name: str,
    version: int,
    exported: _Exported,
    files: dict[str, bytes],
) -> Metadata:
    record, evaluation = run.record, exported.evaluation
    return {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "version": version,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "git": {"revision": record.git.revision, "dirty": record.git.dirty},
        "training": {
            **dataclasses.asdict(record.config),
            "started": record.started,
            "seconds": round(run.seconds, 1),
            "processor": record.processor,
            **({"members": [dataclasses.asdict(each) for each in record.members]} if record.members else {}),
        },
        "data": {**CHECKSUMS, **(_OTHER_DATA if record.config.other_handwriting_images else {})},
        "metrics": evaluation["metrics"],
        "temperature": evaluation["temperature"],
        "novelty_threshold": evaluation["novelty_threshold"],
        "precision": exported.precision,
        "parameters": network.parameters,
        "multiply_adds": network.multiply_adds,
        "signature": SIGNATURE,
        "files": {file: hashlib.sha256(content).hexdigest() for file, content in files.items()},
        "libraries": dict(record.libraries),
    }
