"""Classify's messages from and to bytes, with a short way for the usual request: raw pixels and nothing else.

1. A raw image is 790 bytes on the wire, always the same six before its 784 pixels. A request of only such images is
   known by its length and those six bytes, and its pixels are cut out as one array, with no object made for each.
2. Any other request goes through protobuf. Both ways give the same images; a property test holds them together.
3. An answer is one fixed-size record a prediction, all of a batch filled in column by column. Zeros, which protobuf
   leaves away, are written: both read alike.
4. Remarks on a picture make its record longer; an answer without any, as to raw pixels, costs nothing for them.
"""

from enum import IntFlag
from functools import lru_cache

import numpy as np
from google.protobuf.message import Message

from protos.mnist.v1 import digits_pb2
from serving.api.wire_format import MOST_ENTRIES, parse_message, sized_field
from serving.core.classifier import EncodedImage, ImageInput, Images
from serving.errors import InvalidRequestError
from serving.image.picture import Quality
from serving.predictions import DIGITS, PIXELS, BatchPredictions, Predictions, Refusal


def _tag(field: str, message: type[Message] = digits_pb2.Prediction) -> int:
    """The byte before a field: its number and wire type (0 varint, 2 length-delimited, 5 four bytes)."""
    descriptor = message.DESCRIPTOR.fields_by_name[field]
    is_sized = descriptor.is_repeated or descriptor.type in (descriptor.TYPE_BYTES, descriptor.TYPE_MESSAGE)
    wire_type = 2 if is_sized else 5 if descriptor.type == descriptor.TYPE_FLOAT else 0
    return int(descriptor.number << 3 | wire_type)


_BLANK_IMAGE = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=bytes(PIXELS))]).SerializeToString()
_HEAD = _BLANK_IMAGE[:-PIXELS]
_HEAD_ROW = np.frombuffer(_HEAD, np.uint8)
_RAW_BYTES = len(_BLANK_IMAGE)

# A record: the bytes before each value, then the value. Digit, refused and refusal are varints of one byte.
_RECORD = np.dtype(
    [
        ("head", "u1", 3),
        ("digit", "u1"),
        ("probability_tag", "u1"),
        ("probability", "<f4"),
        ("probabilities_head", "u1", 2),
        ("probabilities", "<f4", DIGITS),
        ("novelty_tag", "u1"),
        ("novelty", "<f4"),
        ("refused_tag", "u1"),
        ("refused", "u1"),
        ("refusal_tag", "u1"),
        ("refusal", "u1"),
    ]
)
_EMPTY_RECORD = np.zeros(1, _RECORD)
_EMPTY_RECORD["head"] = _tag("predictions", digits_pb2.ClassifyResponse), _RECORD.itemsize - 2, _tag("digit")
_EMPTY_RECORD["probabilities_head"] = _tag("probabilities"), 4 * DIGITS
for _field in ("probability", "novelty", "refused", "refusal"):
    _EMPTY_RECORD[f"{_field}_tag"] = _tag(_field)

_REFUSALS = np.zeros(len(Refusal), np.uint8)  # by Refusal
_REFUSALS[Refusal.NOVEL] = digits_pb2.REFUSAL_NOVEL
_REFUSALS[Refusal.BLANK] = digits_pb2.REFUSAL_BLANK
_QUALITIES: dict[IntFlag, digits_pb2.Quality] = {
    Quality.BLANK: digits_pb2.QUALITY_BLANK,
    Quality.SEVERAL_GLYPHS: digits_pb2.QUALITY_SEVERAL_GLYPHS,
    Quality.TOUCHES_BORDER: digits_pb2.QUALITY_TOUCHES_BORDER,
    Quality.LOW_CONTRAST: digits_pb2.QUALITY_LOW_CONTRAST,
    Quality.MOSTLY_DARK: digits_pb2.QUALITY_MOSTLY_DARK,
}
_LONGEST_ONE_BYTE_LENGTH = 127
ENTRIES_OF_AN_IMAGE = 2  # itself and its form


