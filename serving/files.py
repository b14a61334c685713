"""Files that other processes read while they are written: atomic replacement, and detection of changes."""

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import mkstemp

FileStamp = tuple[int, int, int]  # modified in nanoseconds, bytes, inode


def file_stamp(path: Path) -> FileStamp | None:
    """Detects file changes by mtime, size and inode: the stamp of a file, None where it cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def replace_atomically(
    path: Path, text: str, mode: int | None = None, check: Callable[[Path], object] | None = None
) -> None:
    """Writes `text` to `path` in one step: readers see the old file or the new one. Raises OSError.

    `mode`: permissions of the new file; None: those of the old one, or 0644. `check`: reads the new file before it
    takes the old one's place; what it raises leaves the old file as it was.
    """
    if mode is None:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    descriptor, name = mkstemp(dir=path.parent, prefix=f"{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        if check:
            check(temporary)
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
