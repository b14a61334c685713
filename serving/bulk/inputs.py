"""Inputs of all kinds: how each is divided into shards, and how a shard is read."""

import dataclasses
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from serving.bulk import arrays, json_lines, pictures
from serving.bulk.blocks import Block, Item, framed, one_problem
from serving.bulk.job import BulkError, Job, Shard, check_input_unchanged, reason_of
from serving.image.picture import ImageLimits

# Times fewer rows has a shard of pictures than one of pixels: each takes about ten times as long.
PICTURE_SHARE = 8
NEEDS_PYARROW = "needs pyarrow: pip install 'mnist-digits[scale]'"

_Read = Callable[[Shard, ImageLimits, Path], Iterator[Item]]
_READ: dict[str, _Read] = {
    "files": pictures.read_files,
    "zip": pictures.read_zip,
    "tar": pictures.read_tar,
    "tar_stream": pictures.read_tar_stream,
    "json_lines": json_lines.read_json_lines,
}
_ZIP = (".zip",)
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_IDX = ("-ubyte", "-ubyte.gz", ".idx", ".idx.gz")
_JSON_LINES, _PARQUET, _NPY, _NPZ = (".jsonl", ".ndjson"), (".parquet",), (".npy",), (".npz",)
_DAMAGED = (BulkError, OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile, tarfile.TarError)
_PLAN: dict[tuple[str, ...], Callable[[Path, str, int], Iterator[Shard]]] = {
    _IDX: arrays.plan_idx,
    _NPY: arrays.plan_npy,
    _NPZ: arrays.plan_npz,
}


def plan(job: Job) -> Iterator[Shard]:
    """Yields all shards of the job's input, numbered from 0, and writes the index of its pictures.

    What cannot be read in a folder is a shard of one row with the reason. Raises BulkError where the input itself
    cannot be read, or is empty.
    """
    path = Path(job.input)
    number = -1
    with job.index.open("wb") as file:
        index = pictures.Index(file, max(1, job.shard_rows // PICTURE_SHARE))
        try:
            shards = _plan_folder(path, index, job) if path.is_dir() else _plan_file(path, "", index, job)
            for number, shard in enumerate(shards):
                yield dataclasses.replace(shard, number=number)
        except _DAMAGED as error:
            raise error if isinstance(error, BulkError) else BulkError(f"{path}: {reason_of(error)}") from error
    if number < 0:
        raise BulkError(f"{path} holds nothing to classify")


def blocks(shard: Shard, job: Job) -> Iterator[Block]:
    """Reads a shard. Raises BulkError where its file has changed since the job began."""
    if shard.kind == "problem":
        yield one_problem(shard.prefix, shard.detail)
        return
    check_input_unchanged(shard)
    if shard.kind == "rows":
        yield from arrays.read_rows(shard)
    elif shard.kind == "row_stream":
        yield from arrays.read_stream(shard)
    elif shard.kind == "parquet":
        from serving.bulk.parquet import read_parquet

        yield from read_parquet(shard, job.limits)
    else:
        yield from framed(_READ[shard.kind](shard, job.limits, job.index), job.limits)


def _plan_folder(folder: Path, index: pictures.Index, job: Job) -> Iterator[Shard]:
    for path, name in pictures.walk(folder):
        if not _is_container(name):
            if index.add(name):
                yield from index.cut("files", folder, "", None)
            continue
        yield from index.cut("files", folder, "", None)  # a shard has pictures of one file or folder
        try:
            yield from _plan_file(path, f"{name}#", index, job)
        except arrays.LabelsError:
            continue
        except _DAMAGED as error:
            yield Shard(0, "problem", str(path), name, 1, detail=reason_of(error))
    yield from index.cut("files", folder, "", None)


def _plan_file(path: Path, prefix: str, index: pictures.Index, job: Job) -> Iterator[Shard]:
    name = path.name.lower()
    if name.endswith(_ZIP):
        yield from pictures.plan_zip(path, prefix, index)
    elif name.endswith(_TAR):
        yield from pictures.plan_tar(path, prefix, index)
    elif name.endswith(_JSON_LINES):
        yield from json_lines.plan_json_lines(path, prefix, max(1, job.shard_rows // PICTURE_SHARE))
    elif name.endswith(_PARQUET):
        try:
            from serving.bulk.parquet import plan_parquet
        except ImportError as error:
            raise BulkError(f"{path}: Parquet {NEEDS_PYARROW}") from error
        yield from plan_parquet(path, prefix, job.shard_rows)
    else:
        for suffixes, plan_array in _PLAN.items():
            if name.endswith(suffixes):
                yield from plan_array(path, prefix, job.shard_rows)
                return
        if not path.is_file():
            raise BulkError(f"{path} is neither a file nor a folder")
        index.add(path.name)  # one picture
        yield from index.cut("files", path.parent, prefix, None)


def _is_container(name: str) -> bool:
    return name.lower().endswith((*_ZIP, *_TAR, *_IDX, *_JSON_LINES, *_PARQUET, *_NPY, *_NPZ))
