"""Files that other processes read, write or replace at any time: bounded reads, atomic replacement, changes."""

import errno
import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
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


def read_regular(path: Path, most_bytes: int) -> bytes:
    """Returns the content of a file of at most `most_bytes`. Raises OSError, also for a larger file and for a FIFO."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)  # to open a FIFO would wait for a writer
    try:
        status = os.fstat(descriptor)  # of what was opened: by now the path may name another file
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "It is no regular file", str(path))
        if status.st_size > most_bytes:
            raise OSError(errno.EFBIG, f"It has {status.st_size} bytes and may have {most_bytes}", str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(status.st_size)
    finally:
        os.close(descriptor)


def why_unreadable(error: Exception, paths: Iterable[Path]) -> str:
    """Returns the error of reading `paths` in words: of what is denied, also whose it is, who asks, and the remedy."""
    if not isinstance(error, PermissionError):
        return str(error)
    for path in paths:
        for place in (*reversed(path.absolute().parents), path):  # a folder that is closed hides what is in it
            with suppress(OSError):
                status, right = place.stat(), "x" if place.is_dir() else "r"
                if not os.access(place, os.X_OK if right == "x" else os.R_OK, effective_ids=True):
                    user = os.geteuid()
                    remedy = f"chmod u+{right}" if user == status.st_uid else f"chown {user}"
                    return (
                        f"permission denied: {place} belongs to user {status.st_uid} with mode "
                        f"{stat.S_IMODE(status.st_mode):04o}, and this program runs as user {user} of group "
                        f"{os.getegid()}: {remedy} {place}"
                    )
    return str(error)


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
