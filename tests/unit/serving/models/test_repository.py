import json
import os
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from serving.errors import MOST_SHOWN, ModelRejectedError
from serving.models.loaded_model import LoadedModel
from serving.models.onnx_session import OnnxSession
from serving.models.repository import ModelRepository
from serving.predictions import BatchPredictions
from serving.version_policy import LARGEST_VERSION, LATEST
from tests.support.servers import StartServer
from tests.support.tiny_model import rewrite_metadata, tiny_graph, write_tiny_version


def load(root: Path, version: int = 0) -> LoadedModel:
    return ModelRepository(root, "mnist").load(
        version, lambda graph, _: OnnxSession(graph, "cpu", threads=1), largest_batch=8
    )


def load_from(folder: Path, name: str, precision: str = "auto") -> LoadedModel:
    """Loads what `--model-folder` names."""
    return ModelRepository(Path("unused"), name, folder=folder).load(
        0, lambda graph, _: OnnxSession(graph, "cpu", threads=1), largest_batch=8, precision=precision
    )


def test_the_highest_version_is_loaded_unless_one_is_named(tmp_path: Path) -> None:
    for version in (1, 2, 10):
        write_tiny_version(tmp_path, version)
    (tmp_path / "mnist" / "notes").mkdir()
    (tmp_path / "mnist" / "007").mkdir()
    assert ModelRepository(tmp_path, "mnist").versions() == [1, 2, 10]
    assert load(tmp_path).version == 10
    assert load(tmp_path, version=2).version == 2


def test_no_repository_and_no_version_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelRejectedError, match=r"no model mnist at .*make train.*--model-name.*--model-repository"):
        load(tmp_path)
    (tmp_path / "mnist").mkdir()
    with pytest.raises(ModelRejectedError, match="holds no version: train one with `make train`"):
        load(tmp_path)


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
        load(tmp_path)
    with pytest.raises(ModelRejectedError, match=message):
        async with start_server(model_repository=tmp_path):
            pass


def test_the_model_that_is_named_is_loaded_and_no_other(tmp_path: Path) -> None:
    write_tiny_version(tmp_path, 1)
    (tmp_path / "mnist").rename(tmp_path / "mnist-int8")
    repository = ModelRepository(tmp_path, "mnist-int8")
    with pytest.raises(ModelRejectedError, match=r"metadata\.json is of mnist version 1"):
        repository.load(0, lambda graph, _: OnnxSession(graph, "cpu", threads=1), largest_batch=8)
    rewrite_metadata(tmp_path / "mnist-int8" / "1", name="mnist-int8")
    loaded = repository.load(0, lambda graph, _: OnnxSession(graph, "cpu", threads=1), largest_batch=8)
    assert loaded.name == "mnist-int8"


def test_a_folder_of_versions_is_served_under_any_name(tmp_path: Path) -> None:
    """As KServe mounts it: one model's folder, and the name of the InferenceService."""
    folder = write_tiny_version(tmp_path, 3).parent.rename(tmp_path / "mounted")
    loaded = load_from(folder, "forms-of-2026")
    assert (loaded.name, loaded.version) == ("forms-of-2026", 3)


def test_the_int8_form_beside_a_folder_is_found_by_the_folders_and_the_trained_name(tmp_path: Path) -> None:
    for name, precision in (("mnist", "float32"), ("mnist-int8", "int8")):
        folder = write_tiny_version(tmp_path, 3)
        rewrite_metadata(folder, 3, name=name, precision=precision, training={"seed": 1})
        folder.parent.rename(tmp_path / name.replace("mnist", "mounted"))
    loaded = load_from(tmp_path / "mounted", "digits", "int8")
    assert (loaded.name, loaded.precision) == ("digits", "int8")


@pytest.mark.parametrize("name", ["two\nlines", "long" * 100, 7, None, ["mnist"]])
def test_a_folder_of_versions_whose_trained_name_is_no_text_to_show_is_refused(name: object, tmp_path: Path) -> None:
    folder = write_tiny_version(tmp_path)
    rewrite_metadata(folder, name=name)
    with pytest.raises(ModelRejectedError, match=r"metadata\.json") as raised:
        load_from(folder.parent, "digits")
    assert raised.value.check == "metadata"


