"""Results of a shard: columns, and the file that they are written to, as Parquet, CSV or JSON lines.

A file is written aside and moved into place when it is complete: a task that is run twice, or ends in the middle,
leaves each row once or not at all.
"""

import csv
import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt

from serving.bulk.job import BulkError, Job
from serving.image.picture import Quality
from serving.predictions import Refusal

COLUMNS = ("id", "digit", "probability", "novelty", "refused", "quality", "error")
GROUP_ROWS = 8192  # of a row group of Parquet: what is held before it is written
REFUSALS = [refusal.name.lower() if refusal else "" for refusal in Refusal]  # by Refusal
REMARKS = [",".join((remark.name or "").lower() for remark in Quality(bits)) for bits in range(2 * max(Quality))]


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers for n rows, column by column. Rows with an error have neither digit nor probability nor novelty."""

    ids: list[str]
    digits: npt.NDArray[np.int64]  # (n,)
    probabilities: npt.NDArray[np.float32]  # (n,), of the digit, calibrated
    novelties: npt.NDArray[np.float32]  # (n,)
    refusals: npt.NDArray[np.uint8]  # (n,), Refusal
    quality: npt.NDArray[np.uint8]  # (n,), Quality
    errors: dict[int, str]  # by row

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yields the values of each row, in the order of COLUMNS, None where there is none."""
        digits, refusals, quality = self.digits.tolist(), self.refusals.tolist(), self.quality.tolist()
        # Rounded as float32 is printed: as float64 most would have nine digits more.
        probabilities, novelties = (values.astype(str).tolist() for values in (self.probabilities, self.novelties))
        for row, identity in enumerate(self.ids):
            if row in self.errors:
                yield identity, None, None, None, "", "", self.errors[row]
            else:
                numbers = float(probabilities[row]), float(novelties[row])
                yield identity, digits[row], *numbers, REFUSALS[refusals[row]], REMARKS[quality[row]], None


class Writer(Protocol):
    """Writes answers to a file."""

    def write(self, answers: Answers) -> None:
        """Writes rows."""

    def close(self) -> None:
        """Writes what is held, and the end of the file. Leaves the file itself open."""


class CsvWriter:
    """Writes CSV with a line of names at the top."""

    def __init__(self, file: IO[str]) -> None:
        self._writer = csv.writer(file)
        self._writer.writerow(COLUMNS)

    def write(self, answers: Answers) -> None:
        """Writes rows; an empty field where there is no value."""
        self._writer.writerows(answers.rows())

    def close(self) -> None:
        """Does nothing."""


class JsonLinesWriter:
    """Writes one JSON object a line."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, answers: Answers) -> None:
        """Writes rows; null where there is no value."""
        self._file.writelines(json.dumps(dict(zip(COLUMNS, row, strict=True))) + "\n" for row in answers.rows())

    def close(self) -> None:
        """Does nothing."""


@contextmanager
def written(job: Job, number: int) -> Iterator[Writer]:
    """Opens the file of a shard's results, and moves it into place where the block ends without an error."""
    # Of this task alone: another one may write the same shard, on a node that is thought to be dead.
    aside = job.aside(number, f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    aside.parent.mkdir(parents=True, exist_ok=True)
    try:
        if job.format == "parquet":
            with aside.open("wb") as file:
                writer = _parquet_writer(file)
                try:
                    yield writer
                finally:
                    writer.close()  # also of a file that is given up: it would be closed later, when the file is gone
                _sync(file)
        else:
            with aside.open("w", newline="", encoding="utf-8", errors="backslashreplace") as text:
                yield CsvWriter(text) if job.format == "csv" else JsonLinesWriter(text)
                _sync(text)
        aside.replace(job.part(number))
    finally:
        aside.unlink(missing_ok=True)


def read_back(path: Path, format: str) -> Iterator[tuple[list[str], list[str], list[str | None]]]:
    """Reads ids, refusals and errors of a file of results, some thousand rows at once."""
    if format == "parquet":
        from serving.bulk.parquet_results import read_columns

        yield from read_columns(path, GROUP_ROWS)
        return
    held: list[tuple[str, str, str | None]] = []
    with path.open(newline="", encoding="utf-8") as file:
        rows: Iterator[dict[str, Any]] = csv.DictReader(file) if format == "csv" else map(json.loads, file)
        for row in rows:
            held.append((row["id"], row["refused"], row["error"] or None))
            if len(held) == GROUP_ROWS:
                yield tuple(map(list, zip(*held, strict=True)))  # type: ignore[misc]  # three columns
                held.clear()
    if held:
        yield tuple(map(list, zip(*held, strict=True)))  # type: ignore[misc]  # three columns


def check_format(format: str) -> None:
    """Raises BulkError where the results cannot be written in this format here."""
    if format == "parquet":
        try:
            import serving.bulk.parquet_results  # noqa: F401  # as each task will
        except ImportError as error:
            raise BulkError(
                "Parquet needs pyarrow: pip install 'mnist-digits[scale]', or write --format csv or jsonl"
            ) from error


def _parquet_writer(file: IO[bytes]) -> Writer:
    from serving.bulk.parquet_results import ParquetWriter

    return ParquetWriter(file, GROUP_ROWS)


def _sync(file: IO[Any]) -> None:
    """Waits until the file is on the disk: a power failure must not leave a name without its content."""
    file.flush()
    os.fsync(file.fileno())
