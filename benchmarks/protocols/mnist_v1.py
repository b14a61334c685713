"""mnist.v1, this project's own contract: Classify over gRPC, and POST /v1/classify over HTTP."""

import json

from benchmarks.protocols.pictures import PICTURES
from benchmarks.protocols.protocol import Pixels, Protocol
from protos.mnist.v1 import digits_pb2


def _classify_request(pixels: Pixels) -> bytes:
    images = [digits_pb2.Image(pixels=row.tobytes()) for row in pixels]
    return digits_pb2.ClassifyRequest(images=images).SerializeToString()


def _classify_digits(response: bytes) -> list[int]:
    return [prediction.digit for prediction in digits_pb2.ClassifyResponse.FromString(response).predictions]


def _raw_request(pixels: Pixels) -> bytes:
    (row,) = pixels  # /v1/classify takes one image a request
    return bytes(row)


def http_digits(response: bytes) -> list[int]:
    """The digit in the JSON of /v1/classify, as a list of one. Raises ValueError or LookupError for anything else."""
    return [int(json.loads(response)["digit"])]


CLASSIFY = Protocol("mnist.v1", "/mnist.v1.DigitClassifier/Classify", _classify_request, _classify_digits)
HTTP_RAW = Protocol(
    "raw pixels", "/v1/classify", _raw_request, http_digits, is_grpc=False, content_type="application/octet-stream"
)
HTTP_PNG = Protocol(
    "PNG", "/v1/classify", PICTURES["png"].encode, http_digits,
    is_grpc=False, content_type="image/png", carries_pictures=True,
)  # fmt: skip