def test_a_folder_is_told_from_a_repository_in_errors(tmp_path: Path) -> None:
    folder = write_tiny_version(tmp_path / "models").parent
    with pytest.raises(ModelRejectedError, match=rf"{folder} holds versions.*--model-folder {folder}$"):
        load_from(tmp_path / "models", "digits")
    with pytest.raises(ModelRejectedError, match=rf"{folder} holds versions.*--model-folder {folder}$"):
        load(folder)
    with pytest.raises(ModelRejectedError, match=rf"no model digits at {tmp_path}/gone: .*--model-folder"):
        load_from(tmp_path / "gone", "digits")


def test_integers_may_round_where_float32_may_not(tmp_path: Path) -> None:
    folder = write_tiny_version(tmp_path, 1)
    golden = dict(np.load(folder / "golden.npz"))
    golden["novelty"] = np.clip(golden["novelty"] + np.float32(0.01), 0, 1)
    np.savez(folder / "golden.npz", **golden)
    rewrite_metadata(folder)
    with pytest.raises(ModelRejectedError, match="other answers than recorded"):
        load(tmp_path)
    rewrite_metadata(folder, precision="int8")
    assert load(tmp_path).version == 1


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
        load(tmp_path, version=4)


def truncate(folder: Path) -> None:
    graph = folder / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-100])


def remove_golden(folder: Path) -> None:
    (folder / "golden.npz").unlink()


def other_answers(folder: Path) -> None:
    golden = dict(np.load(folder / "golden.npz"))
    golden["probabilities"] = np.roll(golden["probabilities"], 1, axis=1)
    np.savez(folder / "golden.npz", **golden)
    rewrite_metadata(folder)


def other_digits(folder: Path) -> None:
    golden = dict(np.load(folder / "golden.npz"))
    golden["digit"] = (golden["digit"] + 1) % 10
    np.savez(folder / "golden.npz", **golden)
    rewrite_metadata(folder)


def nan_answers(folder: Path) -> None:
    golden = dict(np.load(folder / "golden.npz"))
    golden["novelty"][0] = np.nan
    np.savez(folder / "golden.npz", **golden)
    rewrite_metadata(folder)


def garbled_golden(folder: Path) -> None:
    (folder / "golden.npz").write_bytes(b"no archive")
    rewrite_metadata(folder)


def golden_of_another_shape(folder: Path) -> None:
    golden = dict(np.load(folder / "golden.npz"))
    np.savez(folder / "golden.npz", **golden | {"pixels": golden["pixels"][:, :100]})
    rewrite_metadata(folder)


def cut_golden(folder: Path) -> None:
    content = (folder / "golden.npz").read_bytes()
    (folder / "golden.npz").write_bytes(content[:-50])
    rewrite_metadata(folder)


