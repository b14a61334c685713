"""Checks of a model before it is served: one file, golden answers on this very device, warm-up, the explaining graph.

What is read here was written by somebody else: sizes are checked before anything of that size is made.
"""

import io
import random
import time
from typing import Any
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError, Message

from protos.mnist import onnx_graph_pb2 as onnx
from serving.errors import ModelRejectedError, NotExplainableError
from serving.models.device import Session
from serving.models.graph_layers import UNSURE
from serving.models.onnx_session import ExplainingSession
from serving.predictions import DIGITS, PIXELS, BatchPredictions, Pixels

EXPLAINED_ROWS = 8
# With more outputs ONNX Runtime cannot fuse a convolution with its activation, which rounds differently; a GPU more so.
EXPLAINED_TOLERANCE = 1e-3
# Of golden.npz: shape of a row, and kinds of dtype.
GOLDEN_ARRAYS = {
    "pixels": ((PIXELS,), "u"),
    "digit": ((), "iu"),
    "probabilities": ((DIGITS,), "f"),
    "novelty": ((), "f"),
}
MOST_ARRAY_BYTES = 2**23  # unpacked: those of 10,000 images
MOST_ARRAYS = 16
_CENTRAL_DIRECTORY = b"PK\1\2"  # begins the entry of each array in a ZIP archive's directory


def check_is_whole(graph: bytes) -> None:
    """Refuses a graph with tensors in other files, which no checksum covers. Raises ModelRejectedError.

    ONNX Runtime would look for them in the process's working directory.
    """
    try:
        waiting: list[Message] = [onnx.Model.FromString(graph)]
    except DecodeError as error:
        raise ModelRejectedError(f"model.onnx is no ONNX graph: {error}", "graph") from error
    while waiting:
        message = waiting.pop()
        if isinstance(message, onnx.Tensor):
            if message.external_data or message.data_location:
                raise ModelRejectedError(
                    f"the tensor {message.name} is in another file than model.onnx: export the model with its weights "
                    "inside",
                    "graph",
                )
            continue
        for field, value in message.ListFields():
            if field.message_type:
                waiting += value if field.is_repeated else [value]


def check_golden_answers(session: Session, content: bytes, tolerance: float, largest_batch: int) -> None:
    """Compares the model's answers with those recorded in golden.npz (`content`) when the model was exported.

    `tolerance`: largest difference of probabilities and of novelties; NaN always exceeds it. Raises ModelRejectedError.
    """
    try:
        pixels, digit, probabilities, novelty = _golden_arrays(content)
        if not len(pixels) == len(digit) == len(probabilities) == len(novelty) > 0:
            raise ValueError("as many answers as images are needed, and one at least")
        runner_up, likeliest = np.sort(probabilities.astype(np.float64), axis=1)[:, -2:].T
        # Where two digits lie within the tolerance of both, rounding may decide between them: either is right.
        is_clear = likeliest - runner_up > 2 * tolerance
        novelty = novelty.astype(np.float64)
    except Exception as error:  # numpy and zipfile raise many kinds on a file that is no archive
        raise ModelRejectedError(f"golden.npz cannot be read: {error!r}", "golden") from error
    try:
        answers = _run_in_batches(session, pixels, largest_batch)
    except Exception as error:  # ONNX Runtime raises many kinds, for a graph that cannot run or images of another shape
        raise ModelRejectedError(f"the golden images cannot be run: {error}", "golden") from error
    for found, recorded in ((answers.probabilities, probabilities), (answers.novelties, novelty)):
        # The shapes first: allclose broadcasts, so one recorded row would stand for all.
        if found.shape != recorded.shape or not np.allclose(found, recorded, rtol=0, atol=tolerance):
            raise ModelRejectedError(
                f"the golden images get other answers than recorded (tolerance {tolerance})", "golden"
            )
    differing = int((answers.digits != digit)[is_clear].sum())
    if differing:
        raise ModelRejectedError(f"{differing} of {len(digit)} golden images get another digit than recorded", "golden")


