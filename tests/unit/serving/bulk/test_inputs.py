"""Every kind of input gives every row once, whatever the shards; what cannot be read is a row with the reason."""

import base64
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pytest

from serving.bulk import pictures as pictures_module
from serving.bulk.blocks import Block
from serving.bulk.inputs import blocks
from serving.bulk.job import BulkError, Job, Shard
from serving.image.decode import decode
from serving.image.framing import frame
from serving.predictions import Pixels
from tests.support.bulk_inputs import (
    OF_PIXELS,
    a_job,
    as_parquet,
    idx,
    planned,
    some_pictures,
    some_pixels,
    write_folder,
    write_tar,
    write_zip,
)

UNDIVIDED = ("images.idx.gz", "packed.npz")


def read(job: Job, shards: list[Shard] | None = None) -> tuple[list[str], Pixels, dict[str, str]]:
    """Ids, pixels and errors by id of all shards."""
    found: list[Block] = [block for shard in shards or planned(job) for block in blocks(shard, job)]
    ids = [identity for block in found for identity in block.ids]
    errors = {block.ids[row]: reason for block in found for row, reason in block.errors.items()}
    return ids, np.concatenate([block.pixels for block in found]), errors


@pytest.mark.parametrize("name", OF_PIXELS)
def test_pixels_of_every_kind_are_read_as_they_are(name: str, tmp_path: Path) -> None:
    pixels = some_pixels(2500)
    (tmp_path / name).write_bytes(OF_PIXELS[name](pixels))
    job = a_job(tmp_path / name, tmp_path / "out", shard_rows=1000)
    shards = planned(job)
    assert [shard.number for shard in shards] == list(range(len(shards)))
    assert (len(shards) == 1) == (name in UNDIVIDED)
    ids, found, errors = read(job, shards)
    assert (ids, errors) == ([str(row) for row in range(2500)], {})
    np.testing.assert_array_equal(found, pixels)


def as_lines(path: Path, pictures: dict[str, bytes]) -> None:
    rows = [{"id": name, "image": base64.b64encode(content).decode()} for name, content in pictures.items()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def as_bytes(path: Path, pictures: dict[str, bytes]) -> None:
    content = as_parquet("image", list(pictures.values()), pyarrow.binary(), 10, id=pyarrow.array(list(pictures)))
    path.write_bytes(content)


def as_hugging_face(path: Path, pictures: dict[str, bytes]) -> None:
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    values = [{"bytes": content, "path": None} for content in pictures.values()]
    path.write_bytes(as_parquet("image", values, kind, 10, id=pyarrow.array(list(pictures))))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("folder", write_folder),
        ("pictures.zip", write_zip),
        ("pictures.tar", write_tar),
        ("pictures.tar.gz", lambda path, pictures: write_tar(path, pictures, "w:gz")),
        ("pictures.tar.xz", lambda path, pictures: write_tar(path, pictures, "w:xz")),
        ("pictures.jsonl", as_lines),
        ("pictures.parquet", as_bytes),
        ("hugging-face.parquet", as_hugging_face),
    ],
)
def test_pictures_of_every_kind_are_framed(
    name: str, write: Callable[[Path, dict[str, bytes]], None], tmp_path: Path
) -> None:
    pictures = some_pictures(30)
    write(tmp_path / name, pictures)
    job = a_job(tmp_path / name, tmp_path / "out", shard_rows=64)
    ids, found, errors = read(job)
    assert (sorted(ids), errors) == (sorted(pictures), {})
    for identity, pixels in zip(ids, found, strict=True):
        np.testing.assert_array_equal(pixels, frame(decode(pictures[identity], job.limits)).pixels)


