"""Which versions of the image a folder of models lacks, and how they get there."""

from pathlib import Path

import pytest

from serving.models.repository import ModelRepository
from serving.models.shipped import copy_versions, newer_versions
from tests.support.tiny_model import rewrite_metadata, write_tiny_version


@pytest.fixture
def shipped(tmp_path: Path) -> ModelRepository:
    for version in (1, 2, 3):
        write_tiny_version(tmp_path / "image", version)
    (tmp_path / "image/mnist/config.pbtxt").write_text("# the image's\n")
    return ModelRepository(tmp_path / "image", "mnist")


@pytest.fixture
def served(tmp_path: Path) -> ModelRepository:
    return ModelRepository(tmp_path / "volume", "mnist")


def test_only_what_is_above_the_highest_is_newer(shipped: ModelRepository, served: ModelRepository) -> None:
    assert newer_versions(shipped, served) == []  # there is no folder, and the start says that
    write_tiny_version(served.folder.parent, 2)
    assert newer_versions(shipped, served) == [3]
    write_tiny_version(served.folder.parent, 3)  # perhaps another one, trained here: it stays
    assert newer_versions(shipped, served) == []
    write_tiny_version(served.folder.parent, 4)
    assert newer_versions(shipped, served) == []


def test_missing_versions_are_copied_whole_and_nothing_that_is_there_changes(
    shipped: ModelRepository, served: ModelRepository
) -> None:
    own = write_tiny_version(served.folder.parent, 2)
    rewrite_metadata(own, 2, created="2026-11-29T12:00:00Z")
    (served.folder / "config.pbtxt").write_text("# its own\n")
    before = (own / "metadata.json").read_bytes()
    assert copy_versions(shipped, served) == ([1, 3], [2])
    assert served.versions() == [1, 2, 3]
    assert (own / "metadata.json").read_bytes() == before
    assert (served.folder / "config.pbtxt").read_text() == "# its own\n"
    assert {path.name for path in served.folder.iterdir()} == {"1", "2", "3", "config.pbtxt"}
    for file in (shipped.folder / "3").iterdir():
        assert (served.folder / "3" / file.name).read_bytes() == file.read_bytes()
    assert (served.folder / "3").stat().st_mode & 0o777 == 0o755
    assert copy_versions(shipped, served) == ([], [2])


def test_new_folder_gets_the_config_as_well(shipped: ModelRepository, served: ModelRepository) -> None:
    assert copy_versions(shipped, served) == ([1, 2, 3], [])
    assert (served.folder / "config.pbtxt").read_text() == "# the image's\n"


def test_a_copy_that_fails_leaves_no_part_of_a_version(shipped: ModelRepository, served: ModelRepository) -> None:
    (shipped.folder / "3" / "model.onnx").unlink()
    (shipped.folder / "3" / "model.onnx").symlink_to("nowhere")
    served.folder.mkdir(parents=True)
    with pytest.raises(OSError, match=r"model\.onnx"):
        copy_versions(shipped, served)
    assert served.versions() == [1, 2]
    assert {path.name for path in served.folder.iterdir()} == {"1", "2"}
