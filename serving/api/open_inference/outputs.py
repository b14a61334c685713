"""Predictions as output tensors of the Open Inference Protocol: raw, typed, or as Triton's classifications.

1. A raw response is joined from fields that are serialised once and kept, and from the bytes of the tensors. No message
   object is made for it (decision 0020).
2. A batch encodes each output once, for all of its requests; each request takes the bytes of its rows. Requests for one
   image share records that hold all outputs.
3. Raw outputs are little-endian and row-major. tritonclient's as_numpy() reads raw outputs only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from protos.inference.open_inference_pb2 import ModelInferResponse
from serving.api.wire_format import sized_field
from serving.predictions import DIGITS, BatchPredictions, Predictions, Refusal


@dataclass(frozen=True, slots=True)
class Output:
    """An output of the model: its types, its shape, and where its values come from."""

    datatype: str  # the protocol's name for `dtype`
    dtype: np.dtype[Any]
    contents: str  # field of InferTensorContents for typed values
    row_shape: tuple[int, ...]  # of one image
    values: Callable[[BatchPredictions], Any]  # of all rows; np.asarray() copies only where the dtype differs

    def array(self, rows: BatchPredictions) -> npt.NDArray[Any]:
        """Returns the values of all rows, (n, *row_shape), as `dtype`."""
        return np.asarray(self.values(rows), self.dtype).reshape(-1, *self.row_shape)

    def encoded(self, rows: BatchPredictions) -> bytes:
        """Returns the bytes of array(), row after row: an encoder for BatchPredictions.encoded."""
        return self.array(rows).tobytes()


class RequestedOutput(NamedTuple):
    """A requested output. `classes`: number of likeliest digits to return as BYTES; 0: the tensor itself."""

    name: str
    classes: int = 0


PROBABILITIES = "probabilities"
# Little-endian by the protocol, whatever the machine is.
_FP32, _INT64, _BOOL = np.dtype("<f4"), np.dtype("<i8"), np.dtype("?")
OUTPUTS: Mapping[str, Output] = {
    PROBABILITIES: Output("FP32", _FP32, "fp32_contents", (DIGITS,), lambda rows: rows.probabilities),
    # (1,) and not (): as config.pbtxt declares them to Triton, which knows no output without dimensions.
    "digit": Output("INT64", _INT64, "int64_contents", (1,), lambda rows: rows.digits),
    "novelty": Output("FP32", _FP32, "fp32_contents", (1,), lambda rows: rows.novelties),
    "refused": Output("BOOL", _BOOL, "bool_contents", (1,), lambda rows: rows.refusals != Refusal.NONE),
}
# Bound methods, made once: a batch keeps encoded bytes by encoder, and each `output.encoded` would be a new object.
_ENCODERS = {name: output.encoded for name, output in OUTPUTS.items()}
# Returned to requests that name none. One tuple for all: it is a key of the cache below.
ALL_OUTPUTS = tuple(RequestedOutput(name) for name in OUTPUTS)


def raw_response(model: str, id: str, outputs: tuple[RequestedOutput, ...], predictions: Predictions) -> bytes:
    """Returns the serialised ModelInferResponse with raw_output_contents, in the order of `outputs`."""
    parts = [_model_fields(model, predictions.version)]
    if id:  # not cached with the model's fields: it differs in each request
        parts.append(ModelInferResponse(id=id).SerializeToString())
    parts.append(_tensor_fields(outputs, predictions.images))
    for output in outputs:
        raw = raw_output(output, predictions)
        parts += (_raw_header(len(raw)), raw)
    return b"".join(parts)


def typed_response(model: str, id: str, outputs: tuple[RequestedOutput, ...], predictions: Predictions) -> bytes:
    """Returns the serialised ModelInferResponse with typed contents, in the order of `outputs`."""
    response = ModelInferResponse(model_name=model, model_version=str(predictions.version), id=id)
    for output in outputs:
        tensor = response.outputs.add()
        tensor.CopyFrom(_tensor(output, predictions.images))
        if output.classes:
            tensor.contents.bytes_contents.extend(_classifications(output, predictions))
        else:
            values = _array(OUTPUTS[output.name], predictions).ravel().tolist()
            getattr(tensor.contents, OUTPUTS[output.name].contents).extend(values)
    return response.SerializeToString()


def raw_output(output: RequestedOutput, predictions: Predictions) -> bytes:
    """Returns the bytes of a tensor, little-endian and row-major."""
    if output.classes:  # each element of a BYTES tensor has its length in front, four bytes little-endian
        return b"".join(len(text).to_bytes(4, "little") + text for text in _classifications(output, predictions))
    return predictions.encoded(_ENCODERS[output.name])


def values_of(output: RequestedOutput, predictions: Predictions) -> list[Any]:
    """Returns the elements of a tensor as JSON has them, row after row."""
    if output.classes:
        return [text.decode() for text in _classifications(output, predictions)]
    values: list[Any] = _array(OUTPUTS[output.name], predictions).ravel().tolist()
    return values


def _array(output: Output, predictions: Predictions) -> npt.NDArray[Any]:
    # Converts the whole batch for each request: typed responses and classifications are rare.
    return output.array(predictions.batch)[predictions.start : predictions.end]


def _classifications(output: RequestedOutput, predictions: Predictions) -> list[bytes]:
    """Returns `value:index:label` of each image's likeliest digits, likeliest first, image after image."""
    probabilities = _array(OUTPUTS[output.name], predictions)
    # A stable sort: equal probabilities stay in the order of the digits.
    likeliest = np.argsort(-probabilities, axis=1, kind="stable")[:, : output.classes]
    return [
        b"%f:%d:%d" % (row[digit], digit, digit)  # %f as Triton writes it; the label of a digit is the digit
        for row, digits in zip(probabilities.tolist(), likeliest.tolist(), strict=True)
        for digit in digits
    ]


def _tensor(output: RequestedOutput, images: int) -> ModelInferResponse.InferOutputTensor:
    """Returns name, datatype and shape of an output for so many images, without its data."""
    kind = OUTPUTS[output.name]
    datatype, row_shape = ("BYTES", (output.classes,)) if output.classes else (kind.datatype, kind.row_shape)
    return ModelInferResponse.InferOutputTensor(name=output.name, datatype=datatype, shape=[images, *row_shape])


# Each cache holds serialised fields. Protobuf reads messages in a row as one, so a response is these, joined.
@lru_cache(maxsize=8)
def _model_fields(model: str, version: int) -> bytes:
    return ModelInferResponse(model_name=model, model_version=str(version)).SerializeToString()


@lru_cache(maxsize=256)
def _tensor_fields(outputs: tuple[RequestedOutput, ...], images: int) -> bytes:
    return ModelInferResponse(outputs=[_tensor(output, images) for output in outputs]).SerializeToString()


@lru_cache(maxsize=256)
def _raw_header(length: int) -> bytes:
    return sized_field(ModelInferResponse, "raw_output_contents", length)
