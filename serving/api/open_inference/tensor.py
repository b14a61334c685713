"""The input tensor `pixels` of the Open Inference Protocol: its datatypes and shapes, and its data as images.

1. Floats are 0 to 1, integers 0 to 255. Values outside are refused, with what to do about it: a picture of the wrong
   scale would get a wrong response that looks right.
2. Shapes are compared and multiplied as Python integers, which do not overflow, before any data is read.
3. The model takes UINT8, so raw UINT8 is passed on as it came, without a copy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from protos.inference.open_inference_pb2 import InferTensorContents, ModelInferRequest
from serving.api.image_lists import numbers_of
from serving.core.picture_decoder import EncodedImage
from serving.errors import InvalidRequestError
from serving.models.onnx_session import INPUT
from serving.predictions import PIXELS, SIDE

NAME = INPUT[0]
BYTES = "BYTES"
ROUNDING = 1e-3  # of a float; half a step of 255 is 2e-3
_LENGTH_BYTES = 4  # before each element of a raw BYTES tensor
_DTYPES: dict[str, np.dtype[Any]] = {
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_CONTENTS = {  # FP16 has no typed form
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}
_ONE_IMAGE = ((PIXELS,), (SIDE, SIDE))
_IMAGES = ((PIXELS,), (SIDE, SIDE), (SIDE, SIDE, 1), (1, SIDE, SIDE))
_SHAPES = "[n, 784], [n, 28, 28], [n, 28, 28, 1], [n, 1, 28, 28], [784] or [28, 28]"
_MOST_DIMENSIONS = 4

# Pixels of n images, n x 784 bytes, 0 = paper, 255 = ink; or n picture files.
Images = bytes | list[EncodedImage]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Datatype of an input, and the number of images that its data must hold."""

    datatype: str
    images: int


def tensor_spec(tensor: ModelInferRequest.InferInputTensor) -> TensorSpec:
    """Reads datatype and shape of an input. Raises InvalidRequestError for one that is not supported."""
    datatype = tensor.datatype
    if datatype not in _DTYPES and datatype != BYTES:
        known = ", ".join([*_DTYPES, BYTES])
        raise InvalidRequestError(f"input `{NAME}`: datatype {clip(datatype)} is none of {known}")
    if "shared_memory_region" in tensor.parameters:
        raise InvalidRequestError(f"input `{NAME}`: shared memory is not supported, send the data in the request")
    return TensorSpec(datatype, _images(tensor.shape, datatype))


def images_from_raw(spec: TensorSpec, raw: bytes) -> Images:
    """Reads the images of one entry of raw_input_contents. Raises InvalidRequestError for a wrong length or scale."""
    if spec.datatype == BYTES:
        return [EncodedImage(element) for element in _elements(raw, spec.images)]
    dtype = _DTYPES[spec.datatype]
    expected = spec.images * PIXELS * dtype.itemsize
    if len(raw) != expected:
        raise InvalidRequestError(
            f"input `{NAME}`: {spec.images} x {PIXELS} elements of {spec.datatype} are {expected} bytes, got {len(raw)}"
        )
    return raw if spec.datatype == "UINT8" else _levels(np.frombuffer(raw, dtype), spec.datatype)


def images_from_contents(spec: TensorSpec, contents: InferTensorContents) -> Images:
    """Reads the images of typed contents. Raises InvalidRequestError for a wrong field, length or scale."""
    field = _CONTENTS.get(spec.datatype)
    if field is None:
        raise InvalidRequestError(f"input `{NAME}`: {spec.datatype} has no typed form, send raw_input_contents")
    others = [descriptor.name for descriptor, _ in contents.ListFields() if descriptor.name != field]
    if others:
        raise InvalidRequestError(f"input `{NAME}`: {spec.datatype} belongs in {field}, not in {', '.join(others)}")
    elements: Sequence[Any] = getattr(contents, field)
    per_image = 1 if spec.datatype == BYTES else PIXELS
    if len(elements) != spec.images * per_image:
        raise InvalidRequestError(
            f"input `{NAME}`: its shape makes {spec.images * per_image} elements, {field} holds {len(elements)}"
        )
    if spec.datatype == BYTES:
        return [EncodedImage(element) for element in elements]
    dtype = _DTYPES[spec.datatype]
    # Integers of 64 bits: a value that does not fit the datatype must be refused below, not wrap around here.
    wide: np.dtype[Any] = {"u": np.dtype(np.uint64), "i": np.dtype(np.int64), "f": dtype}[dtype.kind]
    return _levels(np.array(elements, wide), spec.datatype)


