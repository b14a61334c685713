"""What is read of a user's pictures, and what is left out or refused, with its name."""

import csv
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving.commands.store import store
from serving.options import run_command
from serving.store.database import MIN_BYTES, Database
from serving.store.records import FEEDBACK, NO_DIGIT, Answered, Name
from tests.support.processes import ROOT
from training.adapt import sources
from training.adapt.own_digits import OwnDigits, read_own_digits
from training.data.arrays import NOT_A_DIGIT, SIDE
from training.errors import DataError

with np.load(ROOT / "tests" / "data" / "digits.npz", allow_pickle=False) as file:
    PIXELS, LABELS = file["pixels"][:40], file["label"][:40]


def read(source: Path, by: str = "auto") -> tuple[OwnDigits, list[str]]:
    said: list[str] = []
    return read_own_digits(source, by, said.append), said  # type: ignore[arg-type]  # of By


def draw(path: Path, row: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.pad(255 - PIXELS[row].reshape(SIDE, SIDE), 12, constant_values=255)
    Image.fromarray(picture).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve digits in folders by label."""
    for row in range(12):
        draw(tmp_path / "own" / str(LABELS[row]) / f"{row:02}.png", row)
    return tmp_path / "own"


def test_folders_are_labels_and_each_picture_is_held_out_alone(folder: Path) -> None:
    Image.fromarray(np.arange(900, dtype=np.uint8).reshape(30, 30)).save(folder / "none.png")
    (folder / "none").mkdir()
    (folder / "none.png").rename(folder / "none" / "x.png")
    own, said = read(folder)
    assert sorted(own.digits.labels.tolist()) == sorted([*LABELS[:12].tolist(), NOT_A_DIGIT])
    assert own.by == "picture"
    assert own.count_of_groups == len(own) == 13
    assert said == ["framing 13 pictures ..."]


def test_pictures_are_framed_as_the_server_frames_them(folder: Path) -> None:
    from serving.image.decode import decode
    from serving.image.framing import frame
    from serving.image.picture import ImageLimits

    own, _ = read(folder)
    path = sorted(folder.rglob("*.png"), key=lambda each: (each.parent.name, each.name))[0]
    np.testing.assert_array_equal(
        own.digits.pixels[0], frame(decode(path.read_bytes(), ImageLimits(2**20, 2**20))).pixels
    )


@pytest.mark.parametrize("form", ["{writer}/{label}", "{label}/{writer}"])
def test_other_folders_on_the_way_name_the_writer(tmp_path: Path, form: str) -> None:
    for row in range(12):
        draw(tmp_path / form.format(writer=f"writer {row % 3}", label=LABELS[row]) / f"{row}.png", row)
    own, _ = read(tmp_path)
    assert (own.by, own.count_of_groups) == ("writer", 3)
    assert np.bincount(own.groups).tolist() == [4, 4, 4]
    assert read(tmp_path, "picture")[0].count_of_groups == 12


def test_broken_blank_and_crowded_pictures_are_left_out_by_name(folder: Path) -> None:
    (folder / "3" / "broken.png").parent.mkdir(exist_ok=True)
    (folder / "3" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    (folder / "3" / "empty.png").write_bytes(b"")
    (folder / "3" / "bad\x1b[31mname.png").write_bytes(b"no picture")
    Image.new("L", (40, 40), 255).save(folder / "3" / "blank.png")
    pair = [np.pad(255 - PIXELS[row].reshape(SIDE, SIDE), 8, constant_values=255) for row in (0, 1)]
    Image.fromarray(np.hstack(pair)).save(folder / "3" / "pair.png")
    own, said = read(folder)
    assert len(own) == 12
    left_out = [line for line in said if line.startswith("left out: ")]
    assert len(left_out) == 5
    for name in ("broken", "empty", "blank", "pair"):
        assert any(f"{name}.png: " in line for line in left_out)
    assert all(line.isprintable() for line in said)


def test_a_picture_beyond_the_servers_limits_is_left_out(folder: Path) -> None:
    (folder / "1" / "long.png").parent.mkdir(exist_ok=True)
    with (folder / "1" / "long.png").open("wb") as file:
        file.truncate(9 * 2**20)
    Image.new("RGB", (7000, 7000)).save(folder / "1" / "wide.png")
    own, said = read(folder)
    assert len(own) == 12
    assert sum("long.png: " in line or "wide.png: " in line for line in said) == 2


def test_many_pictures_that_are_left_out_are_counted(folder: Path) -> None:
    (folder / "3").mkdir(exist_ok=True)
    for number in range(30):
        (folder / "3" / f"broken-{number}.png").write_bytes(b"no")
    _, said = read(folder)
    assert said[-1] == "left out: 10 more"
    assert len(said) == 22


def test_the_same_picture_is_learned_once_and_not_under_two_labels(folder: Path) -> None:
    draw(folder / str(LABELS[0]) / "again.png", 0)
    wrong = (LABELS[1] + 1) % 10
    draw(folder / str(wrong) / "wrong.png", 1)
    own, said = read(folder)
    assert len(own) == 11
    assert "left out: 1 pictures that are there more than once" in said
    assert sum("has another label, too" in line for line in said) == 2


def test_a_table_names_path_label_and_writer(folder: Path) -> None:
    rows = [(str(path.relative_to(folder.parent)), path.parent.name) for path in sorted(folder.rglob("*.png"))]
    table = folder.parent / "own.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(
            [("label", "path", "writer"), *((b, a, f"w{n % 2}") for n, (a, b) in enumerate(rows))]
        )
    own, _ = read(table)
    assert (own.by, own.count_of_groups, len(own)) == ("writer", 2, 12)
    assert own.digits.labels.tolist() == [int(label) for _, label in rows]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na.png,eleven\n", "line 2: the label 'eleven'; expected 0 to 9, or none"),
        ("path,label\na.png,3\n,4\n", "line 3: no path"),
        ("path,label\na.png\n", "line 2: the label ''"),
        ("a.png,3\n", "must name the columns path and label"),
        ('path,label\n"a.png,3\n', "is no CSV file"),
        ("path,label\n", "holds no labelled pictures"),
        ("", "must name the columns"),
    ],
)
def test_a_table_that_is_wrong_is_one_clear_error(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "own.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "own.csv")


def test_bytes_that_are_no_table_are_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_bytes(b"path,label\n\xff\xfe,3\n")
    with pytest.raises(DataError, match="is no CSV file"):
        read(tmp_path / "own.csv")


def test_an_unknown_label_an_empty_folder_and_no_folder_are_clear_errors(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no labelled pictures"):
        read(tmp_path / "empty")
    with pytest.raises(DataError, match=r"cannot read .*nowhere"):
        read(tmp_path / "nowhere")
    draw(folder / "eleven" / "a.png", 0)
    with pytest.raises(DataError, match=r"eleven/a\.png has no label: .* one folder named 0 to 9, or none"):
        read(folder)


def test_two_labels_on_the_way_are_a_clear_error(folder: Path) -> None:
    draw(folder / "3" / "5" / "a.png", 0)
    with pytest.raises(DataError, match="and lies below 2"):
        read(folder)


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    import os

    (folder / "3").mkdir(exist_ok=True)
    os.mkfifo(folder / "3" / "pipe.png")
    os.mkfifo(folder.parent / "pipe.csv")
    own, said = read(folder)
    assert len(own) == 12
    assert any("pipe.png: It is no regular file" in line for line in said)
    with pytest.raises(DataError, match="neither a folder nor a file"):
        read(folder.parent / "pipe.csv")


def test_too_few_digits_too_many_pictures_and_a_single_writer_are_clear_errors(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in sorted(folder.rglob("*.png"))[:3]:
        path.unlink()
    with pytest.raises(DataError, match="has 9 digits that can be used; at least 10"):
        read(folder)
    monkeypatch.setattr(sources, "MOST_PICTURES", 8)
    with pytest.raises(DataError, match="more than 8 pictures"):
        read(folder)


def test_writers_must_be_named_for_all_and_be_two(tmp_path: Path) -> None:
    for row in range(12):
        draw(tmp_path / "alone" / str(LABELS[row]) / f"{row}.png", row)
    with pytest.raises(DataError, match="one writer alone"):
        read(tmp_path)
    with pytest.raises(DataError, match="12 of 12 pictures name no writer"):
        read(tmp_path / "alone", "writer")
    draw(tmp_path / "3" / "nobody.png", 20)
    with pytest.raises(DataError, match="1 of 13 pictures name no writer"):
        read(tmp_path)
    assert read(tmp_path, "picture")[0].by == "picture"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A store as the server writes it: 15 pictures of five requests, and one that nobody has judged."""
    path = tmp_path / "feedback.db"
    database = Database.open(path, MIN_BYTES, 0)
    database.begin(16)
    for row in range(16):
        truth = None if row == 15 else NO_DIGIT if row == 14 else int(LABELS[row])
        answered = Answered(1000.0 + row, 3, 1, 0.9, 0.1, 0, PIXELS[row].tobytes())
        database.add(Name("a key", f"request {row // 3}", row % 3), FEEDBACK, answered, truth)
    database.commit()
    database.close()
    return path


def exported(database: Path) -> Path:
    target = database.with_suffix(".npz")
    assert run_command(store, ["export", str(database), str(target)]) == 0
    return target


@pytest.mark.parametrize("as_it_is", [lambda path: path, exported], ids=["store", "export"])
def test_a_store_and_its_export_are_read_as_the_server_wrote_them(
    database: Path, as_it_is: Callable[[Path], Path]
) -> None:
    own, _ = read(as_it_is(database))
    np.testing.assert_array_equal(own.digits.pixels, PIXELS[:15])
    assert own.digits.labels.tolist() == [*LABELS[:14].tolist(), NOT_A_DIGIT]
    assert (own.by, own.count_of_groups) == ("request", 5)
    assert len(set(own.groups[:3].tolist())) == 1
    assert read(database, "picture")[0].count_of_groups == 15


def test_other_databases_and_damaged_archives_are_clear_errors(tmp_path: Path, database: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE pictures (pixels BLOB)")
    other.close()
    with pytest.raises(DataError, match="is no store of the server"):
        read(tmp_path / "other.db")
    content = database.read_bytes()
    (tmp_path / "cut.db").write_bytes(content[: len(content) // 3])
    with pytest.raises(DataError, match=r"cut\.db"):
        read(tmp_path / "cut.db")
    archive = exported(database)
    (tmp_path / "cut.npz").write_bytes(archive.read_bytes()[:500])
    with pytest.raises(DataError, match=r"cut\.npz is no export"):
        read(tmp_path / "cut.npz")
    np.savez(tmp_path / "wrong.npz", pixels=np.zeros((3, 7), np.uint8), truth=np.zeros(3, np.int8), key=["a"] * 3,
             request_id=["b"] * 3)  # fmt: skip
    with pytest.raises(DataError, match="784"):
        read(tmp_path / "wrong.npz")
    truths = np.full(12, 42, np.int8)
    np.savez(tmp_path / "truth.npz", pixels=PIXELS[:12], truth=truths, key=["a"] * 12, request_id=["b"] * 12)
    with pytest.raises(DataError, match="a truth that is none"):
        read(tmp_path / "truth.npz")


def test_an_archive_that_unpacks_to_too_much_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_PICTURES", 10)
    np.savez_compressed(tmp_path / "bomb.npz", pixels=np.zeros((5000, 784), np.uint8))
    with pytest.raises(DataError, match="more than 10 pictures"):
        read(tmp_path / "bomb.npz")


def test_the_checksum_is_of_pixels_and_labels(folder: Path) -> None:
    own, _ = read(folder)
    changed = OwnDigits(type(own.digits)(own.digits.pixels, (own.digits.labels + 1) % 10), own.groups, own.by)
    assert own.sha256 != changed.sha256
    assert own.sha256 == read(folder)[0].sha256
