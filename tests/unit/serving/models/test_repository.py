import os
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from serving.errors import MOST_SHOWN, ModelRejectedError
from serving.models.onnx_session import OnnxSession
from serving.models.repository import ModelRepository
from serving.predictions import BatchPredictions
from serving.version_policy import LARGEST_VERSION, LATEST
from tests.support.servers import StartServer
from tests.support.tiny_model import load_version, rewrite_metadata, write_tiny_version


def test_the_highest_version_is_loaded_unless_one_is_named(tmp_path: Path) -> None:
    for version in (1, 2, 10):
        write_tiny_version(tmp_path, version)
    (tmp_path / "mnist" / "notes").mkdir()
    (tmp_path / "mnist" / "007").mkdir()
    assert ModelRepository(tmp_path, "mnist").versions() == [1, 2, 10]
    assert load_version(tmp_path).version == 10
    assert load_version(tmp_path, version=2).version == 2


def test_no_repository_and_no_version_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelRejectedError, match=r"no model mnist at .*make train.*--model-name.*--model-repository"):
        load_version(tmp_path)
    (tmp_path / "mnist").mkdir()
    with pytest.raises(ModelRejectedError, match="holds no version: train one with `make train`"):
        load_version(tmp_path)


@pytest.mark.parametrize(
    ("there", "found"),
    [
        (["v1/model.onnx"], "v1/"),
        (["model.onnx", "metadata.json", "config.pbtxt"], "metadata.json, model.onnx"),
        (["1"], "1"),  # a file
        (["007/model.onnx", "0/model.onnx", "1.5/model.onnx"], "0/, 007/, 1.5/"),
        ([f"v{number:02}/model.onnx" for number in range(30)], "v00/, v01/, v02/, v03/, v04/ and 25 more"),
    ],
)
async def test_what_is_no_version_is_named_with_what_a_version_is(
    there: list[str], found: str, tmp_path: Path, start_server: StartServer
) -> None:
    for name in there:
        (tmp_path / "mnist" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mnist" / name).touch()
    message = re.escape(f"named by a whole number, such as {tmp_path}/mnist/1, and here is only {found}: ")
    with pytest.raises(ModelRejectedError, match=message):
        load_version(tmp_path)
    with pytest.raises(ModelRejectedError, match=message):
        async with start_server(model_repository=tmp_path):
            pass


def test_the_model_that_is_named_is_loaded_and_no_other(tmp_path: Path) -> None:
    write_tiny_version(tmp_path, 1)
    (tmp_path / "mnist").rename(tmp_path / "mnist-int8")
    with pytest.raises(ModelRejectedError, match=r"metadata\.json is of mnist version 1"):
        load_version(tmp_path, name="mnist-int8")
    rewrite_metadata(tmp_path / "mnist-int8" / "1", name="mnist-int8")
    assert load_version(tmp_path, name="mnist-int8").name == "mnist-int8"


def test_a_folder_of_versions_is_served_under_any_name(tmp_path: Path) -> None:
    """As KServe mounts it: one model's folder, and the name of the InferenceService."""
    folder = write_tiny_version(tmp_path, 3).parent.rename(tmp_path / "mounted")
    loaded = load_version(tmp_path, name="forms-of-2026", folder=folder)
    assert (loaded.name, loaded.version) == ("forms-of-2026", 3)


def test_the_int8_form_beside_a_folder_is_found_by_the_folders_and_the_trained_name(tmp_path: Path) -> None:
    for name, precision in (("mnist", "float32"), ("mnist-int8", "int8")):
        folder = write_tiny_version(tmp_path, 3)
        rewrite_metadata(folder, 3, name=name, precision=precision, training={"seed": 1})
        folder.parent.rename(tmp_path / name.replace("mnist", "mounted"))
    loaded = load_version(tmp_path, name="digits", folder=tmp_path / "mounted", precision="int8")
    assert (loaded.name, loaded.precision) == ("digits", "int8")


@pytest.mark.parametrize("name", ["two\nlines", "long" * 100, 7, None, ["mnist"]])
def test_a_folder_of_versions_whose_trained_name_is_no_text_to_show_is_refused(name: object, tmp_path: Path) -> None:
    folder = write_tiny_version(tmp_path)
    rewrite_metadata(folder, name=name)
    with pytest.raises(ModelRejectedError, match=r"metadata\.json") as raised:
        load_version(tmp_path, name="digits", folder=folder.parent)
    assert raised.value.check == "metadata"


def test_a_folder_is_told_from_a_repository_in_errors(tmp_path: Path) -> None:
    folder = write_tiny_version(tmp_path / "models").parent
    with pytest.raises(ModelRejectedError, match=rf"{folder} holds versions.*--model-folder {folder}$"):
        load_version(tmp_path, name="digits", folder=tmp_path / "models")
    with pytest.raises(ModelRejectedError, match=rf"{folder} holds versions.*--model-folder {folder}$"):
        load_version(folder)
    with pytest.raises(ModelRejectedError, match=rf"no model digits at {tmp_path}/gone: .*--model-folder"):
        load_version(tmp_path, name="digits", folder=tmp_path / "gone")


def test_largest_batch_that_cannot_be_run_is_refused(tmp_path: Path) -> None:
    write_tiny_version(tmp_path)

    class SmallDevice(OnnxSession):
        def run(self, pixels: npt.NDArray[np.uint8]) -> BatchPredictions:
            if len(pixels) > 10:
                raise RuntimeError("out of memory")
            return super().run(pixels)

    with pytest.raises(ModelRejectedError, match="batch of 16 images cannot be run: out of memory"):
        ModelRepository(tmp_path, "mnist").load(
            0, lambda graph, _: SmallDevice(graph, "cpu", threads=1), largest_batch=16
        )


def test_missing_version_is_named_with_those_that_exist(tmp_path: Path) -> None:
    write_tiny_version(tmp_path, 3)
    with pytest.raises(ModelRejectedError, match="holds no version 4, only 3"):
        load_version(tmp_path, version=4)


@pytest.mark.parametrize("number", [LARGEST_VERSION + 1, 20 * "9", 250 * "9"])
def test_a_number_that_the_protocols_cannot_hold_is_no_version_to_serve(number: int | str, tmp_path: Path) -> None:
    write_tiny_version(tmp_path, 1)
    write_tiny_version(tmp_path, int(number))
    repository = ModelRepository(tmp_path, "mnist")
    assert repository.wanted(LATEST) == [1]
    with pytest.raises(ModelRejectedError, match=f"{number}: the number of a version is at most") as raised:
        load_version(tmp_path, int(number))
    assert raised.value.check == "number"


def test_the_largest_number_is_a_version_like_any_other(tmp_path: Path) -> None:
    write_tiny_version(tmp_path, LARGEST_VERSION)
    (tmp_path / "mnist" / "config.pbtxt").write_text(
        f"version_policy {{ specific {{ versions: [ {LARGEST_VERSION} ] }} }}"
    )
    assert ModelRepository(tmp_path, "mnist").wanted(None) == [LARGEST_VERSION]
    assert load_version(tmp_path).version == LARGEST_VERSION


@pytest.mark.parametrize(
    "text",
    [
        b"a { " * 20_000,
        b"a < " * 20_000,
        b"a { " * 10_000 + b"} " * 10_000,
        b"a: [" * 10_000,
        b"version_policy { specific { versions: 9223372036854775808 } }",
        b"version_policy { latest { num_versions: -1 } }",
        b"\xff",
        b"a: '" + b"x" * 10_000_000,
    ],
    ids=lambda text: f"{len(text)}{text[:8]!r}",
)
def test_a_config_that_cannot_be_read_is_refused_with_a_short_reason(text: bytes, tmp_path: Path) -> None:
    write_tiny_version(tmp_path, 1)
    (tmp_path / "mnist" / "config.pbtxt").write_bytes(text)
    reasons = set()
    for _ in range(2):
        with pytest.raises(ModelRejectedError, match="cannot be read") as raised:
            ModelRepository(tmp_path, "mnist").wanted(None)
        reasons.add(str(raised.value))
        assert raised.value.check == "unreadable"
    (reason,) = reasons  # so that it is logged once
    assert len(reason) <= MOST_SHOWN


def test_a_config_that_is_a_fifo_is_refused_at_once(tmp_path: Path) -> None:
    write_tiny_version(tmp_path)
    os.mkfifo(tmp_path / "mnist" / "config.pbtxt")
    with pytest.raises(ModelRejectedError, match="no regular file"):
        ModelRepository(tmp_path, "mnist").wanted(None)


def test_names_that_are_no_text_are_shown_escaped(tmp_path: Path) -> None:
    folder = write_tiny_version(tmp_path)
    odd = os.fsdecode(b"\xff\n")
    (folder / odd).touch()
    (tmp_path / "mnist" / odd).mkdir()
    assert load_version(tmp_path).version == 1
    assert ModelRepository(tmp_path, "mnist").stamp(1)
    folder.rename(tmp_path / "mnist" / f"v1{odd}")
    with pytest.raises(ModelRejectedError, match=r"v1\\udcff\\n/"):
        load_version(tmp_path)
