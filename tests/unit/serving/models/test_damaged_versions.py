"""Checks of a version when it is loaded: whatever is wrong with its files, it is refused with the reason."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from serving.errors import ModelRejectedError
from tests.support.tiny_model import load_version, rewrite_metadata, tiny_graph, write_tiny_version


def test_integers_may_round_where_float32_may_not(tmp_path: Path) -> None:
    folder = write_tiny_version(tmp_path, 1)
    golden = dict(np.load(folder / "golden.npz"))
    golden["novelty"] = np.clip(golden["novelty"] + np.float32(0.01), 0, 1)
    np.savez(folder / "golden.npz", **golden)
    rewrite_metadata(folder)
    with pytest.raises(ModelRejectedError, match="other answers than recorded"):
        load_version(tmp_path)
    rewrite_metadata(folder, precision="int8")
    assert load_version(tmp_path).version == 1


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
    assert load_version(tmp_path).version == 1
    assert callable(damage)
    damage(folder)
    with pytest.raises(ModelRejectedError, match=message) as raised:
        load_version(tmp_path)
    assert str(folder) in str(raised.value)


@pytest.mark.parametrize("name", ["metadata.json", "model.onnx", "golden.npz"])
@pytest.mark.parametrize("precision", ["auto", "int8"])
def test_a_fifo_in_place_of_a_file_is_refused_at_once(name: str, precision: str, tmp_path: Path) -> None:
    folder = write_tiny_version(tmp_path)
    for form in (tmp_path / "mnist", tmp_path / "mnist-int8"):
        (form / "1").mkdir(parents=True, exist_ok=True)
        (form / "1" / name).unlink(missing_ok=True)
        os.mkfifo(form / "1" / name)
    with pytest.raises(ModelRejectedError, match=r"no regular file|has no int8 form") as raised:
        load_version(tmp_path, precision=precision)
    assert str(folder) in str(raised.value)
