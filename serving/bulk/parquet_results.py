"""Results as Parquet. Needs pyarrow."""

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow
from pyarrow import parquet

from serving.bulk.results import REFUSALS, REMARKS, Answers

_WORD = pyarrow.dictionary(pyarrow.int8(), pyarrow.string())
SCHEMA = pyarrow.schema(
    [
        ("id", pyarrow.string()),
        ("digit", pyarrow.int8()),
        ("probability", pyarrow.float32()),
        ("novelty", pyarrow.float32()),
        ("refused", _WORD),
        ("quality", _WORD),
        ("error", pyarrow.string()),
    ]
)


class ParquetWriter:
    """Writes answers to an open file, in row groups of `group_rows`."""

    def __init__(self, file: IO[bytes], group_rows: int) -> None:
        self._writer: Any = parquet.ParquetWriter(
            file, SCHEMA, compression="zstd", use_dictionary=["refused", "quality"]
        )
        self._group_rows = group_rows
        self._held: list[Any] = []
        self._rows = 0

    def write(self, answers: Answers) -> None:
        """Takes rows, and writes them when there are enough."""
        self._held.append(_batch(answers))
        self._rows += len(answers.ids)
        if self._rows >= self._group_rows:
            self._flush()

    def close(self) -> None:
        """Writes what is held, and the end of the file."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(pyarrow.Table.from_batches(self._held, SCHEMA))
        self._held, self._rows = [], 0


def read_columns(path: Path, rows: int) -> Iterator[tuple[list[str], list[str], list[str | None]]]:
    """Reads ids, refusals and errors of a file, `rows` at once."""
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(rows, columns=["id", "refused", "error"], use_threads=False):
            ids, refused, errors = (column.to_pylist() for column in batch.columns)
            yield ids, refused, errors


def _batch(answers: Answers) -> Any:
    bad = np.zeros(len(answers.ids), bool)
    bad[list(answers.errors)] = True
    errors = [None] * len(answers.ids) if not answers.errors else [answers.errors.get(n) for n in range(len(bad))]
    mask = bad if answers.errors else None
    columns = [
        pyarrow.array(_valid(answers.ids), pyarrow.string()),
        pyarrow.array(answers.digits.astype(np.int8), mask=mask),
        pyarrow.array(answers.probabilities, mask=mask),
        pyarrow.array(answers.novelties, mask=mask),
        _words(np.where(bad, 0, answers.refusals), REFUSALS),
        _words(np.where(bad, 0, answers.quality), REMARKS),
        pyarrow.array(errors, pyarrow.string()),
    ]
    return pyarrow.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _words(codes: Any, words: list[str]) -> Any:
    return pyarrow.DictionaryArray.from_arrays(pyarrow.array(codes.astype(np.int8)), pyarrow.array(words))


def _valid(ids: list[str]) -> list[str]:
    """Returns the ids, with escapes where a file's name is no UTF-8."""
    return [each if each.isascii() else each.encode(errors="backslashreplace").decode() for each in ids]
