"""What a picture file may cost beside its pixels. The parsers are Pillow's; here stands what they do not bound.

1. A JPEG's Exif is copied anew with each of its segments: 8 MB in small ones cost Pillow half a minute.
2. Each small read is a step of Python: millions of markers or chunks of a few bytes cost seconds.
3. A run-length coded BMP is decoded in Python, pixel by pixel: 20 KB cost seconds.
4. A TIFF's values become Python objects, and each strip or tile another: millions cost gigabytes.
5. A TIFF's tiles may be far larger than its picture, and its strips may cover the picture any number of times.
"""

import io
import struct
from collections.abc import Iterator
from typing import Literal

from PIL import Image

from serving.errors import InvalidRequestError
from serving.image.picture import ImageLimits

MAX_READS = 200_000  # to open a file, and as many to load it; those of 8 MB as programs write them need some thousands
MAX_SIDE = 65_535  # of a picture, as in a JPEG: each row costs, too, and 25 million of one pixel took 1.6 GB
MAX_EXIF_SEGMENTS = 4  # of a JPEG, of 64 KB each: cameras write one
MAX_TIFF_VALUES = 100_000  # in all tags of a TIFF together; its strips are two each
MAX_ENTRIES, MAX_DIRECTORIES = 1000, 10
MAX_RUN_LENGTH_PIXELS = 1_000_000  # of a BMP: Pillow decodes those in Python, pixel by pixel
MAX_COVERS = 8  # how often a picture's strips may cover it: a file of separate planes has one for each

_EXIF = b"Exif\0\0"
_BYTE_TYPES = (1, 2, 7)  # a value of many of these is one object
_INTEGERS = {3: 2, 4: 4, 13: 4}  # bytes by type: SHORT, LONG, IFD
_BIG_TIFF, _RUN_LENGTHS = 43, "bmp_rle"
_TILE_WIDTH, _TILE_LENGTH = 322, 323
_DIRECTORIES = (34665, 34853, 40965)  # Exif, GPS, Interoperability: Pillow reads all their values when a TIFF is loaded

Order = Literal["little", "big"]


class BoundedFile(io.BytesIO):
    """A file that is read at most `reads_left` times. Raises InvalidRequestError beyond."""

    reads_left = MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        """The next `size` bytes."""
        self.reads_left -= 1
        if self.reads_left < 0:
            raise InvalidRequestError("the image is in too many pieces")
        return super().read(size)


def check_before_open(encoded: bytes, limits: ImageLimits) -> None:
    """Raises InvalidRequestError for a file that would cost far more than its size and its pixels tell."""
    if encoded.startswith(b"\xff\xd8") and encoded.count(_EXIF) > MAX_EXIF_SEGMENTS:
        raise InvalidRequestError(f"the JPEG image has more than {MAX_EXIF_SEGMENTS} Exif segments")
    if encoded.startswith((b"II", b"MM")):
        if _BIG_TIFF in encoded[2:4]:
            raise InvalidRequestError("BigTIFF, for files of more than 4 GB, is not read; send a plain TIFF")
        _check_tiff(encoded, limits.max_pixels)


def check_before_load(picture: Image.Image) -> None:
    """Raises InvalidRequestError for an opened `picture` whose decoding would cost far more than its pixels tell."""
    if max(picture.size) > MAX_SIDE:
        raise InvalidRequestError(
            f"the image has a side of {max(picture.size):,} pixels, at most {MAX_SIDE:,} are accepted"
        )
    parts = getattr(picture, "tile", [])
    if picture.width * picture.height > MAX_RUN_LENGTH_PIXELS and any(part[0] == _RUN_LENGTHS for part in parts):
        raise InvalidRequestError(
            f"the BMP image is run-length coded and has more than {MAX_RUN_LENGTH_PIXELS:,} pixels; send it plain"
        )
    covered = sum((right - left) * (bottom - top) for _, (left, top, right, bottom), *_ in parts)
    if covered > MAX_COVERS * picture.width * picture.height:
        raise InvalidRequestError(f"the {picture.format} image is covered more than {MAX_COVERS} times by its parts")


def _check_tiff(encoded: bytes, max_pixels: int) -> None:
    """Looks at the file's own directories: Pillow leaves out entries that libtiff, which decodes, does not."""
    order: Order = "little" if encoded.startswith(b"I") else "big"
    first = int.from_bytes(encoded[4:8], order)
    waiting, seen, all_values = [first], {first}, 0
    tile = {_TILE_WIDTH: 0, _TILE_LENGTH: 0}
    while waiting:
        start = waiting.pop()
        for tag, kind, values, value in _entries(encoded, start, order):
            all_values += 0 if kind in _BYTE_TYPES else values
            number = int.from_bytes(value[: _INTEGERS[kind]], order) if kind in _INTEGERS and values == 1 else None
            if number is None and (tag in tile or tag in _DIRECTORIES):
                raise InvalidRequestError(f"the TIFF image has a tag {tag} that is no whole number")
            if number is not None and tag in tile and start == first:
                tile[tag] = max(tile[tag], number)
            if number is not None and tag in _DIRECTORIES and number not in seen:
                waiting.append(number)
                seen.add(number)
        if all_values > MAX_TIFF_VALUES or len(seen) > MAX_DIRECTORIES:
            raise InvalidRequestError(f"the TIFF image has more than {MAX_TIFF_VALUES:,} values in its tags")
    width, length = tile.values()
    if width * length > max_pixels:
        raise InvalidRequestError(
            f"the TIFF image has tiles of {width} x {length} pixels, at most {max_pixels:,} are accepted"
        )


def _entries(encoded: bytes, start: int, order: Order) -> Iterator[tuple[int, int, int, bytes]]:
    """Tag, type, number of values, and the value or where it is, of each entry of the directory at `start`.

    A directory that is cut off goes as far as the file does: so far it is read.
    """
    count = int.from_bytes(encoded[start : start + 2], order)
    if count > MAX_ENTRIES:
        raise InvalidRequestError(f"the TIFF image has {count:,} tags, at most {MAX_ENTRIES:,} are read")
    entry = struct.Struct(("<" if order == "little" else ">") + "HHI4s")
    table = encoded[start + 2 : start + 2 + count * entry.size]
    yield from entry.iter_unpack(table[: len(table) // entry.size * entry.size])
