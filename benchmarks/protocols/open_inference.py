"""The Open Inference Protocol over gRPC: ModelInfer with one raw UINT8 tensor in, three tensors out; and its echo.

Field numbers: kserve/open-inference-protocol, specification/protocol/open_inference_grpc.proto.
"""

import struct

import numpy as np

from benchmarks.protocols.protobuf import field, fields, first_field, packed_varints, varint
from benchmarks.protocols.protocol import Pixels, Protocol

ECHO_METHOD = ("benchmark.Echo", "Echo")
_MODEL_NAME, _INPUTS, _RAW_INPUTS = 1, 5, 7  # of ModelInferRequest
_OUTPUTS, _RAW_OUTPUTS = 5, 6  # of ModelInferResponse
_NAME, _DATATYPE, _SHAPE, _CONTENTS = 1, 2, 3, 5  # of a tensor
_INT64_CONTENTS = 3


def infer_request(pixels: Pixels, model: str = "mnist") -> bytes:
    """A ModelInferRequest with pixels (n, 784) uint8 as raw contents."""
    shape = b"".join(varint(dimension) for dimension in pixels.shape)
    tensor = field(_NAME, b"pixels") + field(_DATATYPE, b"UINT8") + field(_SHAPE, shape)
    return field(_MODEL_NAME, model.encode()) + field(_INPUTS, tensor) + field(_RAW_INPUTS, pixels.tobytes())


def infer_digits(response: bytes) -> list[int]:
    """The output `digit` (n,) int64 of a ModelInferResponse, raw or typed.

    Raises LookupError for a response without that output, ValueError for bytes that are not a response.
    """
    tensors = [value for number, value in fields(response) if number == _OUTPUTS and isinstance(value, bytes)]
    raw = [value for number, value in fields(response) if number == _RAW_OUTPUTS and isinstance(value, bytes)]
    names = [first_field(tensor, _NAME) for tensor in tensors]
    if b"digit" not in names:
        raise LookupError(f"no output `digit` among {names}")
    index = names.index(b"digit")
    if raw:
        return [number for (number,) in struct.iter_unpack("<q", raw[index])]
    return packed_varints(first_field(first_field(tensors[index], _CONTENTS), _INT64_CONTENTS))


def open_inference(model: str = "mnist") -> Protocol:
    """ModelInfer for one model of the server."""

    def request(pixels: Pixels) -> bytes:
        return infer_request(np.ascontiguousarray(pixels), model)

    return Protocol("Open Inference", "/inference.GRPCInferenceService/ModelInfer", request, infer_digits)


def _no_digits(_: bytes) -> list[int]:
    return []


ECHO = Protocol("echo", "/" + "/".join(ECHO_METHOD), infer_request, _no_digits)
