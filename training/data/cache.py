"""MNIST from the cache, or fetched from the first source that has it, verified, then stored."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from training.data.mnist import CHECKSUMS, Mnist, verify
from training.data.sources import Source
from training.errors import DataError
from training.files import folder_in_one_step


def load_mnist(
    cache_folder: Path,
    sources: Sequence[Source],
    say: Callable[[str], None] = lambda _: None,
    checksums: Mapping[str, str] = CHECKSUMS,
) -> Mnist:
    """MNIST, every byte of it verified.

    Args:
        cache_folder: where the four files are kept, in a folder `mnist` that is whole or absent.
        sources: tried in order, only when the cache is empty.
        say: gets one line for each source that is tried, and one with the folder that the data is stored in.
        checksums: SHA-256 of each file; other values than MNIST's own are for tests.

    Raises:
        DataError: the cached copy is damaged, no source could give the files, or they cannot be stored. The message
            says what to do.
    """
    stored = cache_folder / "mnist"
    if stored.exists():
        return Mnist.from_files(_read_stored(stored, checksums))
    files = _fetch(sources, say, checksums)
    _store(stored, files)
    say(f"stored in {stored}")
    return Mnist.from_files(files)


def _read_stored(stored: Path, checksums: Mapping[str, str]) -> dict[str, bytes]:
    files = {}
    for name in checksums:
        try:
            files[name] = (stored / name).read_bytes()
            verify(name, files[name], checksums)
        except (OSError, DataError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise DataError(
                f"the cached copy of MNIST cannot be used: {stored / name}: {reason}.\n"
                f"Delete the folder {stored} and run `python -m training data` to fetch it again."
            ) from error
    return files


def _fetch(sources: Sequence[Source], say: Callable[[str], None], checksums: Mapping[str, str]) -> dict[str, bytes]:
    failures = []
    for source in sources:
        say(f"fetching MNIST from {source.name}")
        try:
            files = source.fetch()
            for name in checksums:
                verify(name, files[name], checksums)
        except DataError as error:
            say(f"  no: {error}")
            failures.append(f"  - {source.name}: {error}")
        else:
            return files
    raise DataError(
        "MNIST could not be had from any source:\n" + "\n".join(failures) + "\n"
        "Connect to the internet, or put its four IDX files (plain or .gz) into a folder and name that: --mnist-folder."
    )


def _store(stored: Path, files: Mapping[str, bytes]) -> None:
    megabytes = sum(len(content) for content in files.values()) / 1e6
    try:
        with folder_in_one_step(stored) as folder:
            for name, content in files.items():
                (folder / name).write_bytes(content)
    except OSError as error:
        raise DataError(
            f"MNIST was fetched but cannot be stored in {stored}: {error.strerror}.\n"
            f"Make room there ({megabytes:.0f} MB), or choose another place with --cache-folder."
        ) from error
