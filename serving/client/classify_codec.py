"""Classify's messages from and to bytes, with a short way for raw pixels and for answers without remarks.

1. The images of a request are written one by one: a request is its images' bytes joined, and its model version. So what
   several callers ask is one request by joining, and nothing is made twice.
2. A raw image is 784 pixels behind the same few bytes each time, which the generated code tells once.
3. An answer whose records all have the length and the tags of one plain prediction is unpacked; any other goes through
   protobuf. Both ways read the same; property tests hold them together.
"""

import struct
from functools import lru_cache
from pathlib import Path

import numpy as np
from google.protobuf.message import DecodeError

from protos.mnist.v1 import digits_pb2
from serving.client.messages import PIXELS, CallError, ImageLike, Prediction, prediction, refusal_name

SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"RIFF", b"II*\0", b"MM\0*")
_RAW_HEADER = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=bytes(PIXELS))]).SerializeToString()[:-PIXELS]

# Tag and length, then digit, probability, ten probabilities, novelty, refused, refusal, each behind its tag.
_RECORD = struct.Struct("<BBBBBfBB10fBfBBBB")
_SAMPLE = digits_pb2.ClassifyResponse(
    predictions=[
        digits_pb2.Prediction(
            digit=1, probability=1, probabilities=[1] * 10, novelty=1, refused=True, refusal=digits_pb2.REFUSAL_NOVEL
        )
    ]
).SerializeToString()


def _fixed(record: tuple[float, ...]) -> tuple[float, ...]:
    """What all plain records share: tags and lengths."""
    return (*record[:3], record[4], record[6], record[7], record[18], record[20], record[22])


_FIXED = _fixed(_RECORD.unpack(_SAMPLE))
_LONGER_VARINT = 0x80  # the bit that says that more bytes follow


def image_bytes(image: ImageLike) -> bytes:
    """One image as a request holds it.

    Raises OSError for an unreadable file, ValueError for an array that is not 784 uint8, TypeError for anything else.
    """
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.size != PIXELS:
            raise ValueError(f"expected {PIXELS} pixels of uint8, got {image.size} of {image.dtype}")
        return _RAW_HEADER + image.tobytes()
    content = image.read_bytes() if isinstance(image, Path) else image
    if not isinstance(content, bytes):
        raise TypeError(f"expected bytes, a Path or an array, got {type(content).__name__}")
    if len(content) == PIXELS and not content.startswith(SIGNATURES):
        return _RAW_HEADER + content
    return digits_pb2.ClassifyRequest(images=[digits_pb2.Image(encoded=content)]).SerializeToString()


@lru_cache(maxsize=8)
def version_bytes(model_version: int) -> bytes:
    """The model version as a request holds it. Raises ValueError or TypeError for what is no int64."""
    return digits_pb2.ClassifyRequest(model_version=model_version).SerializeToString()


def response_predictions(content: bytes, images: int) -> list[Prediction]:
    """The predictions of a serialised ClassifyResponse to `images` images, in order.

    Raises CallError (INTERNAL) for bytes that are no such answer.
    """
    try:
        answers = _plain_predictions(content)
        if answers is None:
            answers = [prediction(message) for message in digits_pb2.ClassifyResponse.FromString(content).predictions]
    except DecodeError as error:
        raise CallError("INTERNAL", f"the server's answer is no ClassifyResponse: {error}") from error
    if len(answers) != images:
        raise CallError("INTERNAL", f"the server answered {len(answers)} predictions to {images} images")
    return answers


def _plain_predictions(content: bytes) -> list[Prediction] | None:
    """The predictions, or None where the records are not all plain ones."""
    end = len(content) - len(content) % _RECORD.size
    answers = []
    for record in _RECORD.iter_unpack(memoryview(content)[:end]):
        digit, is_refused, refusal = record[3], record[21], record[23]
        if _fixed(record) != _FIXED or (digit | is_refused | refusal) & _LONGER_VARINT:
            return None
        name = refusal_name(refusal) if is_refused else None
        answers.append(Prediction(digit, record[5], record[8:18], record[19], bool(is_refused), name))
    # Behind whole records stands the version, or a prediction of another form.
    return None if digits_pb2.ClassifyResponse.FromString(content[end:]).predictions else answers
