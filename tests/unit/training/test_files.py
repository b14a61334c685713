from pathlib import Path

import pytest

from training.files import folder_in_one_step, write_atomically


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", b"old")
    write_atomically(tmp_path / "file", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_file_that_cannot_be_put_in_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path / "taken", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_a_folder_appears_only_when_its_block_ends(tmp_path: Path) -> None:
    with folder_in_one_step(tmp_path / "whole") as folder:
        (folder / "file").write_bytes(b"content")
        assert not (tmp_path / "whole").exists()
    assert (tmp_path / "whole" / "file").read_bytes() == b"content"
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_an_interrupted_folder_vanishes(tmp_path: Path) -> None:
    def interrupted() -> None:
        with folder_in_one_step(tmp_path / "whole") as folder:
            (folder / "file").write_bytes(b"content")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_as_it_was(tmp_path: Path) -> None:
    def write(content: bytes) -> None:
        with folder_in_one_step(tmp_path / "whole") as folder:
            (folder / "file").write_bytes(content)

    write(b"first")
    with pytest.raises(OSError, match="not empty"):
        write(b"second")
    assert (tmp_path / "whole" / "file").read_bytes() == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]
