"""Between Python values and the messages of mnist.v1: what both clients share."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
import numpy.typing as npt

from protos.mnist.v1 import digits_pb2

PIXELS = 784
# Encoded bytes of a picture file, 784 raw bytes, a file to read, or pixels (784,) or (28, 28) uint8, 255 = ink.
ImageLike = bytes | Path | npt.NDArray[np.uint8]
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"RIFF", b"II*\0", b"MM\0*")


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


class CallError(Exception):
    """The server, or the way to it, answered with an error. `code`: a gRPC status name such as INVALID_ARGUMENT."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def request_message(images: Iterable[ImageLike], model_version: int) -> digits_pb2.ClassifyRequest:
    """The request for `images`. Raises OSError for an unreadable file, ValueError for an array of other shape."""
    return digits_pb2.ClassifyRequest(images=[_image_message(image) for image in images], model_version=model_version)


def predictions(response: digits_pb2.ClassifyResponse) -> list[Prediction]:
    """The answers, in the order of the request."""
    return [
        Prediction(
            digit=message.digit,
            probability=message.probability,
            probabilities=tuple(message.probabilities),
            novelty=message.novelty,
            refused=message.refused,
            refusal=digits_pb2.Refusal.Name(message.refusal)[len("REFUSAL_") :].lower() if message.refused else None,
            quality=tuple(_remark(quality) for quality in message.quality),
        )
        for message in response.predictions
    ]


def _remark(quality: int) -> str:
    """The remark's name, "touches_border"; its number where the server knows one that this client does not."""
    known = digits_pb2.Quality.DESCRIPTOR.values_by_number.get(quality)
    return known.name.removeprefix("QUALITY_").lower() if known else str(quality)


def model_description(response: digits_pb2.GetModelResponse) -> ModelDescription:
    """What GetModel answered."""
    return ModelDescription(**{name: getattr(response, name) for name in ModelDescription.__slots__})


def call_error(error: grpc.RpcError) -> CallError:
    """The error that callers see, without grpc's types."""
    return CallError(error.code().name, error.details() or "no details")


def _image_message(image: ImageLike) -> digits_pb2.Image:
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.size != PIXELS:
            raise ValueError(f"expected {PIXELS} pixels of uint8, got {image.size} of {image.dtype}")
        return digits_pb2.Image(pixels=image.tobytes())
    content = image.read_bytes() if isinstance(image, Path) else image
    is_raw = len(content) == PIXELS and not content.startswith(_SIGNATURES)
    return digits_pb2.Image(pixels=content) if is_raw else digits_pb2.Image(encoded=content)
