"""Fashion-MNIST's test images, for measuring how surely clothing is refused. Never for training.

From Debian's package dataset-fashion-mnist: as it is installed, or unpacked into the cache.
"""

import gzip
import hashlib
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from training.data import idx_format
from training.data.arrays import PIXELS, Pixels
from training.errors import DataError
from training.files import write_atomically

PACKAGE = "dataset-fashion-mnist"
INSTALLED_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_FILE = "t10k-images-idx3-ubyte.gz"
SHA256 = "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"  # uncompressed: Debian packed it anew
_TIMEOUT_SECONDS = 300.0


def load_fashion_mnist(
    cache_folder: Path,
    say: Callable[[str], None] = lambda _: None,
    installed_folder: Path = INSTALLED_FOLDER,
    sha256: str = SHA256,
) -> Pixels:
    """The 10,000 test images, (10000, 784) uint8, 0 = background.

    Args:
        cache_folder: where the file is kept when the package is not installed, in `fashion-mnist/`.
        say: gets one line when the package is fetched.
        installed_folder: Debian's folder for the files.
        sha256: of the unpacked file; another value than Debian's is for tests.

    Raises:
        DataError: the file is not there and cannot be fetched, or is damaged; the message says what to do.
    """
    places = [installed_folder / _FILE, cache_folder / "fashion-mnist" / _FILE]
    path = next((place for place in places if place.exists()), None)
    if path is None:
        path = places[1]
        say(f"fetching Fashion-MNIST from Debian's package {PACKAGE}")
        _store(path, _from_debian())
    return idx_format.decode(_verified(path, sha256), _FILE).reshape(-1, PIXELS)


def _verified(path: Path, sha256: str) -> bytes:
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be unpacked: {error}. Delete it, or install {PACKAGE} again.") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DataError(f"{path} is not Fashion-MNIST's. Delete it, or install {PACKAGE} again.")
    return content


def _from_debian() -> bytes:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise DataError(
            f"Fashion-MNIST comes from Debian's package {PACKAGE}, and this is no Debian.\n"
            f"Put {_FILE} into {INSTALLED_FOLDER}, or into fashion-mnist/ in the cache folder."
        )
    with tempfile.TemporaryDirectory(prefix="fashion-mnist-") as folder:
        # As root, apt downloads as a user of its own, who may not write to our folder; it would warn about that.
        _run(["apt-get", "-o", "APT::Sandbox::User=root", "download", PACKAGE], folder)
        packages = [str(path) for path in Path(folder).glob("*.deb")]
        if len(packages) != 1:
            raise DataError(f"apt-get left {len(packages)} packages where one was expected")
        _run(["dpkg-deb", "-x", packages[0], "unpacked"], folder)
        return (Path(folder) / "unpacked" / INSTALLED_FOLDER.relative_to("/") / _FILE).read_bytes()


def _store(path: Path, content: bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise DataError(f"Fashion-MNIST cannot be stored in {path}: {error.strerror}") from error


def _run(command: Sequence[str], folder: str) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{command[0]} did not finish within {_TIMEOUT_SECONDS:.0f} s") from error
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise DataError(
            f"Debian's package {PACKAGE} could not be had: {reason}.\nRun `apt-get update`, or install the package."
        ) from error
