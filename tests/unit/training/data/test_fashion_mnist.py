import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from training.data import idx_format
from training.data.fashion_mnist import load_fashion_mnist
from training.errors import DataError

CONTENT = idx_format.encode(np.arange(2 * 784).reshape(2, 28, 28).astype(np.uint8))
SHA256 = hashlib.sha256(CONTENT).hexdigest()
FILE = "t10k-images-idx3-ubyte.gz"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    folder = tmp_path / "installed"
    folder.mkdir()
    (folder / FILE).write_bytes(gzip.compress(CONTENT))
    return folder


def test_an_installed_package_is_read_where_it_lies(installed: Path, tmp_path: Path) -> None:
    pixels = load_fashion_mnist(tmp_path / "cache", installed_folder=installed, sha256=SHA256)
    assert pixels.shape == (2, 784)
    assert pixels[1, 3] == (784 + 3) % 256
    assert not (tmp_path / "cache").exists()


def test_the_copy_in_the_cache_is_read_where_nothing_is_installed(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    installed.rename(tmp_path / "cache" / "fashion-mnist")
    assert len(load_fashion_mnist(tmp_path / "cache", installed_folder=tmp_path / "none", sha256=SHA256)) == 2


def test_other_images_are_refused_by_name(installed: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not Fashion-MNIST's"):
        load_fashion_mnist(tmp_path, installed_folder=installed)


def test_a_file_cut_short_is_refused_by_name(installed: Path, tmp_path: Path) -> None:
    path = installed / FILE
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=rf"{FILE} cannot be unpacked"):
        load_fashion_mnist(tmp_path, installed_folder=installed, sha256=SHA256)


def test_without_debians_tools_the_error_says_where_the_file_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(DataError, match=f"(?s)no Debian.*{FILE}"):
        load_fashion_mnist(tmp_path, installed_folder=tmp_path / "none")
