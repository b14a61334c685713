"""Reads from the first bytes of a picture file how much work its decoding may be. Decodes nothing, loads no library.

An estimate to share decoders by, made on the event loop before a request is admitted: a few microseconds. What
decode() accepts is checked there, by the library that decodes.
"""

import math
import struct

from serving.image.picture import PNG_HEADER, ImageLimits

UNIT = 2**16  # pixels in colour, or bytes of the file, that are one unit of work: 1 to 2 ms
MOST_SEGMENTS = 64  # of a JPEG, and entries of a TIFF's directory, that are looked at; files have ten to thirty
CHEAPER_JPEG = 4  # times: a JPEG that is not progressive is reduced while it is decoded, and needs no more colour
_PNG_CHEAPER = {0: 4, 3: 2}  # by colour type: grey levels and palettes take less memory than colour
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of a frame's header, which has the size
_JPEG_ALONE = {0x00, 0x01, *range(0xD0, 0xD9), 0xFF}  # no length follows
_TIFF_SIDES = (256, 257)  # tags ImageWidth, ImageLength
_SHORT, _LONG = 3, 4


def decoding_units(encoded: bytes, limits: ImageLimits) -> int:
    """Returns the work of decoding the file in UNITs, at least 1. Of a size that is not found: the most that is read.

    What is beyond the limits is refused before it is decoded.
    """
    pixels = _pixels(encoded)
    if pixels is None:
        pixels = limits.max_pixels
    return min(max(1, math.ceil(max(pixels, len(encoded)) / UNIT)), most_units(limits))


def most_units(limits: ImageLimits) -> int:
    """Returns the work of the largest picture within the limits."""
    return max(1, math.ceil(max(limits.max_pixels, limits.max_bytes) / UNIT))


def _pixels(encoded: bytes) -> int | None:
    """Returns the pixels that the file declares, less for what takes less memory; None: they are not found."""
    try:
        if encoded.startswith(PNG_HEADER):
            return _png(encoded)
        if encoded.startswith(b"\xff\xd8"):
            return _jpeg(encoded)
        if encoded.startswith(b"BM"):
            return _bmp(encoded)
        if encoded.startswith(b"RIFF"):
            return _webp(encoded)
        if encoded.startswith((b"II*\0", b"MM\0*")):
            return _tiff(encoded)
    except (struct.error, IndexError, ValueError):  # cut off
        pass
    return None


def _png(encoded: bytes) -> int | None:
    if encoded.count(PNG_HEADER[-4:]) > 1:  # of two headers Pillow takes the second
        return None
    width, height = _unpacked(">II", encoded, 16)
    depth, colours = encoded[24:26]
    return math.ceil(width * height / (_PNG_CHEAPER.get(colours, 1) if depth <= 8 else 1))


def _jpeg(encoded: bytes) -> int | None:
    at, largest = 2, 0
    for _ in range(MOST_SEGMENTS):
        at = encoded.find(b"\xff", at)
        marker = encoded[at + 1] if at >= 0 else 0xD9
        if marker in (0xD9, 0xDA):  # the end, or the first scan
            return largest or None
        if marker in _JPEG_FRAMES:
            height, width = _unpacked(">HH", encoded, at + 5)
            largest = max(largest, math.ceil(width * height / (CHEAPER_JPEG if marker in (0xC0, 0xC1) else 1)))
        at += 1 if marker == 0xFF else 2
        if marker not in _JPEG_ALONE:
            at += _unpacked(">H", encoded, at)[0]
    return None


def _bmp(encoded: bytes) -> int:
    (size,) = _unpacked("<I", encoded, 14)
    width, height = _unpacked("<HH" if size == 12 else "<ii", encoded, 18)
    return abs(width * height)


def _webp(encoded: bytes) -> int | None:
    kind = encoded[12:16]
    if kind == b"VP8X":
        width, height = (1 + int.from_bytes(encoded[at : at + 3], "little") for at in (24, 27))
    elif kind == b"VP8L":
        (sides,) = _unpacked("<I", encoded, 21)
        width, height = 1 + (sides & 0x3FFF), 1 + (sides >> 14 & 0x3FFF)
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in _unpacked("<HH", encoded, 26))
    else:
        return None
    return width * height


def _tiff(encoded: bytes) -> int | None:
    order = "<" if encoded.startswith(b"I") else ">"
    (start,) = _unpacked(f"{order}I", encoded, 4)
    (count,) = _unpacked(f"{order}H", encoded, start)
    if count > MOST_SEGMENTS:
        return None
    sides = dict.fromkeys(_TIFF_SIDES, 0)
    for number in range(count):
        tag, kind = _unpacked(f"{order}HH", encoded, start + 2 + 12 * number)
        if tag in sides:
            if kind not in (_SHORT, _LONG):
                return None
            value = _unpacked(f"{order}{'H' if kind == _SHORT else 'I'}", encoded, start + 10 + 12 * number)
            sides[tag] = max(sides[tag], value[0])
    width, height = sides.values()
    return width * height or None


def _unpacked(form: str, encoded: bytes, at: int) -> tuple[int, ...]:
    return struct.unpack_from(form, encoded, at)
