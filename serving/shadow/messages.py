"""Messages from workers to the shadow process: a request with its answers, or the truth about an image. No object.

Each is one packet of a socket pair (SOCK_SEQPACKET), which the kernel keeps whole and bounds in number: a sender that
does not wait never gets more than the socket's buffer into memory.
"""

import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from serving.predictions import PIXELS, Pixels

REFUSED = 10  # answer of an image whose digit is refused; 0 to 9: the digit
MOST_IMAGES = 64  # of a request; of a larger one the first
# What it is, the request's key, the version that answered, and the number of images, or of a truth the image's index
# and the truth.
_HEAD = struct.Struct("<B16sqIb")
_ANSWERED, _TRUTH = 1, 2
MOST_BYTES = _HEAD.size + MOST_IMAGES * (1 + PIXELS)
NO_KEY = bytes(16)

Answers = npt.NDArray[np.uint8]  # (n,), 0 to 9, or REFUSED


class Answered(NamedTuple):
    """Request that a served version has answered. `pixels`: (n, 784) uint8; `answers`: (n,) uint8."""

    key: bytes  # 16 bytes, NO_KEY where no feedback can be given
    version: int
    answers: Answers
    pixels: Pixels


class Truth(NamedTuple):
    """Truth about one image of a request. `digit`: 0 to 9, or -1 for no digit."""

    key: bytes
    image: int  # index within the request
    digit: int


def key_of(owner: str, request_id: str) -> bytes:
    """Returns the key of a request of that owner, 16 bytes; NO_KEY for one without an id."""
    return blake2b(f"{owner}\0{request_id}".encode(), digest_size=16).digest() if request_id else NO_KEY


def answers_of(digits: npt.NDArray[np.int64], refusals: npt.NDArray[np.uint8]) -> Answers:
    """Returns the answers, (n,) uint8, for digits and refusals, (n,)."""
    return np.where(refusals == 0, digits, REFUSED).astype(np.uint8)


def packed_request(key: bytes, version: int, answers: Answers, pixels: Pixels) -> Sequence[bytes]:
    """Returns a request of 1 to MOST_IMAGES images as parts of one packet."""
    return _HEAD.pack(_ANSWERED, key, version, len(answers), 0), answers.tobytes(), pixels.tobytes()


def packed_truth(truth: Truth) -> Sequence[bytes]:
    """Returns a truth as the parts of one packet."""
    return (_HEAD.pack(_TRUTH, truth.key, 0, truth.image, truth.digit),)


def unpacked(packet: bytes) -> Answered | Truth:
    """Returns what a packet holds. Raises RuntimeError for one that no worker sends."""
    kind, key, version, count, digit = _HEAD.unpack_from(packet)
    if kind == _TRUTH:
        return Truth(key, count, digit)
    rest = np.frombuffer(packet, np.uint8, offset=_HEAD.size)
    if kind != _ANSWERED or not count or len(rest) != count * (1 + PIXELS):
        raise RuntimeError(f"a packet of {len(packet)} bytes came to the shadow process: this is a bug")
    return Answered(key, version, rest[:count], rest[count:].reshape(count, PIXELS))
