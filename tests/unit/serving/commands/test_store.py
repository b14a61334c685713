"""The commands of a store: they show, draw, export and erase what running servers write."""

import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving.commands.store import store
from serving.options import run_command
from serving.store.database import MIN_BYTES, Database
from serving.store.records import FEEDBACK, NO_DIGIT, Answered, Name


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    database = Database.open(path, MIN_BYTES, 0)
    database.begin(4)
    for number, (key, digit, refusal, truth) in enumerate(
        [("a", 3, 0, 3), ("a", 1, 0, 7), ("b", 4, 1, NO_DIGIT), ("b", 5, 0, None)]
    ):
        answered = Answered(1000.0 + number, 3, digit, 0.9, 0.1, refusal, bytes([number]) * 784)
        database.add(Name(key, f"r{number}", 0), FEEDBACK, answered, truth)
    database.commit()
    database.close()
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert run_command(store, [str(each) for each in arguments]) == 0
    return capsys.readouterr().out


def test_show_says_how_much_there_is_and_how_often_it_was_right(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = run(capsys, "show", file)
    assert "4 pictures in" in shown
    assert "3 with the truth; 2 answered rightly (66.7%)" in shown


def test_a_sheet_is_a_private_picture(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "sheet.png"
    assert "4 pictures" in run(capsys, "sheet", file, target)
    with Image.open(target) as drawn:
        assert drawn.width > 4 * 56
        assert len(drawn.getcolors(256) or []) > 4
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert "1 pictures" in run(capsys, "sheet", file, target, "--wrong")


def test_an_export_holds_pixels_and_truth(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "export", file, tmp_path / "digits.npz")
    with np.load(tmp_path / "digits.npz", allow_pickle=False) as exported:
        assert exported["truth"].tolist() == [3, 7, -1]
        assert exported["digit"].tolist() == [3, 1, 4]
        assert exported["refused"].tolist() == [False, False, True]
        assert (exported["pixels"] == np.arange(3, dtype=np.uint8)[:, np.newaxis]).all()
        assert exported["pixels"].shape == (3, 784)
    assert stat.S_IMODE((tmp_path / "digits.npz").stat().st_mode) == 0o600
    run(capsys, "export", file, tmp_path / "folders")
    files = sorted(path.relative_to(tmp_path / "folders").parts[0] for path in (tmp_path / "folders").rglob("*.png"))
    assert files == ["3", "7", "none"]
    with Image.open(next((tmp_path / "folders" / "7").iterdir())) as picture:
        assert (255 - np.asarray(picture) == 1).all()


def test_backup_has_what_a_running_server_has_committed_and_is_one_private_file(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "aside" / "backup.db"
    target.parent.mkdir()
    server = Database.open(file, MIN_BYTES, 0)
    try:
        committed = Answered(2000.0, 3, 6, 0.9, 0.1, 0, bytes(784))
        server.begin(1)
        server.add(Name("a", "committed", 0), FEEDBACK, committed, 6)
        server.commit()  # in the log, and not yet in the file
        assert "5 pictures" in run(capsys, "backup", file, target)
    finally:
        server.close()
    assert [path.name for path in target.parent.iterdir()] == ["backup.db"]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    restored = Database.open(target, MIN_BYTES, 0)
    assert [picture.name.request_id for picture in restored.pictures()] == ["r0", "r1", "r2", "r3", "committed"]
    restored.close()


def test_backup_replaces_no_file(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "notes"
    target.write_text("mine")
    assert run_command(store, ["backup", str(file), str(target)]) == 1
    assert "File exists" in capsys.readouterr().err
    assert target.read_text() == "mine"


@pytest.mark.parametrize(
    ("flags", "left"),
    [
        (["--all"], []),
        (["--key", "a"], ["r2", "r3"]),
        (["--request-id", "r1"], ["r0", "r2", "r3"]),
        (["--key", "b", "--request-id", "r1"], ["r0", "r1", "r2", "r3"]),
        (["--older-than-days", "1"], []),
    ],
)
def test_what_is_chosen_is_erased(
    file: Path, flags: list[str], left: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"{4 - len(left)} pictures erased" in run(capsys, "erase", file, *flags)
    database = Database.open(file, MIN_BYTES, 0)
    assert [picture.name.request_id for picture in database.pictures()] == left
    database.close()


@pytest.mark.parametrize("flags", [[], ["--all", "--key", "a"]])
def test_erasing_needs_to_be_said_clearly(file: Path, flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(store, ["erase", str(file), *flags]) == 2
    assert "say which" in capsys.readouterr().err


def test_a_file_that_is_no_store_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").write_text("text " * 1000)
    assert run_command(store, ["show", str(tmp_path / "text")]) == 1
    assert "not a database" in capsys.readouterr().err
