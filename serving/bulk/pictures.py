"""Pictures in folders and in zip and tar archives.

A plain archive has an index of its members, and shards read their own by offset. A compressed tar cannot be entered in
the middle, so it is one shard, read from its beginning to its end.
"""

import io
import json
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, Self

from serving.bulk.blocks import Content, Item, Problem, Raw
from serving.bulk.job import BulkError, Shard, reason_of, stamp_of
from serving.files import read_regular
from serving.image.picture import ImageLimits
from serving.predictions import PIXELS

SORTED_AT_ONCE = 100_000  # names of one folder: all of a larger folder's would take too much memory
MAX_DIRECTORY_BYTES = 2**26  # of a zip archive's directory, which zipfile holds as objects: some 700,000 members
RAW_SUFFIXES = (".bin", ".raw")
_END, _END64, _LOCATOR64_MAGIC, _LOCATOR64 = b"PK\5\6", b"PK\6\6", b"PK\6\7", 20
_LOCAL_HEADER, _LOCAL_MAGIC, _ENCRYPTED = 30, b"PK\3\4", 1


class _Member(tarfile.TarInfo):
    """Member of a tar archive. Raises ReadError for a damaged header, which tarfile would take for the end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.InvalidHeaderError as error:  # type: ignore[attr-defined]  # its stubs lack it
            raise tarfile.ReadError(str(error)) from error


class Index:
    """File with one line for each picture, in JSON. A shard of pictures is a range of its bytes."""

    def __init__(self, file: IO[bytes], shard_rows: int) -> None:
        self._file = file
        self._rows = shard_rows
        self._held = 0
        self._start = file.tell()

    def add(self, *item: object) -> bool:
        """Adds a picture. Returns True when a shard is full."""
        self._file.write(json.dumps(item).encode() + b"\n")
        self._held += 1
        return self._held == self._rows

    def cut(self, kind: str, path: Path, prefix: str, stamp: tuple[int, int] | None) -> Iterator[Shard]:
        """Yields a shard of the pictures that were added since the last cut, if there are any."""
        if self._held:
            end = self._file.tell()
            yield Shard(0, kind, str(path), prefix, self._held, 0, end, self._start, stamp=stamp)
            self._start, self._held = end, 0


def walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yields the files below a folder and their names relative to it. Leaves out names that begin with a dot.

    Folders are not followed by links, which might lead round in a circle.
    """
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        inner = []
        with os.scandir(place) as entries:
            seen = (entry for entry in entries if not entry.name.startswith("."))
            while chunk := sorted(islice(seen, SORTED_AT_ONCE), key=lambda entry: entry.name):
                for entry in chunk:
                    if entry.is_dir():
                        if not entry.is_symlink():
                            inner.append(Path(entry.path))
                    else:
                        yield Path(entry.path), str(Path(entry.path).relative_to(folder))
        waiting += reversed(inner)


def plan_zip(path: Path, prefix: str, index: Index) -> Iterator[Shard]:
    """Yields the shards of a zip archive. Raises BulkError for too many members, BadZipFile for a broken archive."""
    _check_directory(path)
    stamp = stamp_of(path)
    with zipfile.ZipFile(path) as archive:
        for member in archive.filelist:
            if not member.is_dir():
                place = (member.header_offset, member.compress_size, member.file_size, member.compress_type)
                if index.add(member.filename, *place, member.flag_bits, member.CRC):
                    yield from index.cut("zip", path, prefix, stamp)
    yield from index.cut("zip", path, prefix, stamp)


def plan_tar(path: Path, prefix: str, index: Index) -> Iterator[Shard]:
    """Yields the shards of a tar archive, one for a compressed one. Raises TarError for a broken one."""
    stamp = stamp_of(path)
    try:
        archive = tarfile.open(path, "r:", tarinfo=_Member)  # noqa: SIM115  # closed below
    except tarfile.ReadError:
        with tarfile.open(path, "r:*"):
            yield Shard(0, "tar_stream", str(path), prefix, None, stamp=stamp)
        return
    count, damage = 0, ""
    with archive:
        try:
            for member in _members(archive):
                if member.isfile():
                    count += 1
                    if index.add(member.name, member.offset_data, member.size):
                        yield from index.cut("tar", path, prefix, stamp)
        except tarfile.TarError as error:
            damage = f"the archive is damaged after {count} files: {error}"
    yield from index.cut("tar", path, prefix, stamp)
    if damage:
        yield Shard(0, "problem", str(path), f"{prefix}{count}", 1, detail=damage)


def read_files(shard: Shard, limits: ImageLimits, index: Path) -> Iterator[Item]:
    """Reads pictures of a folder, each a file."""
    for (name,) in _lines(shard, index):
        try:
            content: Content = _content(name, read_regular(Path(shard.path) / name, limits.max_bytes))
        except OSError as error:
            content = Problem(reason_of(error))
        yield shard.prefix + name, content


