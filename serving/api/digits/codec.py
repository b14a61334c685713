"""Classify's messages from and to bytes, with a short way for the usual request: raw pixels and nothing else.

1. A raw image is 790 bytes on the wire: always the same six, then its 784 pixels. A request of only such images is
   recognised by its length and those six bytes. Its pixels are copied out as one array, without an object for each.
2. Any other request is parsed by protobuf. Both ways give the same images; a property test compares them.
3. A response is one record of fixed size for each prediction. All records of a batch are filled column by column.
   Zeros are written, which protobuf would omit: parsers read both alike.
4. Remarks on a picture make its record longer. A response without any, as always for raw pixels, costs nothing more.

Decision 0006 has the figures.
"""

from enum import IntFlag
from functools import lru_cache

import numpy as np
from google.protobuf.message import Message

from protos.mnist.v1 import digits_pb2
from serving.api.wire_format import MOST_ENTRIES, parse_message, sized_field
from serving.core.picture_decoder import EncodedImage, ImageInput, Images
from serving.errors import InvalidRequestError
from serving.image.picture import Quality
from serving.predictions import DIGITS, PIXELS, BatchPredictions, Predictions, Refusal


def _tag(field: str, message: type[Message] = digits_pb2.Prediction) -> int:
    """Returns the byte before a field: its number and wire type (0 varint, 2 length-delimited, 5 four bytes)."""
    descriptor = message.DESCRIPTOR.fields_by_name[field]
    is_sized = descriptor.is_repeated or descriptor.type in (descriptor.TYPE_BYTES, descriptor.TYPE_MESSAGE)
    wire_type = 2 if is_sized else 5 if descriptor.type == descriptor.TYPE_FLOAT else 0
    return int(descriptor.number << 3 | wire_type)  # one byte: every field number here is below 16


# Protobuf itself writes the one image whose first bytes all raw images share: field number, length, and so on again.
_BLANK_IMAGE = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=bytes(PIXELS))]).SerializeToString()
_HEAD = _BLANK_IMAGE[:-PIXELS]
_HEAD_ROW = np.frombuffer(_HEAD, np.uint8)
_RAW_BYTES = len(_BLANK_IMAGE)

