"""Client of the handwritten-digit service mnist-digits, for programs; the command is `mnist-digits`.

    from pathlib import Path
    from mnist_digits import DigitClient

    with DigitClient("127.0.0.1:50051") as client:
        for prediction in client.classify([Path("three.png"), Path("eight.jpg")]):
            print(prediction.digit, prediction.probability, prediction.refused)

`DigitClient` blocks and may be shared by threads; `AsyncDigitClient` has the same methods for asyncio. All that is
public stands here; anything imported from a module of this package may change.
"""

from mnist_digits.async_digit_client import AsyncDigitClient
from mnist_digits.digit_client import DigitClient
from mnist_digits.errors import CallError, ImageError
from mnist_digits.explanation import Explanation, Layer
from mnist_digits.images import ImageLike, PictureLike
from mnist_digits.reading import Glyph, Layout, Line, Reading
from mnist_digits.results import ModelDescription, Prediction

__all__ = [
    "AsyncDigitClient",
    "CallError",
    "DigitClient",
    "Explanation",
    "Glyph",
    "ImageError",
    "ImageLike",
    "Layer",
    "Layout",
    "Line",
    "ModelDescription",
    "PictureLike",
    "Prediction",
    "Reading",
]
