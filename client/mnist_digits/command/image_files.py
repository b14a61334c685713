"""Files for the command: finds pictures in folders, reads them, and says why one has no result."""

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from mnist_digits.command.file_format import HEAD_BYTES, NOT_READ, READ, picture_format
from mnist_digits.command.table import printable
from mnist_digits.errors import CallError

# Files of these names are sent whatever they hold: pixels have no mark, and a damaged picture must not go unnoticed.
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".bin", ".raw"})
READS = (
    f"mnist-digits reads {', '.join(READ[:-1])} and {READ[-1]} by any name, and 784 pixels as .bin or .raw,"
    f" but not {', '.join(NOT_READ[:-1])} or {NOT_READ[-1]}"
)
STANDARD_INPUT = Path("-")


def find_image_files(paths: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Returns the files to send, and those skipped. Raises FileNotFoundError.

    Files are taken as they are; of each folder all below it, sorted, that are pictures by their first bytes or name.
    """
    found: list[Path] = []
    skipped: list[Path] = []
    for path in paths:
        if path == STANDARD_INPUT or path.is_file():
            found.append(path)
        elif path.is_dir():
            for file in sorted(file for file in path.rglob("*") if file.is_file()):
                (found if _is_image(file) else skipped).append(file)
        else:
            raise FileNotFoundError(f"{path}: no such file or folder")
    return found, skipped


def skipped_summary(skipped: Sequence[Path]) -> str:
    """Counts the skipped files by suffix: "3 files skipped: 2 .heic, 1 .txt"."""
    counts = Counter(file.suffix.lower() or "without a suffix" for file in skipped).most_common()
    files = "1 file" if len(skipped) == 1 else f"{len(skipped)} files"
    return printable(f"{files} skipped: {', '.join(f'{count} {suffix}' for suffix, count in counts)}")


def file_bytes(file: Path) -> bytes:
    """Returns the content of a file or of standard input. Raises OSError."""
    return sys.stdin.buffer.read() if file == STANDARD_INPUT else file.read_bytes()


def failure_reason(content: bytes, error: CallError) -> str:
    """Says why a file has no result; by name where it is a picture of a format that the server does not read."""
    name = picture_format(content[:HEAD_BYTES])
    if error.code == "INVALID_ARGUMENT" and name in NOT_READ:
        return f"{error.code}: {name} is not supported: convert it to {READ[0]} or {READ[1]}"
    return str(error)


def _is_image(file: Path) -> bool:
    if file.suffix.lower() in SUFFIXES:
        return True
    try:
        with file.open("rb") as opened:
            return picture_format(opened.read(HEAD_BYTES)) in READ
    except OSError:  # what cannot be read, and has no picture's name, is probably none
        return False
