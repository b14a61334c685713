"""The store's file: bounded in bytes and age, private, erased for good, and clear about what is wrong with it."""

import sqlite3
import stat
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.store.database import MIN_BYTES, MOST_AT_ONCE, Database, file_bytes
from serving.store.errors import StoreError
from serving.store.records import FEEDBACK, NO_DIGIT, REFUSED, Name
from tests.support.answered import answered

MARK = b"these pixels are of somebody" * 28  # 784 bytes


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "store.db"


def opened(path: Path, most_seconds: float = 0) -> Database:
    return Database.open(path, MIN_BYTES, most_seconds)


def test_what_is_added_is_found_and_labelled(path: Path) -> None:
    database, name = opened(path), Name("key", "id", 2)
    database.begin(1)
    database.add(name, REFUSED, answered(5, pixels=MARK))
    database.commit()
    database.close()
    database = opened(path)
    found = database.find(name)
    assert found
    assert (found.name, found.reason, found.truth) == (name, REFUSED, None)
    assert found.answered == answered(5, pixels=MARK)
    assert database.find(Name("other", "id", 2)) is None
    database.begin(0)
    database.label(found.id, NO_DIGIT)
    database.commit()
    labelled = database.find(name)
    assert labelled
    assert labelled.truth == NO_DIGIT
    assert (database.contents().pictures, database.contents().labelled) == (1, 1)
    database.close()


def test_what_is_not_committed_leaves_no_trace(path: Path) -> None:
    database = opened(path)
    database.begin(1)
    database.add(Name("", "id", 0), FEEDBACK, answered())
    database.roll_back()
    assert database.contents().pictures == 0
    database.close()


def test_files_and_a_new_folder_are_for_their_owner_alone(path: Path) -> None:
    path.parent.parent.chmod(0o755)
    database = opened(path)
    database.begin(1)
    database.commit()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    files = list(path.parent.iterdir())
    assert len(files) >= 2
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    database.close()
    path.chmod(0o644)
    opened(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_bytes_stay_bounded_whatever_arrives_and_labelled_pictures_go_last(path: Path) -> None:
    database, largest, added = opened(path), 0, 0
    long = Name("k" * 64, "r" * 120, 0)
    while added < 1.5 * MIN_BYTES / 1024:
        count = (1, MOST_AT_ONCE, 7)[added % 3]
        database.begin(count)
        for number in range(added, added + count):
            is_labelled = number % 100 == 0
            # Names in no order: each takes a page of the index of its own.
            name = Name(long.caller, f"{hash((number, 1)) % 10**12:012}{long.request_id[12:]}", number)
            database.add(name, FEEDBACK, answered(time=float(number)), 3 if is_labelled else None)
        database.commit()
        added += count
        largest = max(largest, file_bytes(path))
    assert largest <= MIN_BYTES
    contents = database.contents()
    assert contents.pictures > MIN_BYTES / 4096
    assert contents.labelled == -(-added // 100)
    database.close()


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 200), st.booleans()), max_size=30))
def test_no_picture_is_older_than_it_may_be(
    tmp_path_factory: pytest.TempPathFactory, ages: list[tuple[int, bool]]
) -> None:
    database, now = opened(tmp_path_factory.mktemp("store") / "s.db", most_seconds=100.5), time.time()
    for number, (age, is_labelled) in enumerate(ages):
        database.begin(1)
        database.add(Name("", str(number), 0), FEEDBACK, answered(time=now - age), 1 if is_labelled else None)
        database.commit()
    database.prune()
    young = {str(number) for number, (age, _) in enumerate(ages) if age <= 100}
    assert {picture.name.request_id for picture in database.pictures()} == young
    database.close()


def test_erased_pixels_are_in_no_file(path: Path) -> None:
    database = opened(path)
    for number in range(300):
        database.begin(1)
        database.add(Name("", str(number), 0), FEEDBACK, answered(pixels=MARK))
        database.commit()
    assert any(MARK[:56] in file.read_bytes() for file in path.parent.iterdir())
    assert database.erase("request_id = ?", ["7"]) == 1
    assert database.find(Name("", "7", 0)) is None
    assert database.erase() == 299
    assert not any(MARK[:28] in file.read_bytes() for file in path.parent.iterdir())
    assert path.stat().st_size < 100_000  # pages go back to the disk
    database.close()


@pytest.mark.parametrize("content", [b"no database at all, but text\n" * 200, b"\0" * 5000])
def test_a_file_that_is_none_is_refused(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreError, match="move the file away") as raised:
        opened(path)
    assert raised.value.reason == "damaged"
    assert path.read_bytes() == content


def test_a_damaged_file_is_an_error_and_no_crash(path: Path) -> None:
    database = opened(path)
    database.begin(MOST_AT_ONCE)
    for number in range(MOST_AT_ONCE):
        database.add(Name("", str(number), 0), FEEDBACK, answered())
    database.commit()
    database.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StoreError) as raised:  # noqa: PT012  # where it is noticed is SQLite's choice
        database = opened(path)
        list(database.pictures())
    assert raised.value.reason == "damaged"


def test_another_programs_database_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    with pytest.raises(StoreError, match="of another program"):
        opened(path)
    with sqlite3.connect(path) as again:
        assert again.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    again.close()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="Is a directory"):
        opened(tmp_path)
