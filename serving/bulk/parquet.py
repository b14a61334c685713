"""Parquet files: a column `pixels` of 784 bytes or numbers, or `image` of picture files. Needs pyarrow.

Row groups are what can be read by themselves, so a shard is one or several of them, and one is never divided.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
from pyarrow import parquet

from serving.bulk.blocks import BLOCK_ROWS, Block, Content, Item, Problem, Raw, framed
from serving.bulk.job import BulkError, Shard, reason_of, stamp_of
from serving.image.picture import ImageLimits
from serving.predictions import PIXELS

BATCH_BYTES = 2**26  # of rows that are held at once, by the average of their row group
BUFFER_BYTES = 2**20  # read at once, of each column

pyarrow.set_cpu_count(1)  # a task has one processor
pyarrow.set_io_thread_count(1)


def plan_parquet(path: Path, prefix: str, shard_rows: int) -> Iterator[Shard]:
    """Yields the shards of a Parquet file: row groups, as many as have `shard_rows` rows together, at least one.

    Raises BulkError for a file without such a column.
    """
    stamp = stamp_of(path)
    try:
        with parquet.ParquetFile(path, memory_map=False) as file:
            _column(file.schema_arrow, path)
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    except pyarrow.ArrowException as error:
        raise BulkError(f"{path} is no Parquet file, or is damaged: {error}") from error
    row = held = first = 0
    for group, rows in enumerate(sizes):
        if held and held + rows > shard_rows:
            yield Shard(0, "parquet", str(path), prefix, held, first, group, row, stamp=stamp)
            row, held, first = row + held, 0, group
        held += rows
    if held:
        yield Shard(0, "parquet", str(path), prefix, held, first, len(sizes), row, stamp=stamp)


def read_parquet(shard: Shard, limits: ImageLimits) -> Iterator[Block]:
    """Reads the row groups `first` to `stop` of a file; `offset` is the number of their first row.

    Raises BulkError where the file is damaged: its index says how many rows there must be.
    """
    row = shard.offset
    try:
        with parquet.ParquetFile(shard.path, memory_map=False, buffer_size=BUFFER_BYTES, pre_buffer=False) as file:
            name = _column(file.schema_arrow, Path(shard.path))
            columns = [name, *(["id"] if "id" in file.schema_arrow.names else [])]
            groups = list(range(shard.first, shard.stop))
            sizes = [file.metadata.row_group(group) for group in groups]
            widest = max(size.total_byte_size / max(1, size.num_rows) for size in sizes)
            rows = int(min(BLOCK_ROWS, max(1, BATCH_BYTES // max(1.0, widest))))
            for batch in file.iter_batches(rows, row_groups=groups, columns=columns, use_threads=False):
                yield from _blocks(batch, name, shard.prefix, row, limits)
                row += batch.num_rows
    except pyarrow.ArrowException as error:
        raise BulkError(f"{shard.path} is damaged after row {row}: {reason_of(error)}") from error


def _blocks(batch: Any, name: str, prefix: str, row: int, limits: ImageLimits) -> Iterator[Block]:
    values = batch.column(name)
    ids = batch.column("id").to_pylist() if "id" in batch.schema.names else range(row, row + len(values))
    ids = [f"{prefix}{identity}" for identity in ids]
    flat = _as_one_array(values)
    if flat is not None:
        yield Block(ids, flat)
        return
    yield from framed(_items(ids, values, name), limits)


def _items(ids: list[str], values: Any, name: str) -> Iterator[Item]:
    for identity, value in zip(ids, values, strict=True):
        yield identity, _content(value.as_py(), name)


def _content(value: Any, name: str) -> Content:
    if isinstance(value, dict):  # as Hugging Face writes pictures
        value = value.get("bytes")
    if isinstance(value, list):
        try:
            value = bytes(value)
        except (TypeError, ValueError):
            return Problem("pixels must be whole numbers from 0 to 255")
    if not isinstance(value, bytes):
        return Problem("the row has no image")
    if name == "image":
        return value
    return Raw(value) if len(value) == PIXELS else Problem(f"expected {PIXELS} pixels, got {len(value)}")


def _as_one_array(values: Any) -> Any:
    """Returns pixels of fixed length as one array (n, 784), without a copy; None where rows are of several kinds."""
    kind = values.type
    if values.null_count:
        return None
    if pyarrow.types.is_fixed_size_binary(kind) and kind.byte_width == PIXELS:
        flat = np.frombuffer(values.buffers()[1], np.uint8)[values.offset * PIXELS :]
        return flat[: len(values) * PIXELS].reshape(-1, PIXELS)
    if pyarrow.types.is_fixed_size_list(kind) and kind.list_size == PIXELS and kind.value_type == pyarrow.uint8():
        numbers = values.flatten()
        return None if numbers.null_count else numbers.to_numpy().reshape(-1, PIXELS)
    return None


def _column(schema: Any, path: Path) -> str:
    for name in ("pixels", "image"):
        if name in schema.names:
            return name
    raise BulkError(
        f"{path} has the columns {', '.join(schema.names[:20])}: expected `pixels` (784 bytes or numbers) or `image` "
        "(bytes of a picture file)"
    )
