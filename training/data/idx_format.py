"""The IDX file format of the original MNIST files: bytes to arrays and back. Knows no paths and no checksums.

A file is two zero bytes, a type byte (8 = uint8), the number of dimensions, each dimension as a big-endian
uint32, then the values in row-major order.
"""

import math
import struct

import numpy as np
import numpy.typing as npt

from training.errors import DataError

_UINT8 = 8


def decode(content: bytes, name: str) -> npt.NDArray[np.uint8]:
    """Decode an IDX file of uint8 to an array.

    Args:
        content: the whole file, uncompressed.
        name: the file's name in errors.

    Raises:
        DataError: the header is not that of an IDX file of uint8, or bytes are missing or left over.
    """
    if len(content) < 4 or content[:3] != bytes([0, 0, _UINT8]) or len(content) < 4 + 4 * content[3]:
        raise DataError(f"{name} is not an IDX file of bytes: its header reads {content[:4].hex(' ') or 'nothing'}")
    header_bytes = 4 + 4 * content[3]
    shape = struct.unpack(f">{content[3]}I", content[4:header_bytes])
    expected = header_bytes + math.prod(shape)
    if len(content) != expected:
        raise DataError(f"{name} holds {len(content):,} bytes where its header promises {expected:,}")
    return np.frombuffer(content, np.uint8, offset=header_bytes).reshape(shape)


def encode(array: npt.NDArray[np.uint8]) -> bytes:
    """Encode an array as an IDX file; the inverse of `decode`."""
    header = struct.pack(f">4B{array.ndim}I", 0, 0, _UINT8, array.ndim, *array.shape)
    return header + array.tobytes()
