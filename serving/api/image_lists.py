"""Images as JSON has them: lists of numbers, of a scale that the numbers show, and picture files in base64."""

import base64
import binascii
from typing import Any

import numpy as np

from serving.errors import InvalidRequestError
from serving.predictions import PIXELS


def numbers_of(data: Any) -> np.ndarray[Any, Any]:
    """Returns nested lists of numbers as an array; of objects, where they hold anything else. Raises ValueError.

    np.array() would make each text as long as the longest one: gigabytes of a body of kilobytes.
    """
    values = np.array(data, object)
    types = set(map(type, values.ravel().tolist()))
    if list in types:
        raise ValueError("rows of unequal lengths")
    return np.array(values.tolist()) if types <= {int, float, bool} else values


def pixels_of_numbers(data: Any) -> bytes:
    """Returns the 784 pixels, 0 to 255, of 784 numbers in any nesting. Raises InvalidRequestError.

    Numbers of at most 1 are of the scale 0 to 1, all others of 0 to 255: an image of the second scale that holds no
    number above 1 would be blank.
    """
    try:
        values = numbers_of(data)
    except (ValueError, OverflowError) as error:  # of unequal rows, of enormous numbers
        raise InvalidRequestError(f"expected {PIXELS} numbers in rows of one length") from error
    if values.dtype.kind not in "iufb" or values.size != PIXELS:
        got = f"{values.size} numbers" if values.dtype.kind in "iufb" else "something else"
        raise InvalidRequestError(f"expected {PIXELS} numbers, 0 = paper, 255 (or 1) = ink; got {got}")
    values = values.astype(np.float64).ravel()
    lowest, highest = values.min(), values.max()
    if not (lowest >= 0 and highest <= 255):  # written so that NaN fails
        raise InvalidRequestError(f"pixels are 0 to 255, or 0 to 1; got {lowest} to {highest}")
    return bytes(np.rint(values * 255 if highest <= 1 else values).astype(np.uint8).tobytes())


def decoded_picture(text: Any) -> bytes:
    """Returns the bytes of a picture file from base64 or a data URL. Raises InvalidRequestError."""
    if not isinstance(text, str):
        raise InvalidRequestError("a picture is a text, its bytes in base64")
    if text.startswith("data:"):
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequestError(f"a picture is no base64: {error}") from error
