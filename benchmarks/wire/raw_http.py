"""HTTP/1.1 with raw bytes both ways: pixels in, probabilities as float32 out."""

import numpy as np

from benchmarks.wire.protocol import Pixels, Protocol


def _request(pixels: Pixels) -> bytes:
    return pixels.tobytes()


def raw_digits(answer: bytes) -> list[int]:
    """The likeliest digit of each ten float32. Raises ValueError for bytes that are not so many."""
    return [int(digit) for digit in np.frombuffer(answer, "<f4").reshape(-1, 10).argmax(axis=1)]


def raw_http(path: str) -> Protocol:
    """The protocol, at `path`."""
    return Protocol("raw bytes", path, _request, raw_digits, is_grpc=False, content_type="application/octet-stream")
