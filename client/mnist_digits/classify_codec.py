"""The requests of Classify and its responses, with a short way for raw pixels and for plain predictions.

1. A request is the bytes of its images, one after the other, and those of its model version. So the calls of several
   callers become one request by joining bytes: nothing is serialized twice.
2. A raw image is 784 pixels behind a few bytes that never change.
3. A response whose records all have the length and the tags of a plain prediction (no remarks) is unpacked with
   `struct`; any other is parsed by protobuf. Property tests compare the two ways.
"""

import struct
from dataclasses import replace
from functools import lru_cache

from google.protobuf.message import DecodeError

from mnist_digits import proto
from mnist_digits.errors import CallError
from mnist_digits.images import PIXELS, ImageLike, file_content, is_of_pixels, is_raw, pixels
from mnist_digits.results import Prediction, prediction, refusal_name

_RAW_HEADER = proto.ClassifyRequest(images=[proto.Image(pixels=bytes(PIXELS))]).SerializeToString()[:-PIXELS]

# Tag and length, then digit, probability, ten probabilities, novelty, refused, refusal, each behind its tag.
_RECORD = struct.Struct("<BBBBBfBB10fBfBBBB")
_SAMPLE = proto.ClassifyResponse(
    predictions=[
        proto.Prediction(
            digit=1, probability=1, probabilities=[1] * 10, novelty=1, refused=True, refusal=proto.REFUSAL_NOVEL
        )
    ]
).SerializeToString()


def _fixed(record: tuple[float, ...]) -> tuple[float, ...]:
    """Tags and lengths of a record, the same in all plain ones."""
    return (*record[:3], record[4], record[6], record[7], record[18], record[20], record[22])


_FIXED = _fixed(_RECORD.unpack(_SAMPLE))
_LONGER_VARINT = 0x80  # this bit set: more bytes of the number follow


def image_bytes(image: ImageLike) -> bytes:
    """Serializes one image for a request.

    Raises OSError for an unreadable file, ValueError for pixels of another shape or type, TypeError for anything else.
    """
    if is_of_pixels(image):
        return _RAW_HEADER + pixels(image)
    content = file_content(image)
    if is_raw(content):
        return _RAW_HEADER + content
    return proto.ClassifyRequest(images=[proto.Image(encoded=content)]).SerializeToString()


@lru_cache(maxsize=8)
def version_bytes(model_version: int) -> bytes:
    """Serializes the model version for a request. Raises ValueError or TypeError for anything but an int64."""
    return proto.ClassifyRequest(model_version=model_version).SerializeToString()


def response_predictions(content: bytes, images: int) -> list[Prediction]:
    """Parses a serialized ClassifyResponse to a request of `images` images: their predictions, in order.

    Raises CallError, code INTERNAL, for bytes that are no such response.
    """
    try:
        predictions, request_id = _plain_predictions(content)
        if predictions is None:
            response = proto.ClassifyResponse.FromString(content)
            predictions = [prediction(message, response.model_version) for message in response.predictions]
            request_id = response.request_id
    except DecodeError as error:
        raise CallError("INTERNAL", f"the server's answer is no ClassifyResponse: {error}") from error
    if len(predictions) != images:
        raise CallError("INTERNAL", f"the server answered {len(predictions)} predictions to {images} images")
    if request_id:  # from a server that takes feedback
        return [replace(each, request_id=request_id, index=index) for index, each in enumerate(predictions)]
    return predictions


def _plain_predictions(content: bytes) -> tuple[list[Prediction] | None, str]:
    """Unpacks the predictions, None when not all of them are plain, and the request's id."""
    end = len(content) - len(content) % _RECORD.size
    rows = []
    for record in _RECORD.iter_unpack(memoryview(content)[:end]):
        digit, is_refused, refusal = record[3], record[21], record[23]
        if _fixed(record) != _FIXED or (digit | is_refused | refusal) & _LONGER_VARINT:
            return None, ""
        name = refusal_name(refusal) if is_refused else None
        rows.append((digit, record[5], record[8:18], record[19], bool(is_refused), name))
    # Version and id follow the last record; or a prediction of another form does. Not parsed before the records are
    # known to be plain: at another place the rest may begin in the middle of a field.
    rest = proto.ClassifyResponse.FromString(content[end:])
    if rest.predictions:
        return None, ""
    return [Prediction(*row, (), rest.model_version) for row in rows], rest.request_id
