"""The store's SQLite file: pictures with their answers and, where it was given, the truth; bounded in bytes and age.

1. The file and the log beside it (WAL) together stay below the bytes that they may have: the oldest pictures go first,
   those without a truth before those with one. Deleted pictures are overwritten (secure_delete).
2. What add() and label() wrote is on the disk once commit() has returned (synchronous=FULL).
3. Every process has a connection of its own, and each transaction takes the write lock at its start.
4. The file is for its owner alone (0600), and so is a folder that is made for it (0700).
"""

import os
import sqlite3
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from serving.predictions import PIXELS
from serving.store.errors import BUSY, UNUSABLE, StoreError
from serving.store.failures import store_failures
from serving.store.records import NO_DIGIT, Answered, Contents, Name, Picture

MIN_BYTES = 16 * 2**20  # a quarter takes the log of the longest transaction, of MOST_AT_ONCE pictures
MOST_AT_ONCE = 128
BUSY_SECONDS = 5.0  # for another process to end its transaction
PAGE = 4096
PICTURE_BYTES = 1536  # in the file, its place in the indexes included; on the safe side
_APPLICATION_ID = 0x4D444947  # of a file of ours
_SCHEMA_VERSION = 1
_SCHEMA = f"""
CREATE TABLE pictures (
    id INTEGER PRIMARY KEY,
    time REAL NOT NULL,
    caller TEXT NOT NULL,
    request_id TEXT NOT NULL,
    image_index INTEGER NOT NULL,
    reason TEXT NOT NULL,
    version INTEGER NOT NULL,
    digit INTEGER NOT NULL,
    probability REAL NOT NULL,
    novelty REAL NOT NULL,
    refusal INTEGER NOT NULL,
    pixels BLOB NOT NULL CHECK (length(pixels) = {PIXELS}),
    truth INTEGER CHECK (truth BETWEEN {NO_DIGIT} AND 9),
    truth_time REAL
);
CREATE INDEX pictures_of_requests ON pictures (caller, request_id, image_index);
CREATE INDEX pictures_by_age ON pictures (truth IS NOT NULL, time);
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_SCHEMA_VERSION};
"""
_COLUMNS = (
    "id, time, caller, request_id, image_index, reason, version, digit, probability, novelty, refusal, pixels, truth"
)


