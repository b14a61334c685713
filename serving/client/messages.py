"""Between Python values and the messages of mnist.v1: what both clients share."""

from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt

from protos.mnist.v1 import digits_pb2

PIXELS = 784
# Encoded bytes of a picture file, 784 raw bytes, a file to read, or pixels (784,) or (28, 28) uint8, 255 = ink.
ImageLike = bytes | Path | npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the service says of one image."""

    digit: int  # 0 to 9
    probability: float  # of `digit`, calibrated, 0.1 to 1
    probabilities: tuple[float, ...]  # of each digit, summing to 1
    novelty: float  # 0: a typical digit, 1: no digit
    refused: bool  # the service does not stand by `digit`
    refusal: str | None  # why: "novel" or "blank"; None exactly when not refused
    quality: tuple[str, ...] = ()  # what may be wrong with an encoded picture: "touches_border", "low_contrast", ...


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What the server serves and accepts; the units are those of mnist.v1.GetModelResponse."""

    name: str
    version: int
    created: str
    test_accuracy: float
    novelty_threshold: float
    device: str
    max_images_per_request: int
    max_image_bytes: int
    max_image_pixels: int
    model_sha256: str
    precision: str
    inference_threads: int
    max_batch_size: int
    is_tuned: bool


class CallError(Exception):
    """The server, or the way to it, answered with an error. `code`: a gRPC status name such as INVALID_ARGUMENT."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class ImageError(Exception):
    """One image of many has no prediction. `index`: its place, from 0; `__cause__`: why, a CallError, OSError, ...."""

    def __init__(self, index: int, cause: Exception) -> None:
        super().__init__(f"image {index}: {cause}")
        self.index = index
        self.__cause__ = cause


def prediction(message: digits_pb2.Prediction) -> Prediction:
    """What one message says."""
    return Prediction(
        digit=message.digit,
        probability=message.probability,
        probabilities=tuple(message.probabilities),
        novelty=message.novelty,
        refused=message.refused,
        refusal=refusal_name(message.refusal) if message.refused else None,
        quality=tuple(_remark(quality) for quality in message.quality),
    )


def refusal_name(refusal: int) -> str:
    """The reason's name, "novel"; its number where the server knows one that this client does not."""
    known = digits_pb2.Refusal.DESCRIPTOR.values_by_number.get(refusal)
    return known.name.removeprefix("REFUSAL_").lower() if known else str(refusal)


def _remark(quality: int) -> str:
    """The remark's name, "touches_border"; its number where the server knows one that this client does not."""
    known = digits_pb2.Quality.DESCRIPTOR.values_by_number.get(quality)
    return known.name.removeprefix("QUALITY_").lower() if known else str(quality)


def model_description(response: digits_pb2.GetModelResponse) -> ModelDescription:
    """What GetModel answered."""
    return ModelDescription(**{name: getattr(response, name) for name in ModelDescription.__slots__})


def call_error(error: Exception) -> CallError:
    """The error that callers see, without grpc's types."""
    if isinstance(error, CallError):
        return error
    if isinstance(error, grpc.RpcError):
        return CallError(error.code().name, error.details() or "no details")
    return CallError("UNKNOWN", f"{type(error).__name__}: {error}")


def deadline_error() -> CallError:
    """The caller's deadline has passed while it waited for its RPC."""
    return CallError("DEADLINE_EXCEEDED", "the deadline of this call has passed")


def closed_error() -> CallError:
    """The client was closed."""
    return CallError("CANCELLED", "the client is closed")
