"""The outputs of the Open Inference Protocol: predictions as raw or typed tensors, and as Triton's classifications.

A raw predictions is put together from fields that are serialised once and kept, and the tensors' bytes; decision 0020.
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
    """What a model's output is: the protocol's datatype, numpy's, the typed list, an image's shape, whence it comes."""

    datatype: str
    dtype: np.dtype[Any]
    contents: str
    row_shape: tuple[int, ...]
    values: Callable[[BatchPredictions], Any]

    def array(self, rows: BatchPredictions) -> npt.NDArray[Any]:
        """Of all rows, in the protocol's type."""
        return np.asarray(self.values(rows), self.dtype)

    def encoded(self, rows: BatchPredictions) -> bytes:
        """The same, row after row: an encoder for `Rows.encoded`."""
        return self.array(rows).tobytes()


class RequestedOutput(NamedTuple):
    """An output asked for by name. `classes`: so many of the likeliest, as BYTES; 0: the tensor itself."""

    name: str
    classes: int = 0


PROBABILITIES = "probabilities"
_FP32, _INT64, _BOOL = np.dtype("<f4"), np.dtype("<i8"), np.dtype("?")
OUTPUTS: Mapping[str, Output] = {
    PROBABILITIES: Output("FP32", _FP32, "fp32_contents", (DIGITS,), lambda rows: rows.probabilities),
    "digit": Output("INT64", _INT64, "int64_contents", (), lambda rows: rows.digits),
    "novelty": Output("FP32", _FP32, "fp32_contents", (), lambda rows: rows.novelties),
    "refused": Output("BOOL", _BOOL, "bool_contents", (), lambda rows: rows.refusals != Refusal.NONE),
}
_ENCODERS = {name: output.encoded for name, output in OUTPUTS.items()}  # bound once: batches know them by identity
ALL_OUTPUTS = tuple(RequestedOutput(name) for name in OUTPUTS)


def raw_response(model: str, id: str, outputs: tuple[RequestedOutput, ...], predictions: Predictions) -> bytes:
    """The serialised ModelInferResponse with raw_output_contents."""
    parts = [_model_fields(model, predictions.version)]
    if id:
        parts.append(ModelInferResponse(id=id).SerializeToString())
    parts.append(_tensor_fields(outputs, predictions.images))
    for output in outputs:
        raw = _raw(output, predictions)
        parts += (_raw_header(len(raw)), raw)
    return b"".join(parts)


def typed_response(model: str, id: str, outputs: tuple[RequestedOutput, ...], predictions: Predictions) -> bytes:
    """The serialised ModelInferResponse with typed contents."""
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


def _raw(output: RequestedOutput, predictions: Predictions) -> bytes:
    if output.classes:
        return b"".join(len(text).to_bytes(4, "little") + text for text in _classifications(output, predictions))
    return predictions.encoded(_ENCODERS[output.name])


def _array(output: Output, predictions: Predictions) -> npt.NDArray[Any]:
    return output.array(predictions.batch)[predictions.start : predictions.end]


def _classifications(output: RequestedOutput, predictions: Predictions) -> list[bytes]:
    """`value:index:label` of each image's likeliest digits, likeliest first, image after image."""
    probabilities = _array(OUTPUTS[output.name], predictions)
    likeliest = np.argsort(-probabilities, axis=1, kind="stable")[:, : output.classes]
    return [
        b"%f:%d:%d" % (row[digit], digit, digit)
        for row, digits in zip(probabilities.tolist(), likeliest.tolist(), strict=True)
        for digit in digits
    ]


def _tensor(output: RequestedOutput, images: int) -> ModelInferResponse.InferOutputTensor:
    kind = OUTPUTS[output.name]
    datatype, row_shape = ("BYTES", (output.classes,)) if output.classes else (kind.datatype, kind.row_shape)
    return ModelInferResponse.InferOutputTensor(name=output.name, datatype=datatype, shape=[images, *row_shape])


@lru_cache(maxsize=8)
def _model_fields(model: str, version: int) -> bytes:
    return ModelInferResponse(model_name=model, model_version=str(version)).SerializeToString()


@lru_cache(maxsize=256)
def _tensor_fields(outputs: tuple[RequestedOutput, ...], images: int) -> bytes:
    return ModelInferResponse(outputs=[_tensor(output, images) for output in outputs]).SerializeToString()


@lru_cache(maxsize=256)
def _raw_header(length: int) -> bytes:
    return sized_field(ModelInferResponse, "raw_output_contents", length)
