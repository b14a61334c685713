"""Reads from the first bytes of a picture file how much work its decoding may be. Decodes nothing, loads no library.

An estimate to share decoders by, made on the event loop before a request is admitted: a few microseconds. What
decode() accepts is checked there, by the library that decodes.
"""

import math
import struct

from serving.image.picture import PNG_HEADER, ImageLimits

UNIT = 2**16  # pixels in colour, or bytes of the file, that are one unit of work: 1 to 2 ms
MOST_PARTS = 256  # of a file: segments, chunks or tags that are looked at; phones' photos have dozens
CHEAPER_JPEG = 4  # times: a JPEG that is not progressive is reduced while it is decoded, and needs no more colour
_PNG_CHEAPER = {0: 4, 3: 2}  # by colour type: grey levels and palettes take less memory than colour
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # markers of a frame's header, which has the size
_JPEG_PLAIN = (0xC0, 0xC1)  # frames that are neither progressive nor of another kind
_JPEG_SCAN, _JPEG_END = 0xDA, 0xD9
_JPEG_ALONE = {0x00, 0x01, *range(0xD0, 0xD9), 0xFF}  # no length follows
_TIFF_SIDES, _TILE_SIDES = (256, 257), (322, 323)  # tags ImageWidth and ImageLength, TileWidth and TileLength
_TIFF, _SHORT, _LONG = 42, 3, 4  # the format's number; types of numbers


def decoding_units(encoded: bytes, limits: ImageLimits) -> int:
    """Returns the work of decoding the file in UNITs, at least 1. Of a size that is not found: the most that is read.

    What is beyond the limits, and what is no picture, is refused before it is decoded.
    """
    pixels = _pixels(encoded)
    if pixels is None:
        pixels = limits.max_pixels
    return min(max(1, math.ceil(max(pixels, len(encoded)) / UNIT)), most_units(limits))


def most_units(limits: ImageLimits) -> int:
    """Returns the work of the largest picture within the limits."""
    return max(1, math.ceil(max(limits.max_pixels, limits.max_bytes) / UNIT))


def _pixels(encoded: bytes) -> int | None:
    """Returns the pixels that the file declares, less for what takes less memory; None: they are not found.

    0 for a file of none of the formats that are read.
    """
    try:
        if encoded.startswith(PNG_HEADER):
            return _png(encoded)
        if encoded.startswith(b"\xff\xd8"):
            return _jpeg(encoded)
        if encoded.startswith(b"BM"):
            return _bmp(encoded)
        if encoded.startswith(b"RIFF"):
            return _webp(encoded)
        if encoded.startswith((b"II", b"MM")):
            return _tiff(encoded)
        if not encoded.startswith(PNG_HEADER[:4]):
            return 0
    except (struct.error, IndexError, ValueError):  # cut off
        pass
    return None


def _png(encoded: bytes) -> int | None:
    width, height = _unpacked(">II", encoded, 16)
    depth, colours = encoded[24:26]
    at, is_cheaper = 33, depth <= 8
    for _ in range(MOST_PARTS):
        (length,), kind = _unpacked(">I", encoded, at), encoded[at + 4 : at + 8]
        if kind == b"IDAT":
            return math.ceil(width * height / (_PNG_CHEAPER.get(colours, 1) if is_cheaper else 1))
        if kind == b"IHDR":  # of two headers Pillow takes the second
            break
        is_cheaper &= kind != b"tRNS"  # that is flattened in colour
        at += 12 + length
    return None


def _jpeg(encoded: bytes) -> int | None:
    pixels, is_reduced = _jpeg_frame(encoded)
    return math.ceil(pixels / (CHEAPER_JPEG if is_reduced else 1)) or None


def is_reduced_jpeg(encoded: bytes) -> bool:
    """Returns True for a JPEG that libjpeg reduces while it decodes: of one scan. Others it holds as a whole."""
    try:
        return _jpeg_frame(encoded)[1]
    except (struct.error, IndexError):  # cut off
        return False


def _jpeg_frame(encoded: bytes) -> tuple[int, bool]:
    """Returns the pixels of a JPEG, 0 where they are not found, and whether it is of one scan."""
    at, pixels, components, is_plain = 2, 0, 0, True
    for _ in range(MOST_PARTS):
        at = encoded.find(b"\xff", at)
        marker = encoded[at + 1] if at >= 0 else _JPEG_END
        if marker in (_JPEG_SCAN, _JPEG_END):
            return pixels, is_plain and marker == _JPEG_SCAN and encoded[at + 4] >= components
        if marker in _JPEG_FRAMES:
            height, width = _unpacked(">HH", encoded, at + 5)
            pixels = max(pixels, width * height)
            components = max(components, encoded[at + 9])
            is_plain &= marker in _JPEG_PLAIN
        at += 1 if marker == 0xFF else 2
        if marker not in _JPEG_ALONE:
            at += _unpacked(">H", encoded, at)[0]
    return 0, False


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
    if _unpacked(f"{order}H", encoded, 2)[0] != _TIFF:
        return None
    (start,) = _unpacked(f"{order}I", encoded, 4)
    (count,) = _unpacked(f"{order}H", encoded, start)
    if count > MOST_PARTS:
        return None
    sides = dict.fromkeys((*_TIFF_SIDES, *_TILE_SIDES), 0)
    for number in range(count):
        tag, kind = _unpacked(f"{order}HH", encoded, start + 2 + 12 * number)
        if tag in sides:
            if kind not in (_SHORT, _LONG):
                return None
            value = _unpacked(f"{order}{'H' if kind == _SHORT else 'I'}", encoded, start + 10 + 12 * number)
            sides[tag] = max(sides[tag], value[0])
    # Whole tiles are decoded.
    width, height = (
        math.ceil(sides[side] / tile) * tile
        for side, tile in zip(_TIFF_SIDES, (max(1, sides[tag]) for tag in _TILE_SIDES), strict=True)
    )
    return width * height or None


def _unpacked(form: str, encoded: bytes, at: int) -> tuple[int, ...]:
    return struct.unpack_from(form, encoded, at)
