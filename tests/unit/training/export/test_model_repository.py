from pathlib import Path

import pytest

from training.errors import ExportError
from training.export.model_repository import next_version, write_version


def test_the_first_version_is_one(tmp_path: Path) -> None:
    assert next_version(tmp_path / "models", "mnist") == 1


def test_the_next_version_follows_the_highest(tmp_path: Path) -> None:
    for name in ("2", "10", "draft", ".11.half"):
        (tmp_path / "mnist" / name).mkdir(parents=True)
    assert next_version(tmp_path, "mnist") == 11


def test_a_version_appears_whole_with_the_repository_config(tmp_path: Path) -> None:
    folder = write_version(tmp_path, "mnist", 1, {"model.onnx": b"graph", "metadata.json": b"{}"})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "model.onnx": b"graph",
        "metadata.json": b"{}",
    }
    assert sorted(path.name for path in (tmp_path / "mnist").iterdir()) == ["1", "config.pbtxt"]


def test_a_config_that_a_person_changed_is_kept(tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "config.pbtxt").write_text("mine")
    write_version(tmp_path, "mnist", 1, {"model.onnx": b"graph"})
    assert (tmp_path / "mnist" / "config.pbtxt").read_text() == "mine"


def test_a_version_that_is_there_is_never_changed(tmp_path: Path) -> None:
    folder = write_version(tmp_path, "mnist", 1, {"model.onnx": b"first"})
    with pytest.raises(ExportError, match="cannot write the model version"):
        write_version(tmp_path, "mnist", 1, {"model.onnx": b"second"})
    assert (folder / "model.onnx").read_bytes() == b"first"


def test_a_repository_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file, not a folder")
    with pytest.raises(ExportError, match=r"models/mnist/1.*--model-repository"):
        write_version(tmp_path / "models", "mnist", 1, {"model.onnx": b"graph"})
