"""What can go wrong with the store, in the words of its metric and its log line."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class StoreError(Exception):
    """Store that cannot be used now. `reason`: one of FAILURES, the label in metrics."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


FULL, DAMAGED, BUSY, UNUSABLE = "full", "damaged", "busy", "unusable"
FAILURES = (FULL, DAMAGED, BUSY, UNUSABLE)


@contextmanager
def store_failures(path: Path) -> Iterator[None]:
    """Turns SQLite's errors and the system's into StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(_reason(error), f"store {path}: {error}{_remedy(error)}") from error
    except OSError as error:
        raise StoreError(UNUSABLE, f"store {path}: {error.strerror}") from error


def _reason(error: sqlite3.Error) -> str:
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE")):
        return FULL
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return DAMAGED
    return BUSY if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) else UNUSABLE


def _remedy(error: sqlite3.Error) -> str:
    return {
        FULL: "; make room on the disk",
        DAMAGED: "; move the file away, and a new one is made",
    }.get(_reason(error), "")
