"""Checks of a graph before it becomes a model version: valid ONNX, and equal to Keras in every runtime."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx.reference import ReferenceEvaluator

# ONNX Runtime reports its use to its makers unless this is set before it is loaded (microsoft/onnxruntime#27379).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from training.data.arrays import Floats, LabelledDigits, Pixels
from training.errors import ExportError
from training.evaluation.predictions import Predictions

BATCH_SIZES = (1, 2, 7, 64, 257)
LARGEST_DIFFERENCE = 1e-5  # of any probability; float32 sums in another order differ by less than 1e-6
MOST_CHANGED_BY_QUANTIZATION = 0.002  # of the validation digits
# The reference evaluator is plain Python, a few milliseconds for each image: a sample shows what it can show,
# that the graph means by the ONNX standard what ONNX Runtime makes of it.
REFERENCE_IMAGES = 257

Outputs = Mapping[str, npt.NDArray[np.generic]]
_NAMES = ["probabilities", "digit", "novelty"]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The largest difference of a probability from Keras', and the number of images, for each evaluator."""

    runtime_images: int
    runtime_difference: float
    reference_images: int
    reference_difference: float


def check_model(content: bytes, expected: Predictions) -> CheckReport:
    """Check the bytes of a model file against Keras' predictions for a set of digits.

    Raises:
        ExportError: the graph is not valid ONNX, or a prediction differs.
    """
    _check_valid(content)
    evaluator = ReferenceEvaluator(onnx.load_from_string(content))
    pixels, few = expected.digits.pixels, expected.take(REFERENCE_IMAGES)
    reference = dict(zip(_NAMES, evaluator.run(_NAMES, {"pixels": few.digits.pixels}), strict=True))
    session = runtime_session(content)
    differences = [
        _difference(run_in_batches(session, pixels, size), expected, f"ONNX Runtime in batches of {size}")
        for size in BATCH_SIZES
    ]
    return CheckReport(
        runtime_images=len(pixels),
        runtime_difference=max(differences),
        reference_images=len(few.digits),
        reference_difference=_difference(reference, few, "the ONNX reference evaluator"),
    )


def check_quantized(content: bytes, expected: Predictions) -> CheckReport:
    """Check an int8 graph: valid ONNX, equal outputs in every batch size, and few digits other than Keras'.

    Raises:
        ExportError: it is not valid ONNX, or differs by more than rounding to 8 bits explains.
    """
    _check_valid(content)
    session = runtime_session(content)
    alone, *others = (run_in_batches(session, expected.digits.pixels, size) for size in BATCH_SIZES)
    for outputs in others:
        _largest(
            outputs["probabilities"], np.asarray(alone["probabilities"], np.float32), "a probability in a batch", "int8"
        )
    changed = float(np.mean(alone["digit"] != expected.digit))
    if changed > MOST_CHANGED_BY_QUANTIZATION:
        raise ExportError(f"int8: {changed:.2%} of the digits differ from float32's")
    difference = float(np.max(np.abs(np.asarray(alone["probabilities"], np.float32) - expected.probabilities)))
    return CheckReport(len(expected.digits), difference, 0, 0.0)


def check_cascade(content: bytes, expected: Predictions) -> float:
    """Check a cascade against its two stages run one by one, in every batch size; the largest difference.

    Args:
        content: the serialized cascade.
        expected: the predictions of its stages, joined outside of the graph, for a set of digits.

    Raises:
        ExportError: it is not valid ONNX, or a prediction differs.
    """
    _check_valid(content)
    session = runtime_session(content)
    return max(
        _difference(
            run_in_batches(session, expected.digits.pixels, size), expected, f"batches of {size}", "its stages'"
        )
        for size in BATCH_SIZES
    )


def onnx_predictions(content: bytes, digits: LabelledDigits) -> Predictions:
    """Predictions of a serialized model for a set of digits, by ONNX Runtime."""
    found = run_in_batches(runtime_session(content), digits.pixels, 100)
    return Predictions(digits, np.asarray(found["probabilities"], np.float32), np.asarray(found["novelty"], np.float32))


def _check_valid(content: bytes) -> None:
    try:
        onnx.checker.check_model(content, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the exported graph is not valid ONNX: {error}") from error


def runtime_session(content: bytes) -> onnxruntime.InferenceSession:
    """A CPU session of one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run_in_batches(session: onnxruntime.InferenceSession, pixels: Pixels, size: int) -> Outputs:
    """The three outputs for `pixels` (n, 784) uint8, in batches of `size` images."""
    starts = range(0, len(pixels), size)
    batches = [session.run(_NAMES, {"pixels": pixels[start : start + size]}) for start in starts]
    return {name: np.concatenate(parts) for name, parts in zip(_NAMES, zip(*batches, strict=True), strict=True)}


def _difference(found: Outputs, expected: Predictions, who: str, whose: str = "Keras'") -> float:
    """The largest difference of a probability or a novelty; an error when it is too large or a digit is another."""
    differences = [
        _largest(found["probabilities"], expected.probabilities, "a probability", who, whose),
        _largest(found["novelty"], expected.novelty, "a novelty", who, whose),
    ]
    wrong = int(np.sum(found["digit"] != np.argmax(expected.probabilities, axis=1)))
    if wrong:
        raise ExportError(f"{who}: {wrong} of {len(expected.digits)} digits differ from {whose}")
    return max(differences)


def _largest(found: npt.NDArray[np.generic], expected: Floats, what: str, who: str, whose: str = "Keras'") -> float:
    if found.shape != expected.shape:
        raise ExportError(f"{who}: {what} has shape {found.shape}, expected {expected.shape}")
    difference = float(np.max(np.abs(found.astype(np.float32) - expected)))
    if not difference <= LARGEST_DIFFERENCE:  # not `>`, which would let a NaN pass
        raise ExportError(f"{who}: {what} differs from {whose} by {difference:.1e}, allowed {LARGEST_DIFFERENCE:.0e}")
    return difference
