"""What a graph must prove before it becomes a model version: valid, and equal to Keras wherever it is run."""

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

from training.arrays import Floats, Pixels
from training.errors import ExportError

BATCH_SIZES = (1, 2, 7, 64, 257)
LARGEST_DIFFERENCE = 1e-5  # of any probability; float32 sums in another order differ by less than 1e-6
# The reference evaluator is plain Python, a few milliseconds for each image: a sample shows what it can show,
# that the graph means by the ONNX standard what ONNX Runtime makes of it.
REFERENCE_IMAGES = 257

Outputs = Mapping[str, npt.NDArray[np.generic]]
_NAMES = ["probabilities", "digit", "novelty"]


@dataclass(frozen=True, slots=True)
class CheckReport:
    """How far the farthest probability was from Keras', and on how many images each evaluator was asked."""

    runtime_images: int
    runtime_difference: float
    reference_images: int
    reference_difference: float


def check_model(content: bytes, pixels: Pixels, expected: Floats) -> CheckReport:
    """Check the bytes of a model file against Keras' answers.

    Args:
        content: the serialized model.
        pixels: (n, 784) uint8.
        expected: (n, 10) float32, Keras' calibrated probabilities for `pixels`.

    Raises:
        ExportError: the graph is not valid ONNX, or an answer differs.
    """
    try:
        onnx.checker.check_model(content, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the exported graph is not valid ONNX: {error}") from error
    evaluator = ReferenceEvaluator(onnx.load_from_string(content))
    few = pixels[:REFERENCE_IMAGES]
    reference = dict(zip(_NAMES, evaluator.run(_NAMES, {"pixels": few}), strict=True))
    session = runtime_session(content)
    differences = [
        _difference(_run_in_batches(session, pixels, size), expected, f"ONNX Runtime in batches of {size}")
        for size in BATCH_SIZES
    ]
    return CheckReport(
        runtime_images=len(pixels),
        runtime_difference=max(differences),
        reference_images=len(few),
        reference_difference=_difference(reference, expected[: len(few)], "the ONNX reference evaluator"),
    )


def runtime_session(content: bytes) -> onnxruntime.InferenceSession:
    """A CPU session of one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _run_in_batches(session: onnxruntime.InferenceSession, pixels: Pixels, size: int) -> Outputs:
    starts = range(0, len(pixels), size)
    batches = [session.run(_NAMES, {"pixels": pixels[start : start + size]}) for start in starts]
    return {name: np.concatenate(parts) for name, parts in zip(_NAMES, zip(*batches, strict=True), strict=True)}


def _difference(found: Outputs, expected: Floats, who: str) -> float:
    """The largest difference of a probability; an error when it is too large or any other answer is wrong."""
    probabilities = found["probabilities"].astype(np.float32)
    if probabilities.shape != expected.shape:
        raise ExportError(f"{who}: probabilities have shape {probabilities.shape}, expected {expected.shape}")
    difference = float(np.max(np.abs(probabilities - expected)))
    if not difference <= LARGEST_DIFFERENCE:  # not `>`, which would let a NaN pass
        raise ExportError(
            f"{who}: a probability differs from Keras' by {difference:.1e}, allowed {LARGEST_DIFFERENCE:.0e}"
        )
    wrong = int(np.sum(found["digit"] != np.argmax(expected, axis=1)))
    if wrong:
        raise ExportError(f"{who}: {wrong} of {len(expected)} digits differ from Keras'")
    novelty = found["novelty"].astype(np.float32)
    if (
        novelty.shape != expected.shape[:1]
        or np.max(np.abs(novelty - (1 - np.max(expected, axis=1)))) > LARGEST_DIFFERENCE
    ):
        raise ExportError(f"{who}: novelty is not 1 - the largest probability")
    return difference
