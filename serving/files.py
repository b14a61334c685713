"""Whether a file was written anew, without reading it."""

from pathlib import Path

FileStamp = tuple[int, int, int]  # modified in nanoseconds, bytes, inode


def file_stamp(path: Path) -> FileStamp | None:
    """What differs when the file was written anew; None where it is not there or cannot be looked at."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
