"""Inputs of bulk jobs: the same digits in a file or folder of each kind."""

import base64
import gzip
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
from PIL import Image
from pyarrow import parquet

from serving.bulk.inputs import plan
from serving.bulk.job import Job, Model, Shard
from serving.predictions import Pixels

ROOT = Path(__file__).parents[2]


def some_pixels(rows: int) -> Pixels:
    """Digits of MNIST, (rows, 784) uint8."""
    with np.load(ROOT / "tests/data/digits.npz") as digits:
        pixels: Pixels = np.resize(digits["pixels"], (rows, 784))
    return pixels


def some_pictures(count: int) -> dict[str, bytes]:
    """PNG files by name, in two folders."""
    pictures = {}
    for number, pixels in enumerate(some_pixels(count)):
        file = io.BytesIO()
        Image.fromarray(255 - pixels.reshape(28, 28)).resize((40, 40)).save(file, "PNG")
        pictures[f"{'ab'[number % 2]}/{number:04d}.png"] = file.getvalue()
    return pictures


def idx(pixels: Pixels) -> bytes:
    return struct.pack(">4B3I", 0, 0, 8, 3, len(pixels), 28, 28) + pixels.tobytes()


def _npy(pixels: Pixels) -> bytes:
    file = io.BytesIO()
    np.save(file, pixels.reshape(-1, 28, 28))
    return file.getvalue()


def _npz(save: Callable[..., None]) -> Callable[[Pixels], bytes]:
    def make(pixels: Pixels) -> bytes:
        file = io.BytesIO()
        save(file, label=np.zeros(len(pixels), np.int64), pixels=pixels)
        return file.getvalue()

    return make


def _lines(field: str, encode: Callable[[bytes], object]) -> Callable[[Pixels], bytes]:
    def make(pixels: Pixels) -> bytes:
        return "\n".join(json.dumps({field: encode(row.tobytes())}) for row in pixels).encode()

    return make


def as_parquet(column: str, values: object, kind: pyarrow.DataType, row_group_rows: int = 700, **more: object) -> bytes:
    file = io.BytesIO()
    table = pyarrow.table({column: pyarrow.array(values, kind), **more})
    parquet.write_table(table, file, row_group_size=row_group_rows)
    return file.getvalue()


def _parquet(kind: pyarrow.DataType) -> Callable[[Pixels], bytes]:
    def make(pixels: Pixels) -> bytes:
        is_binary = pyarrow.types.is_binary(kind) or pyarrow.types.is_fixed_size_binary(kind)
        return as_parquet("pixels", [row.tobytes() for row in pixels] if is_binary else list(pixels), kind)

    return make


# By the name of the file: how pixels are written to it.
OF_PIXELS: dict[str, Callable[[Pixels], bytes]] = {
    "images-idx3-ubyte": idx,
    "images.idx.gz": lambda pixels: gzip.compress(idx(pixels), 1),
    "images.npy": _npy,
    "stored.npz": _npz(np.savez),
    "packed.npz": _npz(np.savez_compressed),
    "base64.jsonl": _lines("pixels", lambda row: base64.b64encode(row).decode()),
    "numbers.jsonl": _lines("pixels", list),
    "bytes.parquet": _parquet(pyarrow.binary(784)),
    "long.parquet": _parquet(pyarrow.binary()),
    "list.parquet": _parquet(pyarrow.list_(pyarrow.uint8())),
    "vector.parquet": _parquet(pyarrow.list_(pyarrow.uint8(), 784)),
}


def write_zip(path: Path, pictures: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in pictures.items():
            archive.writestr(name, content, zipfile.ZIP_STORED if name.startswith("a") else None)


def write_tar(path: Path, pictures: dict[str, bytes], mode: str = "w") -> None:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]  # any of its modes
        for name, content in pictures.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def write_folder(path: Path, pictures: dict[str, bytes]) -> None:
    for name, content in pictures.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)


def a_job(input: Path, output: Path, shard_rows: int = 1000, format: str = "jsonl", model: Model | None = None) -> Job:
    """A job whose hidden folder is there."""
    none = Model(str(ROOT / "models"), "mnist", "", "", 1, "auto", "")
    job = Job(str(input), str(output), format, shard_rows, model or none, 2**20, 10**6)
    job.hidden.mkdir(parents=True, exist_ok=True)
    return job


def planned(job: Job) -> list[Shard]:
    return list(plan(job))
