"""Turns what SQLite and the system report into the store's own error."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.store.errors import BUSY, DAMAGED, FULL, UNUSABLE, StoreError


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
