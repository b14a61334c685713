"""The thread that writes the store: what waits goes into one transaction, and a label is acknowledged after its commit.

1. Nothing waits for the disk but this thread. What is to be kept without being asked for (refused and unsure pictures)
   is dropped where too much waits, or where it comes faster than MOST_PER_SECOND.
2. A transaction that fails is undone, and whoever waits for it learns why. The store is then opened anew, at most once
   a second, so that a disk with room again, or a damaged file that was moved away, is found.
3. Too old pictures are removed at least every PRUNE_SECONDS, traffic or not.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from serving.store.database import MOST_AT_ONCE, Database
from serving.store.errors import UNUSABLE, StoreError
from serving.store.recent import RecentImages
from serving.store.records import FEEDBACK, Answered, Contents, Name

PRUNE_SECONDS = 60.0
REOPEN_SECONDS = 1.0  # at least, between two attempts to open the store
MOST_WAITING = 1024  # pictures to be kept without being asked for
MOST_PER_SECOND, BURST = 50.0, 500.0  # of those
END_SECONDS = 5.0  # for what waits to be written when the service ends


@dataclass(frozen=True, slots=True)
class Labelled:
    """Outcome of a label: the answer to the image. `is_first`: nobody had given a truth for it."""

    answered: Answered
    is_first: bool


@dataclass(frozen=True, slots=True)
class _Label:
    name: Name
    truth: int
    answered: Answered | None  # where it is known already
    result: "asyncio.Future[Labelled | None]"


@dataclass(frozen=True, slots=True)
class _Keep:
    name: Name
    reason: str
    answered: Answered


class Observer(Protocol):
    """Learns what becomes of pictures, on the event loop's thread."""

    def failed(self, error: StoreError) -> None:
        """Learns that the store could not be used."""

    def dropped(self, pictures: int) -> None:
        """Learns that pictures were not kept."""

    def counted(self, contents: Contents) -> None:
        """Learns what the store holds."""