class Database:
    """One connection. Use it from one thread. Its methods raise StoreError."""

    def __init__(self, path: Path, connection: sqlite3.Connection, most_bytes: int, most_seconds: float) -> None:
        self._path = path
        self._connection = connection
        # A quarter is for the log, which holds pages twice over until they are back in the file.
        self._most_pages = most_bytes * 3 // 4 // PAGE
        self._most_log_bytes = most_bytes // 4
        self._most_seconds = most_seconds

    @staticmethod
    def open(path: Path, most_bytes: int, most_seconds: float) -> "Database":
        """Opens a store, and makes it where there is none. Raises StoreError.

        `most_bytes`: of its files together, MIN_BYTES or more. `most_seconds`: age of a picture; 0: any.
        """
        until = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return Database._opened(path, most_bytes, most_seconds)
            except StoreError as error:
                # Another process makes it now: SQLite waits for no lock where it changes the form of its log.
                if error.reason != BUSY or time.monotonic() > until:
                    raise
            time.sleep(0.01)

    @staticmethod
    def _opened(path: Path, most_bytes: int, most_seconds: float) -> "Database":
        with store_failures(path):
            _make_private(path)
            connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            try:
                connection.execute(f"PRAGMA page_size = {PAGE}")  # this and the next: of a new file
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # pages go back to the disk
                connection.execute("PRAGMA secure_delete = ON")
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA trusted_schema = OFF")
                database = Database(path, connection, most_bytes, most_seconds)
                database._make_tables()
                connection.execute(f"PRAGMA max_page_count = {database._most_pages}")
                connection.execute(f"PRAGMA wal_autocheckpoint = {max(1, database._most_log_bytes // PAGE // 4)}")
                connection.execute(f"PRAGMA journal_size_limit = {database._most_log_bytes // 4}")
            except BaseException:
                connection.close()
                raise
        return database

    def _make_tables(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            [(application,)] = self._connection.execute("PRAGMA application_id")
            [(version,)] = self._connection.execute("PRAGMA user_version")
            [(tables,)] = self._connection.execute("SELECT count(*) FROM sqlite_master")
            if not tables and not application:
                for statement in _SCHEMA.split(";"):
                    self._connection.execute(statement)
            elif application != _APPLICATION_ID:
                raise StoreError(UNUSABLE, f"store {self._path}: it is a database of another program")
            elif version != _SCHEMA_VERSION:
                raise StoreError(
                    UNUSABLE, f"store {self._path}: its form is {version}, this server's {_SCHEMA_VERSION}"
                )
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def begin(self, pictures: int) -> None:
        """Begins a transaction that adds up to `pictures`: removes what is too old, and makes room for them."""
        with store_failures(self._path):
            self._bound_log()
            self._connection.execute("BEGIN IMMEDIATE")
            self._prune(pictures)

    def add(self, name: Name, reason: str, answered: Answered, truth: int | None = None) -> None:
        """Adds a picture to the transaction."""
        with store_failures(self._path):
            self._connection.execute(
                "INSERT INTO pictures (time, caller, request_id, image_index, reason, version, digit, probability,"
                " novelty, refusal, pixels, truth, truth_time) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(answered.time, name.caller, name.request_id, name.index, reason, answered.version),
                    *(answered.digit, answered.probability, answered.novelty, answered.refusal, answered.pixels),
                    *(truth, None if truth is None else time.time()),
                ),
            )

    def find(self, name: Name) -> Picture | None:
        """Returns the picture of this name, the newest one where the id was used again; None: there is none."""
        with store_failures(self._path):
            found = self._connection.execute(
                f"SELECT {_COLUMNS} FROM pictures WHERE caller = ? AND request_id = ? AND image_index = ?"
                " ORDER BY time DESC, id DESC LIMIT 1",
                (name.caller, name.request_id, name.index),
            ).fetchone()
            return None if found is None else _picture(found)

    def label(self, picture: int, truth: int) -> None:
        """Sets the truth of a picture in the transaction."""
        with store_failures(self._path):
            self._connection.execute(
                "UPDATE pictures SET truth = ?, truth_time = ? WHERE id = ?", (truth, time.time(), picture)
            )

    def commit(self) -> None:
        """Ends the transaction; when this returns, what it wrote is on the disk."""
        with store_failures(self._path):
            self._connection.execute("COMMIT")

    def roll_back(self) -> None:
        """Ends the transaction, where there is one, without a trace."""
        with store_failures(self._path):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def prune(self) -> None:
        """Removes pictures that are too old, and gives free pages back to the disk."""
        self.begin(0)
        self.commit()
        with store_failures(self._path):
            self._connection.executescript("PRAGMA incremental_vacuum")  # execute() would free one page
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def contents(self) -> Contents:
        """Counts what the store holds."""
        with store_failures(self._path):
            [(pictures, labelled, oldest)] = self._connection.execute(
                "SELECT count(*), count(truth), min(time) FROM pictures"
            )
        return Contents(pictures, labelled, oldest, file_bytes(self._path))

    def pictures(self, chosen: str = "1", values: Sequence[object] = ()) -> Iterator[Picture]:
        """Yields pictures, oldest first, `chosen` by a condition in SQL, in short reads that hold up no writer."""
        last = 0
        while True:
            with store_failures(self._path):
                rows = self._connection.execute(
                    f"SELECT {_COLUMNS} FROM pictures WHERE id > ? AND ({chosen}) ORDER BY id LIMIT 500",
                    (last, *values),
                ).fetchall()
            if not rows:
                return
            yield from map(_picture, rows)
            last = rows[-1][0]

    def erase(self, chosen: str = "1", values: Sequence[object] = ()) -> int:
        """Deletes the pictures `chosen` by a condition in SQL, overwrites them on the disk, and returns how many."""
        with store_failures(self._path):
            erased = self._connection.execute(f"DELETE FROM pictures WHERE {chosen}", values).rowcount
            self._connection.executescript("PRAGMA incremental_vacuum")  # execute() would free one page
            [(is_blocked, _, _)] = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the log has them too
        if is_blocked:
            raise StoreError(BUSY, f"store {self._path}: erased, but another program still reads its log: run it again")
        return int(erased)

    def copy_to(self, target: Path) -> None:
        """Copies the store as it is at one moment into a new file, for its owner alone, while others write."""
        with store_failures(target):
            os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            with closing(sqlite3.connect(target)) as copy:
                self._connection.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file: a log beside it would be left behind

    def close(self) -> None:
        """Closes the connection."""
        with store_failures(self._path):
            self._connection.close()

    def _prune(self, pictures: int) -> None:
        if self._most_seconds:
            self._connection.execute("DELETE FROM pictures WHERE time < ?", (time.time() - self._most_seconds,))
        needed = -(-pictures * PICTURE_BYTES // PAGE) + 8  # some for the indexes' inner pages
        while self._used_pages() + needed > self._most_pages:
            deleted = self._connection.execute(
                "DELETE FROM pictures WHERE id IN (SELECT id FROM pictures ORDER BY truth IS NOT NULL, time LIMIT ?)",
                (MOST_AT_ONCE,),
            ).rowcount
            if not deleted:
                return

    def _used_pages(self) -> int:
        [(pages,)] = self._connection.execute("PRAGMA page_count")
        [(free,)] = self._connection.execute("PRAGMA freelist_count")
        return int(pages) - int(free)

    def _bound_log(self) -> None:
        """Raises StoreError where a reader keeps the log from getting shorter."""
        if _size(_log(self._path)) * 2 > self._most_log_bytes:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            if _size(_log(self._path)) * 2 > self._most_log_bytes:
                raise StoreError(BUSY, f"store {self._path}: another program reads it, and its log is full")


def _make_private(path: Path) -> None:
    """Makes the file, for its owner alone. SQLite gives its log the same permissions."""
    if not path.parent.exists():
        path.parent.mkdir(mode=0o700, parents=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
    with closing(os.fdopen(descriptor, "rb")):
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise StoreError(UNUSABLE, f"store {path}: it is no regular file")
        if stat.S_IMODE(status.st_mode) & 0o077:
            os.fchmod(descriptor, 0o600)


def file_bytes(path: Path) -> int:
    """Returns the bytes of a store's files together."""
    return _size(path) + _size(_log(path))


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _picture(row: tuple[int, float, str, str, int, str, int, int, float, float, int, bytes, int | None]) -> Picture:
    (number, when, caller, request_id, index, reason, version, digit, probability, novelty, refusal, pixels, truth) = (
        row
    )
    answered = Answered(when, version, digit, probability, novelty, refusal, pixels)
    return Picture(number, Name(caller, request_id, index), reason, answered, truth)