def _golden_arrays(content: bytes) -> list[npt.NDArray[Any]]:
    """Returns the arrays of an .npz in the order of GOLDEN_ARRAYS. Raises errors of many kinds."""
    if content.count(_CENTRAL_DIRECTORY) > MOST_ARRAYS:  # before an object is made for each of 100,000
        raise ValueError(f"it has more than {MOST_ARRAYS} arrays")
    arrays = []
    with ZipFile(io.BytesIO(content)) as archive:
        for name, (row, kinds) in GOLDEN_ARRAYS.items():
            entry = archive.getinfo(f"{name}.npy")
            if entry.file_size > MOST_ARRAY_BYTES:
                raise ValueError(f"{name} has {entry.file_size} bytes, at most {MOST_ARRAY_BYTES} are read")
            with archive.open(entry) as packed:
                file = io.BytesIO(packed.read(entry.file_size))  # with a length: read() inflates all, whatever its size
            read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, is_fortran, dtype = read_header[np.lib.format.read_magic(file)](file)
            if shape[1:] != row or dtype.kind not in kinds:
                raise ValueError(f"{name} is {dtype} of shape {shape}, expected (n, {', '.join(map(str, row))})")
            # On the bytes that were read: np.load() would make an array of any size that the header names.
            array = np.frombuffer(file.getbuffer(), dtype, offset=file.tell())
            arrays.append(array.reshape(shape, order="F" if is_fortran else "C"))
    return arrays


def check_explaining_graph(
    explaining: ExplainingSession, session: Session, second: ExplainingSession | None = None
) -> None:
    """Compares the explaining graph's answers with those of the serving graph. Raises NotExplainableError.

    `second`: of a cascade, the second stage's graph, whose answers must be those for images of which the first is
    unsure.

    The images are noise, paper and ink rather than the golden ones: the graphs share all weights, so they must agree
    on any input, and noise reaches more of them than digits do.
    """
    # Not by numpy.random, which nothing else in a worker loads.
    noise = bytearray(random.Random(0).randbytes(EXPLAINED_ROWS * PIXELS))
    pixels = np.frombuffer(noise, np.uint8).reshape(-1, PIXELS)
    pixels[0], pixels[1] = 0, 255  # the extremes: all paper, all ink
    try:
        explained, values = explaining.run(pixels)
        pairs = [(explained, session.run(pixels))]
        if second is not None and (unsure := values[UNSURE] == 1).any():
            pairs.append((second.run(pixels[unsure], [])[0], session.run(pixels[unsure])))
    except Exception as error:  # ONNX Runtime raises many kinds, as where memory is short
        raise NotExplainableError(f"it cannot be run: {error}") from error
    for found, served in pairs:
        for its, expected in ((found.probabilities, served.probabilities), (found.novelties, served.novelties)):
            if not np.allclose(its, expected, rtol=0, atol=EXPLAINED_TOLERANCE):
                raise NotExplainableError("the graph that explains gives other answers than the one that serves")


def _run_in_batches(session: Session, pixels: Pixels, largest_batch: int) -> BatchPredictions:
    """Predicts `pixels` in batches of at most `largest_batch`: the process keeps the memory of its largest batch."""
    parts = [session.run(pixels[at : at + largest_batch]) for at in range(0, len(pixels), largest_batch)]
    return BatchPredictions(
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.digits for part in parts]),
        np.concatenate([part.novelties for part in parts]),
    )


def warm_up(session: Session, largest_batch: int) -> float:
    """Runs the smallest and the largest batch, so that no request pays for what ONNX Runtime sets up at a first run.

    Returns the seconds per image in a largest batch after that. Raises ModelRejectedError.
    """
    seconds = 0.0
    for size in (1, largest_batch, largest_batch):  # twice: the first run of a size allocates, the second is measured
        began = time.perf_counter()
        try:
            answers = session.run(np.zeros((size, PIXELS), np.uint8))
        except Exception as error:  # ONNX Runtime raises many kinds, as where memory is short
            raise ModelRejectedError(f"a batch of {size} images cannot be run: {error}", "warm_up") from error
        if not (np.isfinite(answers.probabilities).all() and np.isfinite(answers.novelties).all()):
            raise ModelRejectedError(f"{size} empty images get answers that are no numbers", "warm_up")
        seconds = time.perf_counter() - began
    return seconds / largest_batch