def parse_request(content: bytes | digits_pb2.ClassifyRequest, max_images: int) -> tuple[Images, int]:
    """Returns the images of a ClassifyRequest, at most `max_images`, and the model version that it names.

    Raises InvalidRequestError for bytes that are no ClassifyRequest, and for one of too many images.
    """
    if not isinstance(content, bytes):
        return request_images(content, max_images)
    count, rest = divmod(len(content), _RAW_BYTES)
    if 0 < count <= max_images and not rest:
        images = np.frombuffer(content, np.uint8).reshape(count, _RAW_BYTES)
        is_raw = content.startswith(_HEAD) if count == 1 else (images[:, : len(_HEAD)] == _HEAD_ROW).all()
        if is_raw:
            return np.ascontiguousarray(images[:, len(_HEAD) :]), 0
    entries = max(MOST_ENTRIES, ENTRIES_OF_AN_IMAGE * max_images)
    return request_images(parse_message(digits_pb2.ClassifyRequest, content, entries), max_images)


def request_images(request: digits_pb2.ClassifyRequest, max_images: int) -> tuple[list[ImageInput], int]:
    """Returns the images, at most `max_images`, and the model version that the request names.

    Raises InvalidRequestError for too many images, before it looks at any, and for an image of neither form.
    """
    if len(request.images) > max_images:
        raise InvalidRequestError(f"the request holds {len(request.images)} images, at most {max_images} are accepted")
    return [_image(index, image) for index, image in enumerate(request.images)], request.model_version


def response_bytes(predictions: Predictions) -> bytes:
    """Returns the serialised ClassifyResponse."""
    records, version = predictions.encoded(_records), _version_bytes(predictions.version)
    if not predictions.remarks:
        return records + version
    size = _RECORD.itemsize
    each = [records[start : start + size] for start in range(0, len(records), size)]
    for index, quality in predictions.remarks.items():
        each[index] = _with_quality(each[index], quality)
    return b"".join([*each, version])


def _records(rows: BatchPredictions) -> bytes:
    """A record for each row."""
    records = _EMPTY_RECORD.repeat(len(rows))
    records["digit"] = rows.digits
    records["probability"] = rows.probabilities[np.arange(len(rows)), rows.digits]
    records["probabilities"] = rows.probabilities
    records["novelty"] = rows.novelties
    if rows.refusals.any():
        records["refused"] = rows.refusals != Refusal.NONE
        records["refusal"] = _REFUSALS[rows.refusals]
    return records.tobytes()


def prediction_bytes(predictions: Predictions) -> bytes:
    """Returns the first image's serialised Prediction."""
    record = predictions.encoded(_records)[: _RECORD.itemsize]
    if 0 in predictions.remarks:
        record = _with_quality(record, predictions.remarks[0])
    return record[2:]  # without its tag and length in ClassifyResponse


def stream_response_bytes(request_id: int, response: bytes) -> bytes:
    """Returns the serialised ClassifyStreamResponse around a serialised ClassifyResponse."""
    start = digits_pb2.ClassifyStreamResponse(id=request_id).SerializeToString()
    return start + sized_field(digits_pb2.ClassifyStreamResponse, "response", len(response)) + response


def _with_quality(record: bytes, quality: IntFlag) -> bytes:
    """The record of one prediction, with the remarks behind its other fields."""
    remarks = digits_pb2.Prediction(quality=[_QUALITIES[remark] for remark in quality]).SerializeToString()
    length = len(record) - 2 + len(remarks)
    if length > _LONGEST_ONE_BYTE_LENGTH:
        raise RuntimeError(f"a record of {length} bytes: this is a bug")
    return bytes([record[0], length]) + record[2:] + remarks


@lru_cache(maxsize=8)
def _version_bytes(version: int) -> bytes:
    return digits_pb2.ClassifyResponse(model_version=version).SerializeToString()


def _image(index: int, image: digits_pb2.Image) -> ImageInput:
    form = image.WhichOneof("form")
    if form == "pixels":
        return image.pixels
    if form == "encoded":
        return EncodedImage(image.encoded)
    raise InvalidRequestError(f"image {index}: neither `pixels` nor `encoded` is set")
