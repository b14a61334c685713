"""Files that other processes read or replace at any time: atomic replacement, and detection of changes."""

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import mkstemp

FileStamp = tuple[int, int, int, int]  # times of modification and of change in nanoseconds, size in bytes, inode


def file_stamp(path: Path) -> FileStamp | None:
    """Detects file changes by mtime, ctime, size and inode: returns a stamp to compare, None for a file that has none.

    The inode detects a file that was replaced by another of equal size and modification time; ctime, which the kernel
    alone sets, one that was written in place and whose modification time was put back.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def replace_atomically(
    path: Path, text: str, mode: int | None = None, check: Callable[[Path], object] | None = None
) -> None:
    """Writes `text` to `path` in one step: readers see the old file or the new one. Raises OSError.

    `mode`: permissions of the new file; None: those of the old one, or 0644. `check`: reads the new file before it
    replaces the old one; what it raises is raised here, and the old file stays.
    """
    if mode is None:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    # In the same folder: a rename is atomic within one file system only.
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
