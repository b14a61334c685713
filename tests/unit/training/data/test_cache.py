"""The loader on tiny files that have checksums of their own."""

import gzip
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from training.data import idx_format
from training.data.cache import load_mnist
from training.data.mnist import CHECKSUMS
from training.data.sources import LocalFolder
from training.errors import DataError


def _tiny_files() -> dict[str, bytes]:
    images, labels = np.arange(2 * 784).reshape(2, 28, 28).astype(np.uint8), np.array([3, 7], np.uint8)
    return dict(zip(CHECKSUMS, map(idx_format.encode, (images, labels, images[:1], labels[:1])), strict=True))


FILES = _tiny_files()
SUMS: Mapping[str, str] = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}


@dataclass(frozen=True, slots=True)
class Silent:
    """A source that has nothing."""

    name: str = "the silent source"

    def fetch(self) -> dict[str, bytes]:
        raise DataError("it is night")


@pytest.fixture
def local(tmp_path: Path) -> LocalFolder:
    folder = tmp_path / "local"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return LocalFolder(folder)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_a_local_folder_fills_the_cache(local: LocalFolder, cache: Path) -> None:
    mnist = load_mnist(cache, [local], checksums=SUMS)
    assert mnist.train.pixels.shape == (2, 784)
    assert mnist.train.labels.tolist() == [3, 7]
    assert mnist.test.labels.tolist() == [3]
    assert {path.name: path.read_bytes() for path in (cache / "mnist").iterdir()} == FILES


def test_compressed_files_are_unpacked(local: LocalFolder, cache: Path) -> None:
    for path in list(local.folder.iterdir()):
        (local.folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert len(load_mnist(cache, [local], checksums=SUMS).train) == 2


def test_a_filled_cache_needs_no_source(local: LocalFolder, cache: Path) -> None:
    load_mnist(cache, [local], checksums=SUMS)
    assert len(load_mnist(cache, [], checksums=SUMS).train) == 2


def test_the_next_source_is_tried_and_every_failure_reported(local: LocalFolder, cache: Path) -> None:
    lines: list[str] = []
    load_mnist(cache, [Silent(), local], lines.append, SUMS)
    assert "fetching MNIST from the silent source" in lines
    assert "  no: it is night" in lines


def test_no_source_is_one_error_with_every_reason_and_the_remedy(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_mnist(cache, [LocalFolder(tmp_path / "nowhere"), Silent()], checksums=SUMS)
    message = str(caught.value)
    assert "there is no train-images-idx3-ubyte" in message
    assert "the silent source: it is night" in message
    assert "--mnist-folder" in message
    assert not cache.exists()


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_named_and_nothing_is_cached(local: LocalFolder, cache: Path, name: str) -> None:
    (local.folder / name).write_bytes(FILES[name][:-1])
    with pytest.raises(DataError, match=f"{name} is damaged"):
        load_mnist(cache, [local], checksums=SUMS)
    assert not cache.exists()


def test_a_truncated_compressed_file_is_named(local: LocalFolder, cache: Path) -> None:
    name = "t10k-labels-idx1-ubyte"
    (local.folder / name).unlink()
    (local.folder / f"{name}.gz").write_bytes(gzip.compress(FILES[name])[:-9])
    with pytest.raises(DataError, match=rf"{name}\.gz is damaged or cut short"):
        load_mnist(cache, [local], checksums=SUMS)


@pytest.mark.parametrize("content", [None, b"", b"garbage"])
def test_a_damaged_cache_is_never_used_and_says_what_to_delete(
    local: LocalFolder, cache: Path, content: bytes | None
) -> None:
    load_mnist(cache, [local], checksums=SUMS)
    damaged = cache / "mnist" / "t10k-images-idx3-ubyte"
    damaged.unlink()
    if content is not None:
        damaged.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_mnist(cache, [local], checksums=SUMS)
    assert str(damaged) in str(caught.value)
    assert f"Delete the folder {cache / 'mnist'}" in str(caught.value)


def test_a_place_that_is_no_folder_is_named(local: LocalFolder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"(?s)cannot be stored in .*file/mnist.*--cache-folder"):
        load_mnist(tmp_path / "file", [local], checksums=SUMS)


def test_no_room_leaves_no_half_written_cache(local: LocalFolder, cache: Path) -> None:
    """In a child that may write 1,000 bytes to a file and no more; the images are larger."""
    program = (
        "import resource, signal, sys, json; from pathlib import Path\n"
        # The write fails then, as on a full disk, instead of ending the child.
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "from training.data.cache import load_mnist; from training.data.sources import LocalFolder\n"
        "load_mnist(Path(sys.argv[1]), [LocalFolder(Path(sys.argv[2]))], checksums=json.loads(sys.argv[3]))"
    )
    child = subprocess.run(
        [sys.executable, "-c", program, str(cache), str(local.folder), json.dumps(SUMS)],
        cwd=Path(__file__).parents[4],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "cannot be stored" in child.stderr
    assert "File too large" in child.stderr
    assert "--cache-folder" in child.stderr
    assert list(cache.iterdir()) == []
