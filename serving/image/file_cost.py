"""Limits on what a picture file may cost besides its pixels: time and memory that Pillow's parsers do not bound.

1. Pillow copies a JPEG's Exif again for each of its segments: 8 MB in small segments take half a minute.
2. Each small read is a step of Python: millions of markers or chunks of a few bytes take seconds.
3. Pillow decodes a run-length coded BMP in Python, pixel by pixel: 20 KB take seconds.
4. Each value in a TIFF's tags becomes a Python object, and so does each strip or tile: millions take gigabytes.
5. A TIFF's tiles may be far larger than its picture, each and together, and its strips may cover the picture any
   number of times.
"""

import io
import struct
from collections.abc import Iterator
from typing import Literal

import numpy as np
from PIL import Image

from serving.errors import InvalidRequestError
from serving.image.picture import ImageLimits

MAX_READS = 200_000  # to open a file, and again to load it; usual files of 8 MB need some thousands
MAX_SIDE = 65_535  # pixels, as in a JPEG. Each row costs memory as well: 25 million rows of one pixel took 1.6 GB
MAX_EXIF_SEGMENTS = 4  # of a JPEG, each up to 64 KB: cameras write one
MAX_TIFF_VALUES = 100_000  # in all tags of a TIFF together; each strip has two, its offset and its length
MAX_ENTRIES, MAX_DIRECTORIES = 1000, 10  # of a TIFF: entries in a directory, and directories
MAX_RUN_LENGTH_PIXELS = 1_000_000  # of a run-length coded BMP
MOST_IN_TILES = 4  # times the most pixels that the tiles of a TIFF may have together: grey levels take a quarter
MAX_COVERS = 8  # times that a picture's strips may cover it: a file with separate planes has one for each plane

_EXIF = b"Exif\0\0"
_BYTE_TYPES = (1, 2, 7)  # BYTE, ASCII, UNDEFINED: however many values, Pillow makes one object of them
_INTEGERS = {3: 2, 4: 4, 13: 4}  # bytes by type: SHORT, LONG, IFD
_BIG_TIFF, _RUN_LENGTHS = 43, "bmp_rle"  # the version in the file's header; Pillow's name of the decoder
_WIDTH, _LENGTH, _TILE_WIDTH, _TILE_LENGTH = 256, 257, 322, 323  # tags
_DIRECTORIES = (34665, 34853, 40965)  # tags Exif, GPS, Interoperability: Pillow reads their values when it loads a TIFF

Order = Literal["little", "big"]


class BoundedFile(io.BytesIO):
    """File in memory that allows `reads_left` more reads, and then raises InvalidRequestError."""

    reads_left = MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        """Returns the next `size` bytes."""
        self.reads_left -= 1
        if self.reads_left < 0:
            raise InvalidRequestError("the image is in too many pieces")
        return super().read(size)


def check_before_open(encoded: bytes, limits: ImageLimits) -> None:
    """Checks what would already cost too much in Image.open(). Raises InvalidRequestError."""
    if encoded.startswith(b"\xff\xd8") and occurs_more_often(encoded, _EXIF, MAX_EXIF_SEGMENTS):
        raise InvalidRequestError(f"the JPEG image has more than {MAX_EXIF_SEGMENTS} Exif segments")
    if encoded.startswith((b"II", b"MM")):
        if _BIG_TIFF in encoded[2:4]:  # either byte order; its directories have another layout than is checked here
            raise InvalidRequestError("BigTIFF, for files of more than 4 GB, is not read; send a plain TIFF")
        _check_tiff(encoded, limits.max_pixels)


def occurs_more_often(encoded: bytes, pattern: bytes, most: int) -> bool:
    """Returns True where `pattern`, of two bytes or more, occurs more than `most` times."""
    # By NumPy first: bytes.count() takes a millisecond for a megabyte. Three bytes are rare in what is compressed.
    levels = np.frombuffer(encoded, np.uint8)
    starts = len(levels) - len(pattern) + 1
    if starts <= most:
        return False
    is_start = levels[:starts] == pattern[0]
    for offset, byte in enumerate(pattern[1:3], 1):
        is_start &= levels[offset : offset + starts] == byte
    return bool(np.count_nonzero(is_start) > most) and encoded.count(pattern) > most


