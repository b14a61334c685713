"""The fonts on this machine: their npm archives in the cache, fetched once, verified each time they are read."""

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.errors import DataError
from training.files import write_atomically
from training.synthetic.font_families import FAMILIES, FontFamily, Part, Style

_NPM_TIMEOUT_SECONDS = 900.0  # 45 MB in one go


@dataclass(frozen=True, slots=True)
class Face:
    """One weight of one family: `content` is its WOFF file."""

    family: str
    style: Style
    weight: int
    content: bytes


def load_faces(
    cache_folder: Path,
    part: Part,
    say: Callable[[str], None] = lambda _: None,
    families: Sequence[FontFamily] = FAMILIES,
) -> tuple[Face, ...]:
    """The faces of one part, in the order of `families`.

    Raises:
        DataError: the archives are not there and cannot be fetched, or one is damaged; the message says what to do.
    """
    chosen = [family for family in families if family.part == part]
    folder = cache_folder / "fonts"
    missing = [family for family in chosen if not (folder / family.archive).exists()]
    if missing:
        say(f"fetching {len(missing)} font families through npm")
        _fetch(missing, folder)
    return tuple(face for family in chosen for face in _faces(folder, family))


def _fetch(families: Sequence[FontFamily], folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="mnist-fonts-") as temporary:
        _npm_pack([family.package for family in families], temporary, folder)
        for family in families:
            content = _verified(Path(temporary) / family.archive, family)
            try:
                write_atomically(folder / family.archive, content)
            except OSError as error:
                raise DataError(f"fonts cannot be stored in {folder}: {error.strerror}") from error


def _npm_pack(packages: Sequence[str], destination: str, folder: Path) -> None:
    remedy = f"Connect to the internet, or put the archives (such as {FAMILIES[0].archive}) into {folder}."
    npm = shutil.which("npm")
    if npm is None:
        raise DataError(
            "letters and printed digits are drawn from fonts, which come through npm, and npm is not installed.\n"
            f"Install it (on Debian: apt-get install npm), or put the archives (such as {FAMILIES[0].archive}) into"
            f" {folder}."
        )
    command = [npm, "pack", *packages, "--pack-destination", destination, "--fetch-retries", "1", "--loglevel", "error"]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=_NPM_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise DataError(f"npm did not finish the fonts within {_NPM_TIMEOUT_SECONDS:.0f} s. {remedy}") from error
    except subprocess.CalledProcessError as error:
        first = (error.stderr.strip().splitlines() or ["no reason given"])[0]
        raise DataError(f"npm could not fetch the fonts: {first}. {remedy}") from error


def _verified(path: Path, family: FontFamily) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"the font archive {path} cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != family.sha256:
        raise DataError(
            f"the font archive {path} is damaged or another version than {family.package}. Delete it to fetch it again."
        )
    return content


def _faces(folder: Path, family: FontFamily) -> list[Face]:
    path = folder / family.archive
    _verified(path, family)
    with tarfile.open(path) as archive:
        return [Face(family.name, family.style, weight, _member(archive, family, weight)) for weight in family.weights]


def _member(archive: tarfile.TarFile, family: FontFamily, weight: int) -> bytes:
    member = archive.extractfile(f"package/files/{family.name}-latin-{weight}-normal.woff")
    if member is None:
        raise RuntimeError(f"{family.archive} holds no weight {weight}: this is a bug")
    return member.read()
