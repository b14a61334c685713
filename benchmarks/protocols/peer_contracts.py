"""Contracts of peers that do not speak the Open Inference Protocol: raw bytes, base64 in JSON, repeated floats."""

import base64
import json

import numpy as np

from benchmarks.protocols.pictures import PICTURES
from benchmarks.protocols.protobuf import field, first_field, packed_varints
from benchmarks.protocols.protocol import Pixels, Protocol

_IMAGES, _PIXELS, _DIGITS = 1, 1, 1  # field numbers in peers/grpcio_tutorial/digits.proto


def raw_http(path: str) -> Protocol:
    """HTTP/1.1 with raw bytes both ways: pixels in, probabilities (n, 10) float32 out."""
    return Protocol("raw bytes", path, _raw_request, raw_digits, is_grpc=False, content_type="application/octet-stream")


def picture_http(path: str) -> Protocol:
    """HTTP/1.1 with a picture file in; probabilities (1, 10) float32 out."""
    return Protocol(
        "a picture", path, PICTURES["png"].encode, raw_digits,
        is_grpc=False, content_type="image/png", carries_pictures=True,
    )  # fmt: skip


def _raw_request(pixels: Pixels) -> bytes:
    return pixels.tobytes()


def raw_digits(response: bytes) -> list[int]:
    """The most probable digit of each ten float32. Raises ValueError for bytes that do not divide so."""
    return [int(digit) for digit in np.frombuffer(response, "<f4").reshape(-1, 10).argmax(axis=1)]


def base64_json(path: str) -> Protocol:
    """HTTP/1.1 with JSON, for servers that take nothing else: each image as base64 text, the digits back."""
    return Protocol("JSON, base64", path, _json_request, json_digits, is_grpc=False, content_type="application/json")


def _json_request(pixels: Pixels) -> bytes:
    return json.dumps({"images": [base64.b64encode(row.tobytes()).decode() for row in pixels]}).encode()


def json_digits(response: bytes) -> list[int]:
    """The digits in a list, or in the `digits` of an object. Raises ValueError or LookupError for anything else."""
    content = json.loads(response)
    return [int(digit) for digit in (content["digits"] if isinstance(content, dict) else content)]


def tutorial_request(pixels: Pixels) -> bytes:
    """A ReadRequest of the gRPC tutorial's kind: each image as 784 repeated floats from 0 to 1."""
    floats = pixels.astype("<f4") / np.float32(255)
    return b"".join(field(_IMAGES, field(_PIXELS, row.tobytes())) for row in floats)


def tutorial_digits(response: bytes) -> list[int]:
    """The digits of a ReadResponse."""
    return packed_varints(first_field(response, _DIGITS))


TUTORIAL = Protocol("repeated float", "/tutorial.DigitReader/Read", tutorial_request, tutorial_digits)