def wrong_signature(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(tiny_graph(pixels_name="keras_tensor"))
    rewrite_metadata(folder)


def golden_digits_of_another_length(folder: Path) -> None:
    golden = dict(np.load(folder / "golden.npz"))
    np.savez(folder / "golden.npz", **golden | {"digit": golden["digit"][:7]})
    rewrite_metadata(folder)


def golden_of_words(folder: Path) -> None:
    golden = dict(np.load(folder / "golden.npz"))
    np.savez(folder / "golden.npz", **golden | {"novelty": np.array(["no"] * 10)})
    rewrite_metadata(folder)


def no_golden_images(folder: Path) -> None:
    golden = dict(np.load(folder / "golden.npz"))
    np.savez(folder / "golden.npz", **{name: array[:0] for name, array in golden.items()})
    rewrite_metadata(folder)


def nested_json(folder: Path) -> None:
    (folder / "metadata.json").write_text("[" * 100_000)


def threshold_beyond_numbers(folder: Path) -> None:
    rewrite_metadata(folder, novelty_threshold=10**400)


def threshold_of_nan(folder: Path) -> None:
    rewrite_metadata(folder, novelty_threshold=float("nan"))


def no_json(folder: Path) -> None:
    (folder / "metadata.json").write_text("{")


def future_schema(folder: Path) -> None:
    rewrite_metadata(folder, schema_version=2)


def other_version(folder: Path) -> None:
    rewrite_metadata(folder, version=9)


def missing_field(folder: Path) -> None:
    metadata = json.loads((folder / "metadata.json").read_text())
    del metadata["novelty_threshold"]
    (folder / "metadata.json").write_text(json.dumps(metadata))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "model.onnx has SHA-256 .* the file was changed or cut"),
        (remove_golden, "golden.npz"),
        (other_answers, "other answers than recorded"),
        (other_digits, "10 of 10 golden images get another digit"),
        (nan_answers, "other answers than recorded"),
        (garbled_golden, "golden.npz cannot be read"),
        (cut_golden, "golden.npz cannot be read"),
        (golden_of_another_shape, r"golden\.npz cannot be read: .*expected \(n, 784\)"),
        (wrong_signature, "signature"),
        (golden_digits_of_another_length, "golden.npz"),
        (golden_of_words, "golden.npz"),
        (no_golden_images, "golden.npz"),
        (nested_json, "metadata.json is no JSON"),
        (threshold_beyond_numbers, "novelty_threshold 10*, expected a number"),
        (threshold_of_nan, "novelty_threshold"),
        (no_json, "metadata.json is no JSON"),
        (future_schema, "not of schema_version 1"),
        (other_version, "metadata.json is of mnist version 9"),
        (missing_field, "metadata.json lacks or garbles a field: .*novelty_threshold"),
    ],
)
def test_a_version_that_fails_a_check_is_rejected_with_the_reason(damage: object, message: str, tmp_path: Path) -> None:
    folder = write_tiny_version(tmp_path)
    assert load(tmp_path).version == 1
    assert callable(damage)
    damage(folder)
    with pytest.raises(ModelRejectedError, match=message) as raised:
        load(tmp_path)
    assert str(folder) in str(raised.value)


@pytest.mark.parametrize("number", [LARGEST_VERSION + 1, 20 * "9", 250 * "9"])
def test_a_number_that_the_protocols_cannot_hold_is_no_version_to_serve(number: int | str, tmp_path: Path) -> None:
    write_tiny_version(tmp_path, 1)
    write_tiny_version(tmp_path, int(number))
    repository = ModelRepository(tmp_path, "mnist")
    assert repository.wanted(LATEST) == [1]
    with pytest.raises(ModelRejectedError, match=f"{number}: the number of a version is at most") as raised:
        load(tmp_path, int(number))
    assert raised.value.check == "number"


def test_the_largest_number_is_a_version_like_any_other(tmp_path: Path) -> None:
    write_tiny_version(tmp_path, LARGEST_VERSION)
    (tmp_path / "mnist" / "config.pbtxt").write_text(
        f"version_policy {{ specific {{ versions: [ {LARGEST_VERSION} ] }} }}"
    )
    assert ModelRepository(tmp_path, "mnist").wanted(None) == [LARGEST_VERSION]
    assert load(tmp_path).version == LARGEST_VERSION


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


@pytest.mark.parametrize("name", ["metadata.json", "model.onnx", "golden.npz"])
@pytest.mark.parametrize("precision", ["auto", "int8"])
def test_a_fifo_in_place_of_a_file_is_refused_at_once(name: str, precision: str, tmp_path: Path) -> None:
    folder = write_tiny_version(tmp_path)
    for form in (tmp_path / "mnist", tmp_path / "mnist-int8"):
        (form / "1").mkdir(parents=True, exist_ok=True)
        (form / "1" / name).unlink(missing_ok=True)
        os.mkfifo(form / "1" / name)
    with pytest.raises(ModelRejectedError, match=r"no regular file|has no int8 form") as raised:
        ModelRepository(tmp_path, "mnist").load(
            0, lambda graph, _: OnnxSession(graph, "cpu", threads=1), largest_batch=8, precision=precision
        )
    assert str(folder) in str(raised.value)


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
    assert load(tmp_path).version == 1
    assert ModelRepository(tmp_path, "mnist").stamp(1)
    folder.rename(tmp_path / "mnist" / f"v1{odd}")
    with pytest.raises(ModelRejectedError, match=r"v1\\udcff\\n/"):
        load(tmp_path)
