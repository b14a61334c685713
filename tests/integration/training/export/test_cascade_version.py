"""Two versions as one: chosen on validation rows, written whole, and measured as any other version is."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from serving.models.repository import ModelRepository
from tests.support.committed_models import committed, version_name
from tests.support.tiny_training import TINY
from training.data.arrays import LabelledDigits
from training.data.split import Split
from training.errors import ExportError
from training.evaluation.metrics import accuracy, negative_log_likelihood
from training.export.cascade_version import SHARED_SETTINGS, StageVersion, export_cascade, shared_settings
from training.export.checks import onnx_predictions
from training.export.drift_reference import Populations
from training.export.model_card import model_card
from training.export.model_version import FinishedRun, export_run
from training.report.artefact import Artefact
from training.report.comparison import differences
from training.report.measurement import mnist_figures

COMMITTED = committed("mnist-accurate")  # of which eighty rows are read alike in integers


def changed(folder: Path, place: Path, **training: Any) -> Path:
    """A copy of a version with other settings in its record of the training."""
    shutil.copytree(folder, place)
    metadata = json.loads((place / "metadata.json").read_text())
    metadata["training"] |= training
    (place / "metadata.json").write_text(json.dumps(metadata))
    return place


@pytest.fixture(scope="module")
def stages(
    evaluated_run: FinishedRun, small_split: Split, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StageVersion, StageVersion]:
    """The tiny run, and the committed model as if it had been trained on the same rows."""
    root = tmp_path_factory.mktemp("stages")
    fast, _ = export_run(evaluated_run, small_split, root, "fast")
    shared = {name: getattr(TINY, name) for name in SHARED_SETTINGS}
    return StageVersion.read(fast), StageVersion.read(changed(COMMITTED, root / "second", **shared))


@pytest.fixture(scope="module")
def folder(
    stages: tuple[StageVersion, StageVersion], small_split: Split, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Their cascade."""
    models, known = tmp_path_factory.mktemp("models"), Populations({"MNIST": small_split.validation.pixels}, {})
    return export_cascade(*stages, small_split, [], models, "mnist-cascade", known).folder


@pytest.fixture(scope="module")
def metadata(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "metadata.json").read_text())
    return content


def test_stages_whose_validation_rows_differ_are_refused(
    stages: tuple[StageVersion, StageVersion], tmp_path: Path
) -> None:
    fast, second = stages
    assert shared_settings(fast, second)["split"] == TINY.split
    other = "rows" if TINY.split == "writers" else "writers"
    shared = {name: getattr(TINY, name) for name in SHARED_SETTINGS} | {"split": other}
    with pytest.raises(ExportError, match="the same"):
        shared_settings(fast, StageVersion.read(changed(COMMITTED, tmp_path / "second", **shared)))