class Keeper:
    """Writes pictures and labels, from start() to close(). Its methods belong to the event loop's thread."""

    def __init__(
        self,
        path: Path,
        most_bytes: int,
        most_seconds: float,
        recent: RecentImages | None,
        observer: Observer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._most_bytes, self._most_seconds = path, most_bytes, most_seconds
        self._recent = recent
        self._observer = observer
        self._clock = clock
        self._queue: queue.SimpleQueue[_Label | _Keep | None] = queue.SimpleQueue()
        self._waiting = 0  # of pictures that may be dropped
        self._allowed, self._allowed_at = BURST, clock()
        self._database: Database | None = None
        self._open_at = 0.0
        self._last_error: StoreError | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread, which opens the store."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()

    async def label(self, name: Name, truth: int) -> Labelled | None:
        """Keeps the truth about an image, and the image. Returns None for an image that is not known, or no longer.

        When it returns, both are on the disk. Raises StoreError.
        """
        return await self._labelled(name, truth)

    async def line(self, name: Name) -> dict[int, Answered]:
        """Returns the signs of a line that Read has answered, by their index in the request, in reading order.

        `name`: its index is the line's. Returns none for a line that is not known, or no longer, as a whole.
        """
        if self._recent is None:
            return {}
        # In a thread: it looks at every image, of which there may be millions.
        return await asyncio.to_thread(self._recent.find_line, name.caller, name.request_id, name.index)

    async def label_signs(self, name: Name, signs: Mapping[int, Answered], truths: Sequence[int]) -> Sequence[Labelled]:
        """Keeps the truth about signs, which line() has returned for `name`, and the signs. Raises StoreError.

        `truths`: in the signs' order. When it returns, all are on the disk; when it raises, some may be.
        """
        names = [Name(name.caller, name.request_id, index) for index in signs]
        each = zip(names, truths, signs.values(), strict=True)
        labelled = await asyncio.gather(*(self._labelled(*one) for one in each))
        return [one for one in labelled if one]  # all: their answers are known

    def _labelled(self, name: Name, truth: int, answered: Answered | None = None) -> "asyncio.Future[Labelled | None]":
        result: asyncio.Future[Labelled | None] = asyncio.get_running_loop().create_future()
        self._queue.put(_Label(name, truth, answered, result))
        return result

    def keep(self, name: Name, reason: str, answered: Answered) -> None:
        """Keeps an image soon, or drops it."""
        now = self._clock()
        self._allowed = min(BURST, self._allowed + (now - self._allowed_at) * MOST_PER_SECOND)
        self._allowed_at = now
        if self._waiting >= MOST_WAITING or self._allowed < 1:
            self._observer.dropped(1)
            return
        self._allowed -= 1
        self._waiting += 1
        self._queue.put(_Keep(name, reason, answered))

    async def close(self) -> None:
        """Writes what waits, and closes the store; at most for END_SECONDS."""
        if self._thread:
            self._queue.put(None)
            await asyncio.to_thread(self._thread.join, END_SECONDS)

    def _run(self) -> None:
        is_ending = False
        self._write([])  # opens it, so that a store that cannot be used is reported at the start
        prune_at = time.monotonic() + PRUNE_SECONDS
        while not is_ending:
            batch: list[_Label | _Keep] = []
            with suppress(queue.Empty):
                first = self._queue.get(timeout=max(0.0, prune_at - time.monotonic()))
                batch = [first] if first else []
                is_ending = first is None
                while not is_ending and len(batch) < MOST_AT_ONCE:
                    more = self._queue.get_nowait()
                    is_ending = more is None
                    batch += [more] if more else []
            if not batch:
                prune_at = time.monotonic() + PRUNE_SECONDS
            self._write(batch)
        if self._database:
            with suppress(StoreError):
                self._database.close()

    def _write(self, batch: Sequence[_Label | _Keep]) -> None:
        """Writes a batch in one transaction; of an empty one removes what is too old."""
        kept = sum(isinstance(each, _Keep) for each in batch)
        outcomes: list[tuple[_Label, Labelled | None]] = []
        failure: StoreError | None = None
        try:
            database = self._opened()
            if batch:
                database.begin(len(batch))
                outcomes = [each for each in (self._apply(database, one) for one in batch) if each]
                database.commit()
            else:
                database.prune()
            contents = database.contents() if not batch else None
        except StoreError as error:
            failure, contents = error, None
            self._give_up(error)
        except Exception as error:  # the border of a thread: callers must learn, and it goes on
            failure, contents = StoreError(UNUSABLE, f"store: {type(error).__name__}: {error}"), None
            self._give_up(failure)
        with suppress(RuntimeError):  # the loop has ended meanwhile
            self._loop.call_soon_threadsafe(self._report, batch, kept, outcomes, failure, contents)

    def _apply(self, database: Database, one: _Label | _Keep) -> tuple[_Label, Labelled | None] | None:
        if isinstance(one, _Keep):
            database.add(one.name, one.reason, one.answered)
            return None
        known = database.find(one.name)
        name = one.name
        recent = one.answered
        if recent is None and self._recent:
            recent = self._recent.find(name.caller, name.request_id, name.index)
        if recent and not (known and known.answered.time >= recent.time):  # else the id has been used again since
            database.add(name, FEEDBACK, recent, one.truth)
            return one, Labelled(recent, is_first=True)
        if known is None:
            return one, None
        database.label(known.id, one.truth)
        return one, Labelled(known.answered, is_first=known.truth is None)

    def _opened(self) -> Database:
        """Returns the database, opened anew where that is due. Raises StoreError."""
        if self._database is None:
            if self._last_error and time.monotonic() < self._open_at:
                raise self._last_error
            self._open_at = time.monotonic() + REOPEN_SECONDS
            self._database = Database.open(self._path, self._most_bytes, self._most_seconds)
            self._last_error = None
        return self._database

    def _give_up(self, error: StoreError) -> None:
        database, self._database, self._last_error = self._database, None, error
        if database:
            with suppress(StoreError):
                database.roll_back()
            with suppress(StoreError):
                database.close()

    def _report(
        self,
        batch: Sequence[_Label | _Keep],
        kept: int,
        outcomes: Sequence[tuple[_Label, Labelled | None]],
        failure: StoreError | None,
        contents: Contents | None,
    ) -> None:
        """Hands on, on the loop's thread, what became of a batch."""
        self._waiting -= kept
        if contents:
            self._observer.counted(contents)
        if failure:
            self._observer.failed(failure)
            if kept:
                self._observer.dropped(kept)
            for each in batch:
                if isinstance(each, _Label) and not each.result.done():
                    each.result.set_exception(failure)
            return
        for label, labelled in outcomes:
            if not label.result.done():
                label.result.set_result(labelled)