# A prediction within ClassifyResponse: the bytes before each value, then the value. digit, refused and refusal are
# varints below 128, so one byte each. numpy does not pad a dtype without align=True: itemsize is the length on the
# wire.
_RECORD = np.dtype(
    [
        ("head", "u1", 3),  # tag of predictions, length of the record, tag of digit
        ("digit", "u1"),
        ("probability_tag", "u1"),
        ("probability", "<f4"),
        ("probabilities_head", "u1", 2),  # tag, and the length of the packed list
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
# The two bytes of tag and length are not part of the length.
_EMPTY_RECORD["head"] = _tag("predictions", digits_pb2.ClassifyResponse), _RECORD.itemsize - 2, _tag("digit")
_EMPTY_RECORD["probabilities_head"] = _tag("probabilities"), 4 * DIGITS
for _field in ("probability", "novelty", "refused", "refusal"):
    _EMPTY_RECORD[f"{_field}_tag"] = _tag(_field)

_REFUSALS = np.zeros(len(Refusal), np.uint8)  # proto number by Refusal, as an array: indexed by whole columns
_REFUSALS[Refusal.NOVEL] = digits_pb2.REFUSAL_NOVEL
_REFUSALS[Refusal.BLANK] = digits_pb2.REFUSAL_BLANK
_REFUSALS[Refusal.SEVERAL_GLYPHS] = digits_pb2.REFUSAL_SEVERAL_GLYPHS
QUALITIES: dict[IntFlag, digits_pb2.Quality] = {
    Quality.BLANK: digits_pb2.QUALITY_BLANK,
    Quality.SEVERAL_GLYPHS: digits_pb2.QUALITY_SEVERAL_GLYPHS,
    Quality.TOUCHES_BORDER: digits_pb2.QUALITY_TOUCHES_BORDER,
    Quality.LOW_CONTRAST: digits_pb2.QUALITY_LOW_CONTRAST,
    Quality.MOSTLY_DARK: digits_pb2.QUALITY_MOSTLY_DARK,
}
_REQUEST_ID_TAG = digits_pb2.ClassifyResponse(request_id=" ").SerializeToString()[0]
_LONGEST_ONE_BYTE_LENGTH = 127  # a varint of one byte
ENTRIES_OF_AN_IMAGE = 2  # itself and its form


def parse_request(content: bytes | digits_pb2.ClassifyRequest, max_images: int) -> tuple[Images, int]:
    """Returns the images of a ClassifyRequest and the model version that it names; 0: none.

    Raises InvalidRequestError for bytes that are no ClassifyRequest, and for more than `max_images` images.
    """
    if not isinstance(content, bytes):  # part of a message of ClassifyStream, which protobuf has parsed
        return request_images(content, max_images)
    count, rest = divmod(len(content), _RAW_BYTES)
    # A request of another form may have such a length too, so the bytes before every image are compared.
    if 0 < count <= max_images and not rest:
        images = np.frombuffer(content, np.uint8).reshape(count, _RAW_BYTES)
        is_raw = content.startswith(_HEAD) if count == 1 else (images[:, : len(_HEAD)] == _HEAD_ROW).all()
        if is_raw:
            return np.ascontiguousarray(images[:, len(_HEAD) :]), 0  # 0: such a request has no field model_version
    # Each image within the limit must fit, however many that is.
    entries = max(MOST_ENTRIES, ENTRIES_OF_AN_IMAGE * max_images)
    return request_images(parse_message(digits_pb2.ClassifyRequest, content, entries), max_images)


def request_images(request: digits_pb2.ClassifyRequest, max_images: int) -> tuple[list[ImageInput], int]:
    """Returns the images and the model version that the request names; 0: none.

    Raises InvalidRequestError for more than `max_images` images, before any is read, and for an image of neither form.
    """
    if len(request.images) > max_images:
        raise InvalidRequestError(f"the request holds {len(request.images)} images, at most {max_images} are accepted")
    return [_image(index, image) for index, image in enumerate(request.images)], request.model_version


def response_bytes(predictions: Predictions) -> bytes:
    """Returns the serialised ClassifyResponse."""
    records, version = predictions.encoded(_records), _version_bytes(predictions.version)
    if not predictions.remarks:
        return records + version
    size = _RECORD.itemsize  # remarks change the length of single records: cut, change, join
    each = [records[start : start + size] for start in range(0, len(records), size)]
    for index, quality in predictions.remarks.items():
        each[index] = _with_quality(each[index], quality)
    return b"".join([*each, version])


def _records(rows: BatchPredictions) -> bytes:
    """Encodes a batch as records, one for each row. BatchPredictions calls it once a batch."""
    records = _EMPTY_RECORD.repeat(len(rows))
    records["digit"] = rows.digits
    records["probability"] = rows.probabilities[np.arange(len(rows)), rows.digits]
    records["probabilities"] = rows.probabilities
    records["novelty"] = rows.novelties
    if rows.refusals.any():  # seldom: otherwise both columns stay 0
        records["refused"] = rows.refusals != Refusal.NONE
        records["refusal"] = _REFUSALS[rows.refusals]
    return records.tobytes()


def prediction_bytes(predictions: Predictions) -> bytes:
    """Returns the first image's serialised Prediction."""
    record = predictions.encoded(_records)[: _RECORD.itemsize]
    if 0 in predictions.remarks:
        record = _with_quality(record, predictions.remarks[0])
    return record[2:]  # without tag and length, which belong to ClassifyResponse


def stream_response_bytes(request_id: int, response: bytes) -> bytes:
    """Returns the serialised ClassifyStreamResponse around a serialised ClassifyResponse, which is not parsed."""
    start = digits_pb2.ClassifyStreamResponse(id=request_id).SerializeToString()
    return start + sized_field(digits_pb2.ClassifyStreamResponse, "response", len(response)) + response


def _with_quality(record: bytes, quality: IntFlag) -> bytes:
    """Appends the remarks to the record of one prediction, and corrects its length."""
    remarks = digits_pb2.Prediction(quality=[QUALITIES[remark] for remark in quality]).SerializeToString()
    length = len(record) - 2 + len(remarks)
    # Longer lengths take two bytes and would move all that follows. Five remarks, one byte each, stay far below.
    if length > _LONGEST_ONE_BYTE_LENGTH:
        raise RuntimeError(f"a record of {length} bytes: this is a bug")
    return bytes([record[0], length]) + record[2:] + remarks


@lru_cache(maxsize=8)
def _version_bytes(version: int) -> bytes:
    return digits_pb2.ClassifyResponse(model_version=version).SerializeToString()


def request_id_bytes(request_id: str) -> bytes:
    """Returns the field of ClassifyResponse that holds the request's id, to be appended: fields may come in a row."""
    content = request_id.encode()
    if len(content) > _LONGEST_ONE_BYTE_LENGTH:
        return digits_pb2.ClassifyResponse(request_id=request_id).SerializeToString()
    return b"%c%c%b" % (_REQUEST_ID_TAG, len(content), content)


def _image(index: int, image: digits_pb2.Image) -> ImageInput:
    form = image.WhichOneof("form")
    if form == "pixels":
        return image.pixels
    if form == "encoded":
        return EncodedImage(image.encoded)
    raise InvalidRequestError(f"image {index}: neither `pixels` nor `encoded` is set")