def test_the_version_is_whole_and_names_its_stages(
    folder: Path, metadata: dict[str, Any], stages: tuple[StageVersion, StageVersion]
) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        *("MODEL_CARD.md", "drift.json", "golden.npz", "metadata.json", "model.onnx")
    ]
    assert sorted(metadata["files"]) == ["drift.json", "golden.npz", "model.onnx"]
    assert (folder.parent / "config.pbtxt").exists()
    for name, checksum in metadata["files"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == checksum
    for place, stage in zip(("fast", "second"), stages, strict=True):
        recorded = metadata["cascade"][place]
        assert recorded["sha256"] == hashlib.sha256(stage.graph).hexdigest()
        assert recorded["git"] == stage.metadata["git"]
    card = (folder / "MODEL_CARD.md").read_text()
    assert card == model_card(metadata)  # type: ignore[arg-type]  # read from JSON
    assert "A cascade of two networks: `fast/1` answers" in card
    assert f"| second | `{version_name('mnist-accurate')}` |" in card


def test_it_is_no_worse_than_its_second_stage_and_says_how_many_rows_go_there(
    folder: Path, metadata: dict[str, Any], stages: tuple[StageVersion, StageVersion], small_split: Split
) -> None:
    validation, cascade = small_split.validation, metadata["cascade"]
    found = onnx_predictions((folder / "model.onnx").read_bytes(), validation)
    fast, second = (onnx_predictions(each.graph, validation) for each in stages)
    assert accuracy(found.probabilities, validation.labels) >= accuracy(second.probabilities, validation.labels)
    loss = negative_log_likelihood(second.probabilities, validation.labels)
    assert negative_log_likelihood(found.probabilities, validation.labels) <= loss
    share = np.mean(fast.confidence < cascade["unsure_below"])
    assert cascade["unsure_share"] == pytest.approx(share)
    assert metadata["multiply_adds"] == round(
        cascade["fast"]["multiply_adds"] + share * cascade["second"]["multiply_adds"]
    )


def test_golden_predictions_are_of_both_stages_and_far_from_the_threshold(
    folder: Path, metadata: dict[str, Any], stages: tuple[StageVersion, StageVersion]
) -> None:
    with np.load(folder / "golden.npz") as golden:
        digits = LabelledDigits(golden["pixels"], np.zeros(len(golden["pixels"]), np.int64))
        confidence = onnx_predictions(stages[0].graph, digits).confidence
        assert np.any(confidence < metadata["cascade"]["unsure_below"])
        assert np.min(np.abs(confidence - metadata["cascade"]["unsure_below"])) > 1e-3
        found = onnx_predictions((folder / "model.onnx").read_bytes(), digits)
        np.testing.assert_allclose(found.probabilities, golden["probabilities"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(found.novelty, golden["novelty"], rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def in_int8(
    stages: tuple[StageVersion, StageVersion], small_split: Split, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The int8 form of their cascade."""
    models = tmp_path_factory.mktemp("int8")
    return export_cascade(*stages, small_split, [], models, "mnist-cascade-int8", int8=True).folder


def test_the_int8_form_has_integer_convolutions_in_both_stages_and_names_their_versions(
    in_int8: Path, stages: tuple[StageVersion, StageVersion], small_split: Split
) -> None:
    graph = onnx.load(in_int8 / "model.onnx").graph
    (choice,) = [node for node in graph.node if node.op_type == "If"]
    (then,) = [each.g for each in choice.attribute if each.name == "then_branch"]
    kinds = {each.name: each.data_type for part in (graph, then) for each in part.initializer}
    for name in ("fast", "second_column_1"):
        assert kinds[f"{name}_convolution_1_kernel"] == onnx.TensorProto.FLOAT
        assert kinds[f"{name}_convolution_2_kernel_quantized"] == onnx.TensorProto.INT8
    metadata = json.loads((in_int8 / "metadata.json").read_text())
    assert metadata["precision"] == "int8"
    for place, stage in zip(("fast", "second"), stages, strict=True):
        recorded = metadata["cascade"][place]
        assert (recorded["precision"], recorded["sha256"]) == ("int8", hashlib.sha256(stage.graph).hexdigest())
        own = stage.in_int8(small_split, [], metadata["training"])
        assert recorded["novelty_threshold"] == own.metadata["novelty_threshold"]
    assert "made from these versions' graphs" in (in_int8 / "MODEL_CARD.md").read_text()


def test_the_int8_form_is_that_of_its_own_cascade_and_of_no_other(folder: Path, in_int8: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "mnist-cascade" / "1")
    shutil.copytree(in_int8, tmp_path / "mnist-cascade-int8" / "1")
    assert set(ModelRepository(tmp_path, "mnist-cascade").forms(1)) == {"float32", "int8"}
    metadata = json.loads((in_int8 / "metadata.json").read_text())
    metadata["cascade"]["second"]["sha256"] = "0" * 64
    (tmp_path / "mnist-cascade-int8" / "1" / "metadata.json").write_text(json.dumps(metadata))
    assert set(ModelRepository(tmp_path, "mnist-cascade").forms(1)) == {"float32"}


def test_a_threshold_that_is_given_is_taken_and_the_card_says_so(
    stages: tuple[StageVersion, StageVersion], small_split: Split, tmp_path: Path
) -> None:
    folder = export_cascade(*stages, small_split, [], tmp_path, "mnist-cascade", unsure_below=0.625).folder
    metadata = json.loads((folder / "metadata.json").read_text())
    fast = onnx_predictions(stages[0].graph, small_split.validation)
    assert metadata["cascade"]["unsure_below"] == 0.625
    assert metadata["cascade"]["unsure_share"] == pytest.approx(np.mean(fast.confidence < 0.625))
    card = (folder / "MODEL_CARD.md").read_text()
    assert "0.625 was given by hand" in card
    assert card == model_card(metadata)


def test_the_report_measures_what_the_metadata_says(folder: Path, digits: LabelledDigits, small_split: Split) -> None:
    artefact = Artefact.load(folder)
    assert differences(artefact.metadata, mnist_figures(artefact, small_split.validation, digits)) == []


def test_what_cannot_be_a_stage_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="is a cascade itself"):
        StageVersion.read(folder)
    with pytest.raises(ExportError, match="no model version that can be read"):
        StageVersion.read(tmp_path)
    with pytest.raises(ExportError, match=r"is an int8 form: .* and --int8"):
        StageVersion.read(committed("mnist-int8"))
    broken = changed(COMMITTED, tmp_path / "broken")
    (broken / "model.onnx").write_bytes(b"another file")
    with pytest.raises(ExportError, match=r"not the file that its metadata\.json names"):
        StageVersion.read(broken)


def test_stages_with_other_validation_rows_are_refused(
    stages: tuple[StageVersion, StageVersion], small_split: Split, tmp_path: Path
) -> None:
    other = StageVersion.read(changed(COMMITTED, tmp_path / "other", split_seed=7))
    with pytest.raises(ExportError, match="the same split_seed"):
        export_cascade(stages[0], other, small_split, [], tmp_path, "mnist-cascade")
    assert not (tmp_path / "mnist-cascade").exists()
