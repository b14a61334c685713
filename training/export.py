"""A finished, evaluated run becomes a model version: graph, golden answers, metadata, card; checked, then written."""

import dataclasses
import hashlib
import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from training.arrays import Floats, LabelledDigits, Weights
from training.calibration import novelty, softmax
from training.export_checks import CheckReport, check_model
from training.folded_network import FoldedNetwork, fold
from training.mnist_files import CHECKSUMS, Mnist
from training.model_card import model_card
from training.model_metadata import SCHEMA_VERSION, SIGNATURE, Evaluation, Metadata
from training.model_repository import MODEL_NAME, next_version, write_version
from training.onnx_graph import onnx_model
from training.run_folder import RunRecord
from training.split import split_rows
from training.trainer import network_logits
from training.training_state import network_from_weights

GOLDEN_IMAGES = 256
_DESCRIPTION = (
    "Handwritten digits, 28x28 pixels. In: pixels, uint8, 0 = paper, 255 = ink, rows from the top."
    " Out: calibrated probabilities of the digits 0 to 9, the likeliest digit, and novelty,"
    " from 0 for a typical digit to 1 for no digit at all."
)


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """All that a run leaves for export."""

    record: RunRecord
    weights: Weights
    evaluation: Evaluation
    seconds: float


def export_run(run: FinishedRun, mnist: Mnist, repository: Path) -> tuple[Path, CheckReport]:
    """Write the run as the next version; its folder, and what the checks measured.

    Raises:
        ExportError: a check failed or the repository cannot be written; no version was written then.
    """
    config, temperature = run.record.config, run.evaluation["temperature"]
    keras_network = network_from_weights(config, run.weights)
    network = fold(run.weights)
    version = next_version(repository)
    properties = {
        "version": str(version),
        "temperature": repr(temperature),
        "novelty_threshold": repr(run.evaluation["novelty_threshold"]),
        "git_revision": run.record.git.revision,
    }
    model = onnx_model(network, temperature, properties, version, _DESCRIPTION).SerializeToString()

    def keras_answers(digits: LabelledDigits) -> Floats:
        return softmax(network_logits(keras_network, digits.pixels), temperature)

    report = check_model(model, mnist.test.pixels, keras_answers(mnist.test))
    validation = split_rows(mnist.train, config.train_images, config.validation_images, config.split_seed).validation
    golden_digits = validation.take(np.arange(min(GOLDEN_IMAGES, len(validation))))
    files = {"model.onnx": model, "golden.npz": golden_file(golden_digits, keras_answers(golden_digits))}
    metadata = _metadata(run, network, version, files)
    files["metadata.json"] = (json.dumps(metadata, indent=2) + "\n").encode()
    files["MODEL_CARD.md"] = model_card(metadata).encode()
    return write_version(repository, version, files), report


def golden_file(digits: LabelledDigits, probabilities: Floats) -> bytes:
    """An npz of images with the answers Keras gave: pixels, digit, probabilities, novelty."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        allow_pickle=False,
        pixels=digits.pixels,
        digit=np.argmax(probabilities, axis=1).astype(np.int64),
        probabilities=probabilities,
        novelty=novelty(probabilities),
    )
    return buffer.getvalue()


def _metadata(run: FinishedRun, network: FoldedNetwork, version: int, files: dict[str, bytes]) -> Metadata:
    record = run.record
    return {
        "schema_version": SCHEMA_VERSION,
        "name": MODEL_NAME,
        "version": version,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "git": {"revision": record.git.revision, "dirty": record.git.dirty},
        "training": {
            **dataclasses.asdict(record.config),
            "started": record.started,
            "seconds": round(run.seconds, 1),
            "processor": record.processor,
        },
        "data": dict(CHECKSUMS),
        "metrics": run.evaluation["metrics"],
        "temperature": run.evaluation["temperature"],
        "novelty_threshold": run.evaluation["novelty_threshold"],
        "parameters": network.parameters,
        "multiply_adds": network.multiply_adds,
        "signature": SIGNATURE,
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        "libraries": dict(record.libraries),
    }
