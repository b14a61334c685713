"""What the gRPC tutorial leads to: pixels as repeated float, as peers/grpcio_tutorial/digits.proto has them."""

import numpy as np

from benchmarks.wire.protobuf import field, one_of, packed_varints
from benchmarks.wire.protocol import Pixels, Protocol

_IMAGES, _PIXELS, _DIGITS = 1, 1, 1


def tutorial_request(pixels: Pixels) -> bytes:
    """A ReadRequest: each image 784 floats from 0 to 1."""
    floats = pixels.astype("<f4") / np.float32(255)
    return b"".join(field(_IMAGES, field(_PIXELS, row.tobytes())) for row in floats)


def tutorial_digits(response: bytes) -> list[int]:
    """The digits of a ReadResponse."""
    return packed_varints(one_of(response, _DIGITS))


TUTORIAL = Protocol("repeated float", "/tutorial.DigitReader/Read", tutorial_request, tutorial_digits)