def read_zip(shard: Shard, limits: ImageLimits, index: Path) -> Iterator[Item]:
    """Reads members of a zip archive by their offsets."""
    with Path(shard.path).open("rb") as file:
        for name, *place in _lines(shard, index):
            yield shard.prefix + name, _content(name, _zip_member(file, limits, *place))


def read_tar(shard: Shard, limits: ImageLimits, index: Path) -> Iterator[Item]:
    """Reads members of a plain tar archive by their offsets."""
    with Path(shard.path).open("rb") as file:
        for name, offset, size in _lines(shard, index):
            if size > limits.max_bytes:
                yield shard.prefix + name, _too_long(size, limits)
                continue
            file.seek(offset)
            content = file.read(size)
            yield (
                shard.prefix + name,
                _content(name, content) if len(content) == size else Problem("the archive is cut"),
            )


def read_tar_stream(shard: Shard, limits: ImageLimits, _: Path) -> Iterator[Item]:
    """Reads a compressed tar archive from its beginning. Where it is damaged, the last row says so."""
    count = 0
    try:
        with tarfile.open(shard.path, "r|*", tarinfo=_Member) as archive:
            for member in _members(archive):
                if not member.isfile():
                    continue
                if member.size > limits.max_bytes:
                    content: Content = _too_long(member.size, limits)
                else:
                    file = archive.extractfile(member)
                    content = _content(member.name, file.read() if file else b"")
                yield shard.prefix + member.name, content
                count += 1
    except (tarfile.TarError, EOFError, OSError, zlib.error, ValueError) as error:
        yield f"{shard.prefix}{count}", Problem(f"the archive is damaged after {count} files: {reason_of(error)}")


def _lines(shard: Shard, index: Path) -> Iterator[list[Any]]:
    """Yields what Index.add() took."""
    with index.open("rb") as file:
        file.seek(shard.offset)
        while file.tell() < shard.stop:
            yield json.loads(file.readline())


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    while member := archive.next():
        archive.members.clear()  # type: ignore[attr-defined]  # it keeps them all, for getmembers()
        yield member


def _content(name: str, content: Content) -> Content:
    """Returns raw pixels for a file of 784 bytes with a suffix that says so."""
    is_raw = isinstance(content, bytes) and len(content) == PIXELS and name.endswith(RAW_SUFFIXES)
    return Raw(content) if is_raw else content  # type: ignore[arg-type]  # it is bytes


def _too_long(size: int, limits: ImageLimits) -> Problem:
    return Problem(f"the image has {size:,} bytes, at most {limits.max_bytes:,} are accepted")


def _zip_member(
    file: IO[bytes], limits: ImageLimits, offset: int, packed: int, size: int, method: int, flags: int, checksum: int
) -> Content:
    if size > limits.max_bytes or packed > limits.max_bytes + 2**16:
        return _too_long(max(size, packed), limits)
    if flags & _ENCRYPTED:
        return Problem("the file is encrypted")
    if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return Problem(f"the file is compressed by method {method}; stored and deflated ones are read")
    file.seek(offset)
    header = file.read(_LOCAL_HEADER)
    if len(header) < _LOCAL_HEADER or not header.startswith(_LOCAL_MAGIC):
        return Problem("the archive is damaged: no file begins where its directory says")
    name, extra = struct.unpack("<HH", header[26:])
    file.seek(name + extra, io.SEEK_CUR)
    content = file.read(packed)
    if method == zipfile.ZIP_DEFLATED:
        try:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, size + 1)
        except zlib.error as error:
            return Problem(f"the archive is damaged: {error}")
    if len(content) != size or zlib.crc32(content) != checksum:
        return Problem("the archive is damaged: the file is not what its checksum says")
    return content


def _check_directory(path: Path) -> None:
    """Raises BulkError where the directory of a zip archive is longer than MAX_DIRECTORY_BYTES."""
    with path.open("rb") as file:
        end = file.seek(0, io.SEEK_END)
        file.seek(max(0, end - 2**16 - 22 - _LOCATOR64))
        tail = file.read()
        at = tail.rfind(_END)
        if at < 0 or len(tail) < at + 22:
            raise BulkError(f"{path} is no zip archive, or is cut")
        (size,) = struct.unpack_from("<I", tail, at + 12)
        # Of an archive beyond 4 GB or 65,535 files.
        if at >= _LOCATOR64 and tail[at - _LOCATOR64 :].startswith(_LOCATOR64_MAGIC):
            file.seek(struct.unpack_from("<Q", tail, at - _LOCATOR64 + 8)[0])
            record = file.read(56)
            if len(record) == 56 and record.startswith(_END64):
                (size,) = struct.unpack_from("<Q", record, 40)
    if size > MAX_DIRECTORY_BYTES:
        raise BulkError(f"{path} holds too many files for one archive: unpack it, or divide it into several")
