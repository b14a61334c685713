"""Changes of files that other processes make, however they make them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.files import file_stamp, replace_atomically


def write_in_place(path: Path) -> None:
    path.write_text("new")


def replace(path: Path) -> None:
    replace_atomically(path, "new")


def swap(path: Path) -> None:
    """Puts another file of equal size in its place, by renames alone."""
    other = path.with_suffix(".other")
    other.write_text("new")
    other.replace(path)


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("change", [write_in_place, replace, swap, remove])
def test_a_change_is_seen_though_size_and_modification_time_are_the_old_ones(
    change: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    before, stamp = path.stat(), file_stamp(path)
    # The kernel's clock for files moves in steps of some milliseconds: until it has, a change is not later.
    while Path(tmp_path / "clock").write_text("") or (tmp_path / "clock").stat().st_ctime_ns <= before.st_ctime_ns:
        pass
    change(path)
    if path.exists():
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_size == before.st_size
    assert file_stamp(path) != stamp


def test_reading_a_file_is_no_change(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    stamp = file_stamp(path)
    path.read_text()
    assert file_stamp(path) == stamp