def test_a_folder_of_everything_has_ids_that_say_where_rows_are_from(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_folder(folder, some_pictures(2))
    (folder / "a/images.npy").write_bytes(OF_PIXELS["images.npy"](some_pixels(2)))
    (folder / "labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + bytes(12))  # next to images, and none itself
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "raw.bin").write_bytes(some_pixels(1).tobytes())
    write_zip(folder / "z.zip", {"inner.png": next(iter(some_pictures(1).values()))})
    ids, _, errors = read(a_job(folder, tmp_path / "out"))
    assert (sorted(ids), errors) == (
        ["a/0000.png", "a/images.npy#0", "a/images.npy#1", "b/0001.png", "raw.bin", "z.zip#inner.png"],
        {},
    )


def test_what_is_no_picture_is_a_row_with_the_reason(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_folder(folder, {"text.png": b"no picture", "empty.png": b"", "long.png": bytes(2**20 + 1)})
    os.mkfifo(folder / "pipe.png")
    (folder / "gone.png").symlink_to(tmp_path / "nowhere")
    (folder / "cut-ubyte").write_bytes(idx(some_pixels(9))[:-1])
    (folder / "broken.zip").write_bytes(b"PK\5\6 no zip")
    (folder / "broken.tar").write_bytes(b"no tar")
    (folder / "broken.npz").write_bytes(b"no npz")
    (folder / "broken.npy").write_bytes(np.lib.format.magic(1, 0) + b"\xff\xff")
    (folder / "broken.parquet").write_bytes(b"PAR1 no PAR1")
    (folder / "floats.npy").write_bytes(OF_PIXELS["images.npy"](some_pixels(1).astype(np.float32)))
    (folder / "broken.idx.gz").write_bytes(b"no gzip")
    ids, found, errors = read(a_job(folder, tmp_path / "out"))
    assert sorted(ids) == sorted(errors) == sorted(path.name for path in folder.iterdir())
    assert not found.any()
    assert "9 rows" in errors["cut-ubyte"]
    assert "float32" in errors["floats.npy"]
    assert all(errors.values())


@pytest.mark.parametrize("name", ["images.idx.gz", "packed.npz"])
def test_rows_before_the_damage_of_a_packed_array_are_read(name: str, tmp_path: Path) -> None:
    content = bytearray(OF_PIXELS[name](some_pixels(3000)))
    content[len(content) // 2 :] = bytes(len(content) // 2) if name.endswith("gz") else content[len(content) // 2 :]
    if name.endswith("npz"):
        middle = len(content) // 2
        content[middle : middle + 64] = b"\xff" * 64
    (tmp_path / name).write_bytes(content)
    job = a_job(tmp_path / name, tmp_path / "out")
    ids, found, errors = read(job)
    assert 0 < len(ids) - 1 < 3000
    assert list(errors) == [str(len(ids) - 1)]
    assert "damaged after" in errors[ids[-1]]
    np.testing.assert_array_equal(found[:1000], some_pixels(1000))


def test_rows_before_the_damage_of_a_packed_archive_are_read(tmp_path: Path) -> None:
    write_tar(tmp_path / "whole.tar", some_pictures(40))
    packed = gzip.compress((tmp_path / "whole.tar").read_bytes())
    (tmp_path / "cut.tar.gz").write_bytes(packed[: len(packed) // 2])
    ids, _, errors = read(a_job(tmp_path / "cut.tar.gz", tmp_path / "out"))
    assert 0 < len(ids) - 1 < 40
    assert [reason for reason in errors.values() if "damaged after" in reason] == list(errors.values())


def test_a_folder_goes_on_after_a_tar_that_is_damaged_in_the_middle(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write_folder(folder, {"z.png": next(iter(some_pictures(1).values()))})
    write_tar(folder / "some.tar", some_pictures(5))
    content = bytearray((folder / "some.tar").read_bytes())
    third = content.index(b"a/0002.png")
    content[third : third + 512] = b"\xff" * 512
    (folder / "some.tar").write_bytes(content)
    ids, _, errors = read(a_job(folder, tmp_path / "out"))
    assert ids == ["some.tar#a/0000.png", "some.tar#b/0001.png", "some.tar#2", "z.png"]
    assert list(errors) == ["some.tar#2"]


def test_damaged_members_of_an_archive_are_rows_with_the_reason(tmp_path: Path) -> None:
    pictures = some_pictures(4)
    write_zip(tmp_path / "some.zip", pictures)
    content = bytearray((tmp_path / "some.zip").read_bytes())
    stored = content.index(pictures["a/0000.png"])
    content[stored + 50] ^= 1  # its checksum is another now
    packed = content.index(b"b/0001.png") + len(b"b/0001.png")
    content[packed : packed + 8] = b"\xff" * 8
    (tmp_path / "some.zip").write_bytes(content)
    ids, _, errors = read(a_job(tmp_path / "some.zip", tmp_path / "out"))
    assert sorted(ids) == sorted(pictures)
    assert sorted(errors) == ["a/0000.png", "b/0001.png"]


def test_a_member_that_unpacks_to_more_than_it_says_is_refused(tmp_path: Path) -> None:
    write_zip(tmp_path / "bomb.zip", {"b.png": bytes(900_000)})
    content = (tmp_path / "bomb.zip").read_bytes().replace((900_000).to_bytes(4, "little"), (900).to_bytes(4, "little"))
    (tmp_path / "bomb.zip").write_bytes(content)
    _, _, errors = read(a_job(tmp_path / "bomb.zip", tmp_path / "out"))
    assert list(errors) == ["b.png"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "expected an object"),
        ('{"id": 1.5, "image": ""}', "id must be"),
        ('{"id": "x"}', "expected image"),
        ('{"image": "%%%"}', "not base64"),
        ('{"image": ""}', "empty"),
        ('{"pixels": "AAAA"}', "784 pixels, got 3"),
        ('{"pixels": [0, 256]}', "784 whole numbers"),
        ('{"image": "' + "A" * 2**21 + '"}', "longer than"),
    ],
)
def test_a_bad_line_is_a_row_with_the_reason_and_the_next_is_read(line: str, reason: str, tmp_path: Path) -> None:
    good = OF_PIXELS["base64.jsonl"](some_pixels(1)).decode()
    (tmp_path / "lines.jsonl").write_text(f"{line}\n{good}\n")
    ids, found, errors = read(a_job(tmp_path / "lines.jsonl", tmp_path / "out", shard_rows=8))
    assert len(ids) == 2
    assert list(errors) == [ids[0]]
    assert reason in errors[ids[0]]
    np.testing.assert_array_equal(found[1], some_pixels(1)[0])


def test_bad_rows_of_parquet_are_rows_with_the_reason(tmp_path: Path) -> None:
    values = [some_pixels(1).tobytes(), None, b"short"]
    (tmp_path / "some.parquet").write_bytes(as_parquet("pixels", values, pyarrow.binary()))
    ids, _, errors = read(a_job(tmp_path / "some.parquet", tmp_path / "out"))
    assert ids == ["0", "1", "2"]
    assert errors == {"1": "the row has no image", "2": "expected 784 pixels, got 5"}


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("labels-idx1-ubyte", b"\0\0\x08\x01" + bytes(12), "labels"),
        ("wide-idx3-ubyte", b"\0\0\x08\x03" + bytes([0, 0, 0, 1, 0, 0, 0, 32, 0, 0, 0, 32]), "32 x 32"),
        ("other.parquet", as_parquet("x", [1], pyarrow.int64()), "columns x"),
        ("two.npz", None, "one array"),
        ("empty.jsonl", b"", "nothing"),
    ],
)
def test_an_input_that_cannot_be_read_at_all_is_refused(
    name: str, content: bytes | None, reason: str, tmp_path: Path
) -> None:
    if content is None:
        np.savez(tmp_path / name, a=some_pixels(1), b=some_pixels(1))
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BulkError, match=reason):
        planned(a_job(tmp_path / name, tmp_path / "out"))


def test_an_archive_with_too_large_a_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_zip(tmp_path / "some.zip", some_pictures(2))
    monkeypatch.setattr(pictures_module, "MAX_DIRECTORY_BYTES", 50)
    with pytest.raises(BulkError, match="too many files"):
        planned(a_job(tmp_path / "some.zip", tmp_path / "out"))


def test_an_input_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    path.write_bytes(OF_PIXELS["images.npy"](some_pixels(10)))
    job = a_job(path, tmp_path / "out")
    shards = planned(job)
    path.write_bytes(OF_PIXELS["images.npy"](some_pixels(11)))
    with pytest.raises(BulkError, match="has changed"):
        read(job, shards)


def test_a_large_folder_is_listed_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures_module, "SORTED_AT_ONCE", 3)
    pictures = some_pictures(20)
    write_folder(tmp_path / "in", pictures)
    ids, _, _ = read(a_job(tmp_path / "in", tmp_path / "out", shard_rows=16))
    assert sorted(ids) == sorted(pictures)