def images_from_json(spec: TensorSpec, data: Any) -> Images:
    """Reads the images of a JSON list of numbers, flat or nested as the shape is. Raises InvalidRequestError."""
    dtype, wanted = _DTYPES[spec.datatype], spec.images * PIXELS
    try:
        values = numbers_of(data)  # of unequal rows, of texts: refused by the next lines
    except (ValueError, OverflowError) as error:
        raise InvalidRequestError(f"input `{NAME}`: `data` is no list of numbers of one shape") from error
    if values.dtype.kind not in "iuf" or values.size != wanted:
        held = f"holds {values.size}" if values.dtype.kind in "iuf" else "holds other things than numbers"
        raise InvalidRequestError(f"input `{NAME}`: its shape makes {wanted} numbers, `data` {held}")
    # 255.0 is whole too: clients whose JSON has floats alone, such as open-inference-openapi, send it.
    if dtype.kind != "f" and values.dtype.kind == "f" and (values != np.rint(values)).any():
        raise InvalidRequestError(f"input `{NAME}`: {spec.datatype} are whole numbers; send FP32 for 0 to 1")
    return _levels(values.astype(dtype) if dtype.kind == "f" else values, spec.datatype)


def clip(text: str) -> str:
    """Quotes a caller's text for an error message: in ASCII, 40 characters of it at most."""
    return ascii(text if len(text) <= 40 else text[:40] + "...")


def _images(dimensions: Sequence[int], datatype: str) -> int:
    """Returns the number of images that the dimensions stand for. Raises InvalidRequestError."""
    shape = tuple(dimensions[: _MOST_DIMENSIONS + 1])  # one more than any valid shape has, however many there are
    if datatype == BYTES:
        is_right, wanted = len(shape) == 1 or shape[1:] == (1,), "[n], one picture file an element"
    elif shape in _ONE_IMAGE:
        return 1
    else:
        is_right, wanted = shape[1:] in _IMAGES, _SHAPES
    if not is_right or shape[0] < 1:
        shown = ", ".join(map(str, shape[:_MOST_DIMENSIONS])) + (", ..." if len(shape) > _MOST_DIMENSIONS else "")
        raise InvalidRequestError(f"input `{NAME}`: shape [{shown}] of {datatype}, expected {wanted}, n at least 1")
    return shape[0]


def _levels(values: npt.NDArray[Any], datatype: str) -> bytes:
    """Converts values of 0 to 1 (floats) or 0 to 255 (integers) to one byte each. Raises InvalidRequestError."""
    is_float = _DTYPES[datatype].kind == "f"
    lowest, highest = values.min(), values.max()
    # Written so that NaN fails. A rounding above 1 is a 1: what was 255 / 255 in other arithmetic.
    margin = ROUNDING if is_float else 0
    if not (lowest >= -margin and highest <= (1 if is_float else 255) + margin):
        wanted, advice = ("0 to 1", "divide by 255 or send UINT8") if is_float else ("0 to 255", "0 = paper, 255 = ink")
        raise InvalidRequestError(
            f"input `{NAME}`: {datatype} values must be {wanted} ({advice}), got {lowest} to {highest}"
        )
    if is_float:
        values = np.clip(np.rint(values * np.float32(255)), 0, 255)
    return values.astype(np.uint8).tobytes()


def _elements(raw: bytes, count: int) -> list[bytes]:
    """Returns the `count` elements of a raw BYTES tensor. Raises InvalidRequestError for a wrong length."""
    elements: list[bytes] = []
    position = 0
    for _ in range(count):
        start = position + _LENGTH_BYTES
        position = start + int.from_bytes(raw[position:start], "little")
        if start > len(raw) or position > len(raw):
            raise InvalidRequestError(f"input `{NAME}`: element {len(elements)} of {count} is cut off")
        elements.append(raw[start:position])
    if position != len(raw):
        raise InvalidRequestError(f"input `{NAME}`: {len(raw) - position} bytes follow its last element, {count - 1}")
    return elements
