"""The thread that writes the store: what it acknowledges is on the disk, and what fails is said and passes."""

import asyncio
import resource
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pytest

from serving.store.database import MIN_BYTES, Database
from serving.store.errors import StoreError
from serving.store.keeper import BURST, Keeper
from serving.store.memory import RecentMemory
from serving.store.recent import RecentImages
from serving.store.records import REFUSED, UNSURE, Contents, Name
from tests.support.answered import answered, images_of, predictions_for


class Seen:
    """What the keeper reported."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.drops = 0
        self.contents: list[Contents] = []

    def failed(self, error: StoreError) -> None:
        self.failures.append(error.reason)

    def dropped(self, pictures: int) -> None:
        self.drops += pictures

    def counted(self, contents: Contents) -> None:
        self.contents.append(contents)


class Kept:
    """A keeper, what it reported, and the recent images that it looks at."""

    def __init__(self, path: Path, memory: RecentMemory) -> None:
        self.recent, self.seen = RecentImages(memory.place), Seen()
        self.keeper = Keeper(path, MIN_BYTES, 0, self.recent, self.seen)

    def answer(self, request_id: str, digit: int) -> None:
        self.recent.add("key", request_id, images_of([digit]), predictions_for([digit]))

    async def label_in_time(self, request_id: str, truth: int) -> None:
        """Labels, again and again while the store cannot be used."""
        async with asyncio.timeout(20):
            while True:
                try:
                    assert await self.keeper.label(Name("key", request_id, 0), truth)
                except StoreError:
                    continue  # each attempt waits for the keeper's thread
                else:
                    return


@asynccontextmanager
async def keeping(path: Path) -> AsyncIterator[Kept]:
    memory = RecentMemory(images=64, workers=1)
    kept = Kept(path, memory)
    kept.keeper.start()
    try:
        yield kept
    finally:
        await kept.keeper.close()
        kept.recent.close()
        memory.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def labels(path: Path) -> dict[str, tuple[int, int]]:
    """Digit and truth by the request's id, as another program sees them."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT request_id, digit, truth FROM pictures").fetchall()
    return {request_id: (digit, truth) for request_id, digit, truth in rows}


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """As on a full disk: writes beyond it fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_label_is_on_the_disk_once_it_is_acknowledged(path: Path) -> None:
    async with keeping(path) as kept:
        kept.answer("a", 3)
        labelled = await kept.keeper.label(Name("key", "a", 0), 8)
        assert labelled
        assert (labelled.is_first, labelled.answered.digit) == (True, 3)
        assert labels(path) == {"a": (3, 8)}
        again = await kept.keeper.label(Name("key", "a", 0), 9)
        assert again
        assert not again.is_first
        assert labels(path) == {"a": (3, 9)}


async def test_an_image_that_is_not_known_gets_no_label(path: Path) -> None:
    async with keeping(path) as kept:
        kept.answer("a", 3)
        for name in (Name("key", "b", 0), Name("key", "a", 1), Name("other", "a", 0)):
            assert await kept.keeper.label(name, 8) is None
        assert labels(path) == {}


async def test_labels_that_come_together_are_all_acknowledged(path: Path) -> None:
    async with keeping(path) as kept:
        for number in range(60):
            kept.answer(str(number), number % 10)
        found = await asyncio.gather(*(kept.keeper.label(Name("key", str(number), 0), 1) for number in range(60)))
        assert all(found)
        assert labels(path) == {str(number): (number % 10, 1) for number in range(60)}


async def test_a_kept_picture_can_be_labelled_long_after(path: Path) -> None:
    async with keeping(path) as kept:
        kept.keeper.keep(Name("key", "old", 0), REFUSED, answered(4))
        labelled = await kept.keeper.label(Name("key", "old", 0), 6)
        assert labelled
        assert labelled.is_first
        assert labels(path) == {"old": (4, 6)}


async def test_what_waits_at_the_end_is_written(path: Path) -> None:
    async with keeping(path) as kept:
        for number in range(100):
            kept.keeper.keep(Name("", str(number), 0), UNSURE, answered())
    assert len(labels(path)) == 100


async def test_a_flood_of_pictures_to_keep_is_thinned_and_counted(path: Path) -> None:
    async with keeping(path) as kept:
        for number in range(2000):
            kept.keeper.keep(Name("", str(number), 0), REFUSED, answered())
        assert kept.seen.drops >= 2000 - BURST - 100
    assert len(labels(path)) + kept.seen.drops == 2000


async def test_a_full_disk_refuses_labels_and_takes_them_again_once_there_is_room(path: Path) -> None:
    async with keeping(path) as kept:
        kept.answer("before", 1)
        await kept.label_in_time("before", 1)
        acknowledged, reasons = {"before"}, set()
        with no_file_longer_than(64 * 1024):
            for number in range(60):
                kept.answer(str(number), 2)
                try:
                    await kept.keeper.label(Name("key", str(number), 0), 2)
                except StoreError as error:
                    reasons.add(error.reason)
                else:
                    acknowledged.add(str(number))
        assert reasons == set(kept.seen.failures) == {"full"}
        await kept.label_in_time("59", 2)
    assert set(labels(path)) == acknowledged | {"59"}


async def test_a_damaged_file_is_reported_and_a_new_one_made_once_it_is_moved(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    async with keeping(path) as kept:
        kept.answer("a", 3)
        with pytest.raises(StoreError, match="move the file away"):
            await kept.keeper.label(Name("key", "a", 0), 8)
        assert set(kept.seen.failures) == {"damaged"}
        path.rename(path.with_name("damaged.db"))
        await kept.label_in_time("a", 8)
        assert labels(path) == {"a": (3, 8)}


async def test_two_processes_make_and_write_one_store(path: Path) -> None:
    async with keeping(path) as one, keeping(path) as other:
        for number in range(30):
            (one if number % 2 else other).answer(str(number), 5)
        waits = [(one if number % 2 else other).keeper.label(Name("key", str(number), 0), 5) for number in range(30)]
        assert all(await asyncio.gather(*waits))
        assert not one.seen.failures + other.seen.failures
    database = Database.open(path, MIN_BYTES, 0)
    assert database.contents().labelled == 30
    database.close()
