"""Arrays of raw pixels: IDX, also gzipped, and NumPy's .npy and .npz.

Rows of an uncompressed array are read by their offset. What is compressed cannot be entered in the middle, so it is one
shard, read from its beginning to its end.
"""

import gzip
import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from serving.bulk.blocks import BLOCK_ROWS, Block, numbered, one_problem
from serving.bulk.job import BulkError, Shard, reason_of, stamp_of
from serving.predictions import PIXELS, SIDE

_IDX_PIXELS, _IDX_LABELS = b"\0\0\x08\x03", b"\0\0\x08\x01"  # unsigned bytes in three dimensions, and in one
_SHAPES = ((PIXELS,), (SIDE, SIDE), (SIDE, SIDE, 1))  # of one image
_LOCAL_HEADER = 30  # bytes of a member's header in a zip archive, before its name
_MAX_HEADER = 10_000  # bytes of a .npy header
_DAMAGED = (EOFError, OSError, zlib.error, zipfile.BadZipFile, ValueError)


class LabelsError(BulkError):
    """IDX file of labels, which stands next to that of the images in most folders."""


def plan_idx(path: Path, prefix: str, shard_rows: int) -> Iterator[Shard]:
    """Yields the shards of an IDX file, also gzipped. Raises BulkError where it holds no images of 28x28."""
    packed = path.suffix == ".gz"
    with gzip.open(path, "rb") if packed else path.open("rb") as file:
        header = file.read(16)
    if header.startswith(_IDX_LABELS):
        raise LabelsError(f"{path} holds labels and no images")
    if len(header) < 16 or not header.startswith(_IDX_PIXELS):
        raise BulkError(f"{path} is no IDX file of images")
    rows, height, width = struct.unpack(">III", header[4:])
    if (height, width) != (SIDE, SIDE):
        raise BulkError(f"{path} holds images of {height} x {width} pixels, expected {SIDE} x {SIDE}")
    if packed:
        yield _stream(path, prefix, "", 16, rows)
    else:
        yield from _ranges(path, prefix, shard_rows, 16, rows)


def plan_npy(path: Path, prefix: str, shard_rows: int) -> Iterator[Shard]:
    """Yields the shards of a .npy file. Raises BulkError for another array than images of 28x28 in uint8."""
    with path.open("rb") as file:
        rows = _npy_rows(file, str(path))
        yield from _ranges(path, prefix, shard_rows, file.tell(), rows)


def plan_npz(path: Path, prefix: str, shard_rows: int) -> Iterator[Shard]:
    """Yields the shards of the array of images in a .npz file. Raises BulkError where it does not hold exactly one."""
    found: list[tuple[zipfile.ZipInfo, int, int]] = []
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist()[:1000]:
            try:
                with archive.open(member) as file:
                    rows = _npy_rows(file, member.filename)
                    found.append((member, file.tell(), rows))
            except (BulkError, ValueError):
                continue
    if len(found) != 1:
        names = ", ".join(member.filename for member, _, _ in found)
        raise BulkError(f"{path} must hold one array of images, uint8 (n, 784) or (n, 28, 28): has {names or 'none'}")
    member, offset, rows = found[0]
    if member.compress_type == zipfile.ZIP_STORED:
        with path.open("rb") as file:
            file.seek(member.header_offset)
            name, extra = struct.unpack("<HH", file.read(_LOCAL_HEADER)[26:])
        start = member.header_offset + _LOCAL_HEADER + name + extra
        yield from _ranges(path, prefix, shard_rows, start + offset, rows)
    else:
        yield _stream(path, prefix, member.filename, offset, rows)


def read_rows(shard: Shard) -> Iterator[Block]:
    """Reads the rows of a shard that has an offset."""
    with Path(shard.path).open("rb") as file:
        file.seek(shard.offset)
        for first in range(shard.first, shard.stop, BLOCK_ROWS):
            rows = min(BLOCK_ROWS, shard.stop - first)
            pixels = np.fromfile(file, np.uint8, rows * PIXELS)
            if len(pixels) < rows * PIXELS:
                raise BulkError(f"{shard.path} has become shorter while it was read")
            yield numbered(shard.prefix, first, pixels.reshape(rows, PIXELS))


def read_stream(shard: Shard) -> Iterator[Block]:
    """Reads a compressed array from its beginning. Where it is damaged, the last row says so."""
    row = 0
    try:
        with _opened(shard) as file:
            if len(file.read(shard.offset)) < shard.offset:
                raise EOFError("it is cut")
            while row < shard.stop:
                content = _read_fully(file, min(BLOCK_ROWS, shard.stop - row) * PIXELS)
                whole = len(content) // PIXELS
                if whole:
                    pixels = np.frombuffer(content, np.uint8, whole * PIXELS).reshape(whole, PIXELS)
                    yield numbered(shard.prefix, row, pixels)
                    row += whole
                if len(content) % PIXELS or not whole:
                    raise EOFError("it is cut")
    except _DAMAGED as error:
        reason = f"damaged after {row} of {shard.stop} rows: {reason_of(error)}"
        yield one_problem(f"{shard.prefix}{row}", reason)


def _opened(shard: Shard) -> IO[bytes]:
    if not shard.detail:
        opened: Any = gzip.open(shard.path, "rb")  # noqa: SIM115  # the caller closes it
        return opened  # type: ignore[no-any-return]
    with zipfile.ZipFile(shard.path) as archive:
        return archive.open(shard.detail)  # keeps the file open by itself


def _read_fully(file: IO[bytes], size: int) -> bytes:
    """Reads `size` bytes, or less at the end of the file, or before the place where it is damaged."""
    buffer = io.BytesIO()
    while (missing := size - buffer.tell()) > 0:
        try:
            content = file.read(missing)
        except _DAMAGED:
            if buffer.tell():
                break  # the next read raises it again
            raise
        if not content:
            break
        buffer.write(content)
    return buffer.getvalue()


def _npy_rows(file: IO[bytes], name: str) -> int:
    """Reads the header of a .npy file and returns its rows. Raises BulkError, or ValueError where it is none."""
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, is_fortran, dtype = read(file, max_header_size=_MAX_HEADER)
    if dtype != np.uint8 or shape[1:] not in _SHAPES or is_fortran:
        raise BulkError(f"{name} is {dtype} {shape}, expected uint8 (n, 784) or (n, 28, 28), 0 = paper, 255 = ink")
    return int(shape[0])


def _ranges(path: Path, prefix: str, shard_rows: int, offset: int, rows: int) -> Iterator[Shard]:
    stamp = stamp_of(path)
    if stamp[0] < offset + rows * PIXELS:
        raise BulkError(f"{path} is cut: its header says {rows:,} rows, it has {(stamp[0] - offset) // PIXELS:,}")
    for number in range(math.ceil(rows / shard_rows)):
        first = number * shard_rows
        stop = min(first + shard_rows, rows)
        start = offset + first * PIXELS
        yield Shard(0, "rows", str(path), prefix, stop - first, first, stop, start, stamp=stamp)


def _stream(path: Path, prefix: str, member: str, offset: int, rows: int) -> Shard:
    return Shard(0, "row_stream", str(path), prefix, None, 0, rows, offset, member, stamp_of(path))
