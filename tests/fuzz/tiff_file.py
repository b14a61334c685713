"""TIFF files put together tag by tag: for seeds that Pillow cannot write, tiled and hostile ones."""

import struct

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, STRIP_OFFSETS = 256, 257, 258, 259, 262, 273
SAMPLES, ROWS_PER_STRIP, STRIP_BYTES = 277, 278, 279
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_BYTES = 322, 323, 324, 325
RAW, LZW, DEFLATE = 1, 5, 8
LONG, RATIONAL, SLONG8 = 4, 5, 17
DATA_START = 8


def grey_tiff(size: tuple[int, int], data: bytes, tags: dict[int, int | list[int]], order: str = "<") -> bytes:
    """A grey picture of `size` (width, height): its `data` begins at DATA_START, `tags` say how it is laid out.

    A tag's value is a number, or several. `order`: < for little-endian, > for big-endian.
    """
    width, height = size
    all_tags = {WIDTH: width, LENGTH: height, BITS: 8, COMPRESSION: RAW, PHOTOMETRIC: 1, SAMPLES: 1} | tags
    lists, entries = b"", b""
    for tag, value in sorted(all_tags.items()):
        count = 1
        if isinstance(value, list):
            packed = struct.pack(f"{order}{len(value)}I", *value)
            count, value = len(value), DATA_START + len(data) + len(lists)
            lists += packed
        entries += struct.pack(order + "HHII", tag, LONG, count, value)
    directory = struct.pack(order + "H", len(all_tags)) + entries + bytes(4)
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", DATA_START + len(data) + len(lists))
    return start + data + lists + directory
