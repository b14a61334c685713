"""Files that other processes make: changes are seen however they are made, and only what is a file is read."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.files import file_stamp, read_regular, replace_atomically

MOST = 1000


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


def fifo(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def larger_file(path: Path) -> None:
    path.write_bytes(bytes(MOST + 1))


def sparse_file(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**40)


def nothing(_: Path) -> None:
    pass


@pytest.mark.parametrize("make", [fifo, folder, device, unix_socket, larger_file, sparse_file, nothing])
def test_what_is_no_file_of_a_bounded_size_is_refused_at_once(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "it")
    open_before = os.listdir("/proc/self/fd")  # noqa: PTH208 - the names alone
    with pytest.raises(OSError, match="it"):
        read_regular(tmp_path / "it", MOST)
    assert os.listdir("/proc/self/fd") == open_before  # noqa: PTH208 - as above


@pytest.mark.parametrize("size", [0, 1, MOST])
def test_a_file_is_read_whole_up_to_the_bound_through_a_link_too(size: int, tmp_path: Path) -> None:
    content = os.urandom(size)
    (tmp_path / "it").write_bytes(content)
    (tmp_path / "link").symlink_to("it")
    assert read_regular(tmp_path / "link", MOST) == content
