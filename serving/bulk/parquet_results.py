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
    # Made of buffers: pyarrow.array() imports pandas where it is installed, half a second in each process.
    valid = np.ones(len(answers.ids), bool)
    valid[list(answers.errors)] = False
    columns = [
        _strings(_encoded(answers.ids)),
        _numbers(answers.digits.astype(np.int8), valid),
        _numbers(answers.probabilities, valid),
        _numbers(answers.novelties, valid),
        _words(np.where(valid, answers.refusals, 0), REFUSALS),
        _words(np.where(valid, answers.quality, 0), REMARKS),
        _errors(answers.errors, valid),
    ]
    return pyarrow.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _numbers(values: Any, valid: Any = None) -> Any:
    """Makes a column of a NumPy array; null where `valid`, of the same length, is False."""
    values = np.ascontiguousarray(values)
    type_ = pyarrow.from_numpy_dtype(values.dtype)
    return pyarrow.Array.from_buffers(type_, len(values), [_bitmap(valid), pyarrow.py_buffer(values)])


def _strings(values: list[bytes], valid: Any = None) -> Any:
    """Makes a column of strings in UTF-8; null where `valid`, of the same length, is False."""
    ends = np.zeros(len(values) + 1, np.int32)
    np.cumsum([len(each) for each in values], out=ends[1:])
    buffers = [_bitmap(valid), pyarrow.py_buffer(ends), pyarrow.py_buffer(b"".join(values))]
    return pyarrow.Array.from_buffers(pyarrow.string(), len(values), buffers)


def _bitmap(valid: Any) -> Any:
    return None if valid is None or valid.all() else pyarrow.py_buffer(np.packbits(valid, bitorder="little"))


def _errors(errors: dict[int, str], valid: Any) -> Any:
    if not errors:
        return pyarrow.nulls(len(valid), pyarrow.string())
    return _strings(_encoded([errors.get(row, "") for row in range(len(valid))]), ~valid)


def _words(codes: Any, words: list[str]) -> Any:
    return pyarrow.DictionaryArray.from_arrays(_numbers(codes.astype(np.int8)), _strings(_encoded(words)))


def _encoded(texts: list[str]) -> list[bytes]:
    """Encodes texts as UTF-8, with escapes where a file's name is no UTF-8."""
    return [each.encode(errors="backslashreplace") for each in texts]
