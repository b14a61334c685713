"""What calls take for images: picture files, Pillow's pictures and pixels, each one image or many at once."""

import errno
import io
import os
import struct
import sys
import zlib
from collections.abc import Iterable, Sequence
from numbers import Number
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

PIXELS = 784
_ONE_IMAGE = ((784,), (28, 28), (28, 28, 1))
_SHAPES = "(784,), (28, 28) or (28, 28, 1), or of n images (n, 784), (n, 28, 28) or (n, 28, 28, 1)"
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
_PNG_COLOURS = {1: 0, 3: 2, 4: 6}  # colour type by channels
_LARGE_PIXELS = 10**6
_LONGEST_PATH = 4096


class PillowImage(Protocol):
    """Pillow's PIL.Image.Image, by the members that the client uses: it does not need Pillow."""

    @property
    def mode(self) -> str:
        """Kind of pixels, "RGB"."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""

    def save(self, fp: Any, format: str | None = None, **params: Any) -> None:
        """Writes a picture file."""


# One image: bytes of a picture file (PNG, JPEG, BMP, WebP or TIFF) or 784 bytes of pixels, the path of a file with
# either, a picture of Pillow's, or an array of pixels: uint8, (784,), (28, 28) or (28, 28, 1), 0 = paper, 255 = ink.
SingleImage = bytes | bytearray | memoryview | str | os.PathLike[str] | PillowImage | npt.NDArray[np.uint8]
# One image among several, which may also be lists of such pixels. As a type of its own: with lists on both sides of
# "one image or several", type checkers could not tell what a list is.
ImageLike = SingleImage | Sequence[int] | Sequence[Sequence[int]]

# A picture of any number of digits: a file or a picture of Pillow's as above; or an array of grey levels (h, w) or
# (h, w, 1), of colours (h, w, 3) or with transparency (h, w, 4), uint8, dark on light or light on dark.
PictureLike = SingleImage
SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"RIFF", b"II*\0", b"MM\0*")


def each_image(images: SingleImage | Iterable[ImageLike]) -> Iterable[ImageLike]:
    """Returns the images one by one: a single one alone, an array of n as n; any other iterable as it is.

    Raises ValueError for an array, or lists of numbers, of another shape or type.
    """
    if isinstance(images, (list, tuple)):
        return list(_stack(images)) if _are_numbers(images) else images
    if isinstance(images, np.ndarray):
        return list(_stack(images))
    if isinstance(images, (bytes, bytearray, memoryview, str, os.PathLike)) or not isinstance(images, Iterable):
        return [images]
    return images


def is_of_pixels(image: ImageLike) -> bool:
    """Returns True for an array and for lists."""
    return isinstance(image, (np.ndarray, list, tuple))


def pixels(image: ImageLike) -> bytes:
    """Returns the 784 pixels of an array or of lists. Raises ValueError for more images than one, and for none."""
    stack = _stack(image)
    if len(stack) != 1:
        raise ValueError(f"expected one image, got an array of {len(stack)}")
    return stack.tobytes()


def file_content(image: ImageLike) -> bytes:
    """Returns the bytes of a file, or those given. Raises OSError for an unreadable one, TypeError for no image."""
    if isinstance(image, bytes):
        return image
    if isinstance(image, (bytearray, memoryview)):
        return bytes(image)
    if isinstance(image, str) and not os.path.exists(image):  # noqa: PTH110  # Path.exists raises for a text too long
        shown = image if len(image) <= _LONGEST_PATH else f"{image[:100]}..."
        raise FileNotFoundError(errno.ENOENT, "no such file (text is taken for the path of a picture)", shown)
    if isinstance(image, (str, os.PathLike)):
        return Path(image).read_bytes()
    # A program that has such a picture has loaded Pillow.
    if (pillow := sys.modules.get("PIL.Image")) and isinstance(image, pillow.Image):
        return _picture_file(image)
    raise TypeError(
        "expected an image: bytes, a path, a picture of Pillow's, an array or lists of numbers,"
        f" got {type(image).__name__}"
    )


def is_raw(content: bytes) -> bool:
    """Returns True for 784 bytes of pixels, which do not begin as a picture file does."""
    return len(content) == PIXELS and not content.startswith(SIGNATURES)


def picture_content(picture: PictureLike) -> bytes:
    """Returns a picture as the bytes of a file: arrays, and 784 bytes of pixels, as PNG.

    Raises ValueError for an array of another shape or type, OSError for an unreadable file, TypeError for the rest.
    """
    if isinstance(picture, np.ndarray):
        return _png(picture)
    if is_of_pixels(picture):
        raise TypeError("expected a picture: bytes, a path, a picture of Pillow's or an array, got a list")
    content = file_content(picture)
    return _png(255 - np.frombuffer(content, np.uint8).reshape(28, 28)) if is_raw(content) else content


def _png(picture: npt.NDArray[np.uint8]) -> bytes:
    """Writes grey levels or colours as a PNG file, by hand: the client does not need Pillow."""
    shape = picture.shape if picture.ndim == 3 else (*picture.shape, 1)
    if len(shape) != 3 or 0 in shape or shape[2] not in _PNG_COLOURS or picture.dtype != np.uint8:
        expected = "a picture of uint8, (h, w), (h, w, 1), (h, w, 3) or (h, w, 4)"
        raise ValueError(f"expected {expected}, got {picture.dtype}, {picture.shape}")
    height, width, channels = shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # before each row the number of its filter: 0, none
    rows[:, 1:] = picture.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, _PNG_COLOURS[channels], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _are_numbers(images: Sequence[object]) -> bool:
    """Returns True for numbers and lists alone. With an image of another form, or none, it is a list of images."""
    return bool(images) and all(isinstance(item, (list, tuple, Number)) for item in images)


def _stack(images: Any) -> npt.NDArray[np.uint8]:
    """Returns the pixels of each image, (n, 784) uint8. Raises ValueError for another shape or type."""
    array = images if isinstance(images, np.ndarray) else _from_numbers(images)
    if array.shape not in _ONE_IMAGE and array.shape[1:] not in _ONE_IMAGE:
        raise ValueError(f"expected pixels of shape {_SHAPES}, got {array.shape}")
    if array.dtype != np.uint8:
        hint = "; for ink from 0 to 1: (array * 255).astype(numpy.uint8)" if array.dtype.kind == "f" else ""
        raise ValueError(f"expected pixels of uint8, 0 = paper and 255 = ink, got {array.dtype}{hint}")
    return array.reshape(-1, PIXELS)


def _from_numbers(numbers: Sequence[object]) -> npt.NDArray[Any]:
    """Returns an array of uint8, or one that `_stack` refuses. Raises ValueError for integers out of range."""
    try:
        array = np.asarray(numbers)
    except ValueError as error:  # lists of different lengths
        raise ValueError(f"expected pixels of shape {_SHAPES}, got lists of different lengths") from error
    if array.dtype.kind not in "iu" or not array.size:
        return array
    if array.min() < 0 or array.max() > 255:
        raise ValueError(f"expected pixels from 0 = paper to 255 = ink, got {array.min()} to {array.max()}")
    return array.astype(np.uint8)


def _picture_file(image: PillowImage) -> bytes:
    """Writes the picture as a file: the server finds ink and paper in it, which bare pixels would not say."""
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(cast("Any", image))
    form, options = "PNG" if upright.mode in _PNG_MODES else "TIFF", {}
    if upright.mode in ("L", "RGB") and upright.width * upright.height > _LARGE_PIXELS:
        form, options = "JPEG", {"quality": 90}  # a photo as PNG may exceed the server's limit of 8 MiB
    file = io.BytesIO()
    upright.save(file, form, **options)
    return file.getvalue()
