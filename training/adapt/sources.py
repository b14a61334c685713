"""Lists labelled pictures: those of folders or of a CSV file, which are still to be framed, and those of a store.

A store's pictures are what the model saw, 28x28 pixels. What a folder, a file or a store says is checked and bounded.
"""

import csv
import os
import sqlite3
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from training.data.arrays import CLASSES, NOT_A_DIGIT, PIXELS, Labels, Pixels
from training.errors import DataError

MOST_PICTURES = 100_000
LABELS = {**{str(digit): digit for digit in range(CLASSES)}, "none": NOT_A_DIGIT}
_EXPECTED = "expected 0 to 9, or none"
_MOST_CSV_BYTES = 64 * 2**20
_STORE_ID, _STORE_FORM = 0x4D444947, 1  # of the server's database, serving.store.database
_DAMAGES = (
    *(ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, OSError, NotImplementedError),
    MemoryError,  # of an array whose header says that it is endless
)


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """A picture file, what it shows (0 to 9, or NOT_A_DIGIT), and who wrote it; empty: that is not known."""

    path: Path
    label: int
    writer: str


@dataclass(frozen=True, slots=True)
class StoredPictures:
    """Pictures of a server's store: pixels (n, 784) uint8, labels (n,) int64, and the request of each, one person's."""

    pixels: Pixels
    labels: Labels
    requests: tuple[str, ...]


def read_source(source: Path) -> list[LabelledFile] | StoredPictures:
    """The pictures of a folder, of a CSV file (path, label, writer), of a store, or of an export of one (.npz).

    Raises:
        DataError: there is no such source, it is damaged, a label is unknown, or there are no pictures or too many.
    """
    try:
        status = source.stat()
        if stat.S_ISDIR(status.st_mode):
            return _enough(list(islice(_files_of_folder(source), MOST_PICTURES + 1)), source)
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{source} is neither a folder nor a file")
        with source.open("rb") as file:
            start = file.read(16)
    except OSError as error:
        raise DataError(f"cannot read {error.filename or source}: {error.strerror}") from error
    if start == b"SQLite format 3\0":
        return _of_store(source)
    if start.startswith(b"PK\3\4"):
        return _of_export(source)
    if status.st_size > _MOST_CSV_BYTES:
        raise DataError(f"{source} has {status.st_size:,} bytes; a CSV file may have {_MOST_CSV_BYTES:,}")
    return _enough(list(islice(_files_of_table(source), MOST_PICTURES + 1)), source)


def _enough(files: list[LabelledFile], source: Path) -> list[LabelledFile]:
    _check_count(len(files), source)
    return files


def _check_count(count: int, source: Path) -> None:
    if not count:
        raise DataError(f"{source} holds no labelled pictures")
    if count > MOST_PICTURES:
        raise DataError(f"{source} holds more than {MOST_PICTURES:,} pictures: take fewer of them")


def _files_of_folder(folder: Path) -> Iterator[LabelledFile]:
    """Files below a folder, by name. One of the folders on the way is the label; the others name the writer."""

    def fail(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        parts = Path(place).relative_to(folder).parts
        shown = [name for name in sorted(names) if not name.startswith(".")]
        if not shown:
            continue
        labels = [part for part in parts if part in LABELS]
        if len(labels) != 1:
            raise DataError(
                f"{Path(place) / shown[0]} has no label: it must lie below one folder named 0 to 9, or none"
                + (f", and lies below {len(labels)}" if labels else "")
            )
        writer = "/".join(part for part in parts if part not in LABELS)
        for name in shown:
            yield LabelledFile(Path(place) / name, LABELS[labels[0]], writer)


def _files_of_table(source: Path) -> Iterator[LabelledFile]:
    """Rows of a CSV file; a path counts from the folder that the file is in."""
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, strict=True)
            if not {"path", "label"} <= set(table.fieldnames or ()):
                raise DataError(f"{source}: the first line must name the columns path and label (and writer, if known)")
            for row in table:
                path, label, writer = (row.get(name) or "" for name in ("path", "label", "writer"))
                if not path or label.strip() not in LABELS:
                    wrong = f"the label {label!r}" if path else "no path"
                    raise DataError(
                        f"{source}, line {table.line_num}: {wrong}; {_EXPECTED if path else 'expected one'}"
                    )
                yield LabelledFile(source.parent / path, LABELS[label.strip()], writer.strip())
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{source} is no CSV file, no store and no export of one: {error}") from error


def _of_store(source: Path) -> StoredPictures:
    """Pictures with a truth in the database of a server, which may go on writing it."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(source.absolute()))}?mode=ro", uri=True)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            [(application,)] = connection.execute("PRAGMA application_id")
            [(form,)] = connection.execute("PRAGMA user_version")
            if (application, form) != (_STORE_ID, _STORE_FORM):
                raise DataError(f"{source} is no store of the server, or of another form than {_STORE_FORM}")
            rows = connection.execute(
                # Where it is no picture, its bytes are not read: there may be gigabytes of them.
                "SELECT CASE WHEN length(pixels) = ? THEN pixels END, truth, substr(caller, 1, 1000),"
                " substr(request_id, 1, 1000) FROM pictures WHERE truth IS NOT NULL ORDER BY id LIMIT ?",
                (PIXELS, MOST_PICTURES + 1),
            ).fetchall()
    except (sqlite3.Error, ValueError) as error:
        raise DataError(f"{source} is no store that can be read: {error}") from error
    _check_count(len(rows), source)
    try:
        pixels = np.frombuffer(b"".join(row[0] for row in rows), np.uint8).reshape(len(rows), PIXELS)
        truths = np.array([row[1] for row in rows])
    except (TypeError, ValueError) as error:
        raise DataError(f"{source} holds pictures that are not of {PIXELS} pixels") from error
    return _stored(source, pixels, truths, [f"{caller}/{request}" for _, _, caller, request in rows])


def _of_export(source: Path) -> StoredPictures:
    """Pictures of an archive that `python -m serving store export` wrote."""
    try:
        with zipfile.ZipFile(source) as archive:  # looked at first: an archive may unpack to any size
            if sum(each.file_size for each in archive.infolist()) > MOST_PICTURES * (PIXELS + 1024):
                raise DataError(f"{source} holds more than {MOST_PICTURES:,} pictures: take fewer of them")
        with np.load(source, allow_pickle=False) as file:
            pixels, truths = file["pixels"], file["truth"]
            requests = [f"{key}/{request}" for key, request in zip(file["key"], file["request_id"], strict=True)]
    except _DAMAGES as error:
        raise DataError(f"{source} is no export of a store that can be read: {' '.join(str(error).split())}") from error
    _check_count(len(pixels), source)
    return _stored(source, pixels, truths, requests)


def _stored(source: Path, pixels: Any, truths: Any, requests: list[str]) -> StoredPictures:
    count = len(requests)
    if pixels.shape != (count, PIXELS) or pixels.dtype != np.uint8 or truths.shape != (count,):
        raise DataError(f"{source}: expected ({count}, {PIXELS}) uint8 pixels and as many truths, got {pixels.shape}")
    if truths.dtype.kind != "i" or not np.isin(truths, list(LABELS.values())).all():
        raise DataError(f"{source} has a truth that is none; expected 0 to 9, or {NOT_A_DIGIT} for no digit")
    return StoredPictures(pixels, truths.astype(np.int64), tuple(requests))