def check_before_load(picture: Image.Image) -> None:
    """Checks what would cost too much in load() of an opened `picture`. Raises InvalidRequestError."""
    if max(picture.size) > MAX_SIDE:
        raise InvalidRequestError(
            f"the image has a side of {max(picture.size):,} pixels, at most {MAX_SIDE:,} are accepted"
        )
    parts = getattr(picture, "tile", [])  # (decoder, box, offset, arguments) of each strip or tile
    if picture.width * picture.height > MAX_RUN_LENGTH_PIXELS and any(part[0] == _RUN_LENGTHS for part in parts):
        raise InvalidRequestError(
            f"the BMP image is run-length coded and has more than {MAX_RUN_LENGTH_PIXELS:,} pixels; send it plain"
        )
    covered = sum((right - left) * (bottom - top) for _, (left, top, right, bottom), *_ in parts)
    if covered > MAX_COVERS * picture.width * picture.height:
        raise InvalidRequestError(f"the {picture.format} image is covered more than {MAX_COVERS} times by its parts")


def _check_tiff(encoded: bytes, max_pixels: int) -> None:
    """Checks the values and the tile size in the file's own directories. Raises InvalidRequestError.

    Not by Pillow's parser: it skips entries that libtiff, which decodes the picture, does read.
    """
    order: Order = "little" if encoded.startswith(b"I") else "big"
    first = int.from_bytes(encoded[4:8], order)
    waiting, seen, all_values = [first], {first}, 0  # `seen`: offsets, since directories may point at one another
    sides = dict.fromkeys((_WIDTH, _LENGTH, _TILE_WIDTH, _TILE_LENGTH), 0)
    while waiting:
        start = waiting.pop()
        for tag, kind, values, value in _entries(encoded, start, order):
            all_values += 0 if kind in _BYTE_TYPES else values
            number = int.from_bytes(value[: _INTEGERS[kind]], order) if kind in _INTEGERS and values == 1 else None
            # libtiff also reads sizes of other types, as of eight bytes; programs do not write such files.
            if number is None and (tag in sides or tag in _DIRECTORIES):
                raise InvalidRequestError(f"the TIFF image has a tag {tag} that is no whole number")
            if number is not None and tag in sides and start == first:
                sides[tag] = max(sides[tag], number)  # of a tag that stands twice, parsers differ in which they take
            if number is not None and tag in _DIRECTORIES and number not in seen:
                waiting.append(number)
                seen.add(number)
        if all_values > MAX_TIFF_VALUES or len(seen) > MAX_DIRECTORIES:
            raise InvalidRequestError(f"the TIFF image has more than {MAX_TIFF_VALUES:,} values in its tags")
    width, length, tile_width, tile_length = sides.values()
    tiles = -(-width // max(1, tile_width)) * -(-length // max(1, tile_length))  # whole ones are decoded
    if tile_width * tile_length > max_pixels or tiles * tile_width * tile_length > MOST_IN_TILES * max_pixels:
        raise InvalidRequestError(
            f"the TIFF image has {tiles:,} tiles of {tile_width} x {tile_length} pixels, at most {max_pixels:,} are"
            f" accepted in one and {MOST_IN_TILES * max_pixels:,} in all"
        )


def _entries(encoded: bytes, start: int, order: Order) -> Iterator[tuple[int, int, int, bytes]]:
    """Yields tag, type, number of values, and the value or its offset for each entry of the directory at `start`.

    Of a directory that is cut off it yields the complete entries. Raises InvalidRequestError for too many.
    """
    count = int.from_bytes(encoded[start : start + 2], order)
    if count > MAX_ENTRIES:
        raise InvalidRequestError(f"the TIFF image has {count:,} tags, at most {MAX_ENTRIES:,} are read")
    entry = struct.Struct(("<" if order == "little" else ">") + "HHI4s")
    table = encoded[start + 2 : start + 2 + count * entry.size]
    yield from entry.iter_unpack(table[: len(table) // entry.size * entry.size])
