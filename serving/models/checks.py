"""What a loaded model must do before it is served: give the golden answers on this very device, and warm up."""

import io
import time

import numpy as np

from serving.errors import ModelRejectedError, NotExplainableError
from serving.models.onnx_session import ExplainingSession, OnnxSession
from serving.predictions import PIXELS, BatchPredictions, Pixels

EXPLAINED_ROWS = 8
EXPLAINED_TOLERANCE = 1e-3  # fusing a convolution with its activation, or not, rounds differently; a GPU more so


def check_golden_answers(session: OnnxSession, content: bytes, tolerance: float, largest_batch: int) -> None:
    """Raises unless the model gives the recorded answers on this very device. NaN never agrees."""
    try:
        golden = np.load(io.BytesIO(content), allow_pickle=False)
        pixels, digit, probabilities, novelty = (golden[key] for key in ("pixels", "digit", "probabilities", "novelty"))
        if not len(pixels) == len(digit) == len(probabilities) == len(novelty) > 0:
            raise ValueError("as many answers as images are needed, and one at least")
        runner_up, likeliest = np.sort(probabilities.astype(np.float64), axis=1)[:, -2:].T
        is_clear = likeliest - runner_up > 2 * tolerance  # between equals, rounding may decide
        novelty = novelty.astype(np.float64)
    except Exception as error:  # numpy and zipfile raise many kinds on a file that is no archive
        raise ModelRejectedError(f"golden.npz cannot be read: {error!r}", "golden") from error
    try:
        answers = _run(session, pixels, largest_batch)
    except Exception as error:  # as ONNX Runtime does for a graph that cannot run, or images of another shape
        raise ModelRejectedError(f"the golden images cannot be run: {error}", "golden") from error
    for given, wanted in ((answers.probabilities, probabilities), (answers.novelties, novelty)):
        if given.shape != wanted.shape or not np.allclose(given, wanted, rtol=0, atol=tolerance):
            raise ModelRejectedError(
                f"the golden images get other answers than recorded (tolerance {tolerance})", "golden"
            )
    differing = int((answers.digits != digit)[is_clear].sum())
    if differing:
        raise ModelRejectedError(f"{differing} of {len(digit)} golden images get another digit than recorded", "golden")


def check_explaining_graph(explaining: ExplainingSession, session: OnnxSession) -> None:
    """Raises NotExplainableError unless the graph that explains answers as the one that serves, to rows of all levels.

    Not the golden images: the other graph has passed those, and this one may not differ from it in a hair's breadth.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (EXPLAINED_ROWS, PIXELS), np.uint8)
    pixels[0], pixels[1] = 0, 255
    try:
        (explained, _), served = explaining.run(pixels), session.run(pixels)
    except Exception as error:  # as ONNX Runtime does where memory is short
        raise NotExplainableError(f"it cannot be run: {error}") from error
    for one, other in ((explained.probabilities, served.probabilities), (explained.novelties, served.novelties)):
        if not np.allclose(one, other, rtol=0, atol=EXPLAINED_TOLERANCE):
            raise NotExplainableError("the graph that explains gives other answers than the one that serves")


def _run(session: OnnxSession, pixels: Pixels, largest_batch: int) -> BatchPredictions:
    """Answers in no larger batches than will be served: the process keeps the memory that its largest one took."""
    parts = [session.run(pixels[at : at + largest_batch]) for at in range(0, len(pixels), largest_batch)]
    return BatchPredictions(
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.digits for part in parts]),
        np.concatenate([part.novelties for part in parts]),
    )


def warm_up(session: OnnxSession, largest_batch: int) -> float:
    """Runs the smallest and the largest batch, so that no caller pays for what a first run sets up.

    The seconds for an image in the largest one, when all was set up.
    """
    seconds = 0.0
    for size in (1, largest_batch, largest_batch):
        began = time.perf_counter()
        try:
            answers = session.run(np.zeros((size, PIXELS), np.uint8))
        except Exception as error:  # as ONNX Runtime does where memory is short
            raise ModelRejectedError(f"a batch of {size} images cannot be run: {error}", "warm_up") from error
        if not (np.isfinite(answers.probabilities).all() and np.isfinite(answers.novelties).all()):
            raise ModelRejectedError(f"{size} empty images get answers that are no numbers", "warm_up")
        seconds = time.perf_counter() - began
    return seconds / largest_batch
