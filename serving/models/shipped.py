"""Models that came with the image: which versions the served folder lacks, and how they are copied into it.

A volume over the image's own folder of models keeps what it holds when a newer image comes.
"""

import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

from serving.errors import ModelRejectedError
from serving.files import read_regular
from serving.models.metadata import MOST_BYTES
from serving.models.repository import CONFIG, ModelRepository


def newer_versions(shipped: ModelRepository, served: ModelRepository) -> list[int]:
    """Returns the versions of `shipped`, ascending, that are above the highest of `served`.

    Returns none where a folder cannot be read.
    """
    with suppress(ModelRejectedError):
        highest = max(served.versions(), default=0)
        return [each for each in shipped.versions() if each > highest]
    return []


def copy_versions(shipped: ModelRepository, served: ModelRepository) -> tuple[list[int], list[int]]:
    """Copies the versions that `served` lacks, each in one step: servers see all of a version or nothing.

    Returns the versions copied, and those of which `served` has another one of that number, which stays. A config.pbtxt
    comes along into a new folder. Raises ModelRejectedError and OSError.
    """
    copied, others = [], []
    versions = shipped.versions()
    if not served.folder.is_dir():
        served.folder.mkdir(parents=True)
        with suppress(FileNotFoundError):
            shutil.copyfile(shipped.folder / CONFIG, served.folder / CONFIG)
    for version in versions:
        target = served.folder / str(version)
        if not target.exists():
            _copy(shipped.folder / str(version), target)
            copied.append(version)
        elif not _is_same(shipped, served, version):
            others.append(version)
    return copied, others


def _copy(folder: Path, target: Path) -> None:
    # In the same folder: a rename is atomic within one file system only. Its name is no number, so nobody serves it.
    aside = Path(mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        shutil.copytree(folder, aside, copy_function=shutil.copyfile, dirs_exist_ok=True)
        aside.chmod(0o755)
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _is_same(one: ModelRepository, other: ModelRepository, version: int) -> bool:
    """Returns True where the metadata.json of `version` is the same in both: it has the checksums of all files."""
    first, second = (_metadata(each.folder / str(version)) for each in (one, other))
    return first == second != b""


def _metadata(folder: Path) -> bytes:
    """Returns the content of metadata.json in the folder of a version; nothing where it cannot be read."""
    with suppress(OSError):
        return read_regular(folder / "metadata.json", MOST_BYTES)
    return b""
