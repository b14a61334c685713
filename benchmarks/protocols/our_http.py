"""Our server's contracts over HTTP/1.1: /v1/classify, and the Open Inference Protocol with binary tensors."""

import json

import numpy as np

from benchmarks.protocols.protocol import Pixels, Protocol

_HEADER_BYTES = 256  # of the JSON before binary tensors, with spaces, so that its length is the same in each request
_HEADER_NAME = "Inference-Header-Content-Length"


def _classify_request(pixels: Pixels) -> bytes:
    return pixels.tobytes() if len(pixels) == 1 else json.dumps(pixels.tolist()).encode()


def classified_digits(response: bytes) -> list[int]:
    """The digits of one prediction, or of several. Raises ValueError or LookupError for anything else."""
    content = json.loads(response)
    return [int(each["digit"]) for each in content.get("predictions", [content])]


def _infer_request(pixels: Pixels) -> bytes:
    tensor = {
        "name": "pixels",
        "datatype": "UINT8",
        "shape": list(pixels.shape),
        "parameters": {"binary_data_size": pixels.size},
    }
    header = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return header.ljust(_HEADER_BYTES) + pixels.tobytes()


def inferred_digits(response: bytes) -> list[int]:
    """The digits of a response with binary tensors. Raises ValueError or LookupError for anything else."""
    document, end = json.JSONDecoder().raw_decode(response.decode("latin-1"))  # the tensors follow without a sign
    start = end
    for output in document["outputs"]:
        size = output["parameters"]["binary_data_size"]
        if output["name"] == "digit":
            return [int(digit) for digit in np.frombuffer(response[start : start + size], "<i8")]
        start += size
    raise LookupError("no output named digit")


CLASSIFY_HTTP = Protocol(
    "/v1/classify, raw bytes", "/v1/classify", _classify_request, classified_digits,
    is_grpc=False, content_type="application/octet-stream",
)  # fmt: skip
INFER_HTTP = Protocol(
    "/v2 infer, binary tensors", "/v2/models/mnist/infer", _infer_request, inferred_digits,
    is_grpc=False, content_type="application/octet-stream", headers=((_HEADER_NAME, str(_HEADER_BYTES)),),
)  # fmt: skip
