"""The exported graph against Keras and against the graph that tf2onnx makes of the same network."""

import dataclasses
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest

from tests.support.tiny_training import TINY
from training.commands.int8 import write_int8_form
from training.config import Places, TrainingConfig
from training.data.arrays import CLASSES, SIDE, LabelledDigits
from training.data.split import Split
from training.errors import ExportError
from training.evaluation.calibration import sigmoid, softmax
from training.evaluation.predictions import Predictions
from training.export.checks import check_model, onnx_predictions, runtime_session
from training.export.drift_reference import FILE, Populations, write_reference
from training.export.int8_form import export_int8_form
from training.export.model_card import model_card
from training.export.model_version import FinishedRun, export_run, golden_file
from training.export.onnx_graph import IR_VERSION, OPSET, onnx_model
from training.fit.training_state import new_state
from training.network.architecture import network_from_weights, network_weights
from training.network.folding import fold
from training.network.outputs import network_outputs

TEMPERATURE = 1.3


@pytest.fixture(
    scope="module",
    params=[{}, {"columns": 2}, {"depths": (1, 2, 1)}, {"columns": 2, "depths": (2, 1, 1)}],
    ids=["one column", "two columns", "deeper stages", "two columns of deeper stages"],
)
def config(request: pytest.FixtureRequest) -> TrainingConfig:
    """Each shape a network can have."""
    return dataclasses.replace(TINY, **request.param)


@pytest.fixture(scope="module")
def network(config: TrainingConfig) -> keras.Model:
    """A tiny network, its normalization far from the identity, so that a wrong fold shows."""
    weights = network_weights(new_state(config).network)
    generator = np.random.default_rng(0)
    for name, value in weights.items():
        if "variance" in name:  # as small as untrained activations are, or the images would make no difference
            weights[name] = generator.uniform(0.03, 0.2, value.shape).astype(np.float32)
        elif "normalization" in name:
            weights[name] = generator.uniform(-0.1, 0.2, value.shape).astype(np.float32)
        elif "logits" in name:
            weights[name] = generator.normal(0, 0.3, value.shape).astype(np.float32)
    return network_from_weights(config, weights)


@pytest.fixture(scope="module")
def graph(config: TrainingConfig, network: keras.Model) -> bytes:
    """The exported network, serialized."""
    folded = fold(network_weights(network), config.depths)
    return onnx_model(folded, TEMPERATURE, {"version": "1"}, 1, "text").SerializeToString()


@pytest.fixture(scope="module")
def expected(network: keras.Model, digits: LabelledDigits) -> Predictions:
    """Keras' answers to the 400 digits."""
    found = network_outputs(network, digits.pixels)
    return Predictions(digits, softmax(found.logits, TEMPERATURE), sigmoid(found.novelty_logits))


def test_graph_agrees_with_keras_in_every_batch_size(graph: bytes, expected: Predictions) -> None:
    assert len(set(expected.digit)) > 3  # a network that always says the same would prove little
    assert np.ptp(expected.novelty) > 0.01
    report = check_model(graph, expected)
    assert report.runtime_difference < 1e-5
    assert report.reference_difference < 1e-5
    assert report.runtime_images == 400


@pytest.mark.filterwarnings("ignore:In the future `np.object`:FutureWarning")  # Keras probes for it before tf2onnx
def test_graph_agrees_with_tf2onnx(network: keras.Model, graph: bytes, digits: LabelledDigits, tmp_path: Path) -> None:
    path = tmp_path / "oracle.onnx"
    network.export(path, format="onnx", verbose=False)
    oracle = runtime_session(path.read_bytes())
    images = digits.pixels.reshape(-1, 28, 28, 1).astype(np.float32) / np.float32(255)
    (answers,) = oracle.run(None, {oracle.get_inputs()[0].name: images})
    logits = answers.mean(axis=1)[:, :CLASSES]
    (probabilities,) = runtime_session(graph).run(["probabilities"], {"pixels": digits.pixels})
    np.testing.assert_allclose(probabilities, softmax(logits, TEMPERATURE), atol=1e-5)


def test_every_value_has_a_shape_with_the_one_batch_dimension(graph: bytes) -> None:
    inferred = onnx.shape_inference.infer_shapes(onnx.load_from_string(graph), strict_mode=True).graph
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        first = value.type.tensor_type.shape.dim[0]
        assert first.dim_param == "batch", value.name


def test_graph_says_what_it_is(graph: bytes) -> None:
    model = onnx.load_from_string(graph)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", OPSET)]
    assert model.ir_version == IR_VERSION
    assert model.producer_name == "mnist-digits"
    assert {each.key: each.value for each in model.metadata_props} == {"version": "1"}


def test_a_wrong_prediction_stops_the_export(graph: bytes, expected: Predictions) -> None:
    hotter = dataclasses.replace(expected, probabilities=softmax(np.log(expected.probabilities), 1.001))
    with pytest.raises(ExportError, match="a probability differs from Keras'"):
        check_model(graph, hotter)
    with pytest.raises(ExportError, match="a novelty differs from Keras'"):
        check_model(graph, dataclasses.replace(expected, novelty=expected.novelty * np.float32(0.999)))


def test_an_invalid_graph_stops_the_export(graph: bytes, expected: Predictions) -> None:
    model = onnx.load_from_string(graph)
    model.graph.node[2].input[0] = "no_such_value"
    with pytest.raises(ExportError, match="not valid ONNX"):
        check_model(model.SerializeToString(), expected)


def test_exporting_writes_whole_versions_one_after_the_other(
    evaluated_run: FinishedRun, small_split: Split, tmp_path: Path
) -> None:
    for version in (1, 2):
        folder, _ = export_run(evaluated_run, small_split, tmp_path, "mnist")
        assert folder == tmp_path / "mnist" / str(version)
        metadata = json.loads((folder / "metadata.json").read_text())
        assert metadata["version"] == version
        assert (folder / "MODEL_CARD.md").read_text() == model_card(metadata)
        for name, checksum in metadata["files"].items():
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == checksum
    assert sorted(path.name for path in (tmp_path / "mnist").iterdir()) == ["1", "2", "config.pbtxt"]


def test_the_integer_form_is_a_model_of_its_own(evaluated_run: FinishedRun, small_split: Split, tmp_path: Path) -> None:
    whole, _ = export_run(evaluated_run, small_split, tmp_path, "mnist")
    folder, _ = export_int8_form(whole, small_split, [], tmp_path, "mnist-int8")
    metadata = json.loads((folder / "metadata.json").read_text())
    assert (metadata["name"], metadata["precision"]) == ("mnist-int8", "int8")
    model = onnx.load(folder / "model.onnx")
    properties = {each.key: each.value for each in model.metadata_props}
    assert properties["novelty_threshold"] == repr(metadata["novelty_threshold"])
    assert (model.ir_version, model.opset_import[0].version) == (IR_VERSION, OPSET)
    answers = onnx_predictions((folder / "model.onnx").read_bytes(), small_split.test)
    accuracy = float(np.mean(answers.digit == small_split.test.labels))
    assert metadata["metrics"]["mnist_test"]["accuracy"] == pytest.approx(accuracy)
    assert metadata["training"] == json.loads((whole / "metadata.json").read_text())["training"]  # so that it is found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cascade": {}}, "is a cascade"),
        ({"precision": "int8"}, "is an int8 form"),
        ({"adaptation": {}}, "is adapted to own digits"),
        ({"training": None}, "does not say how it was trained"),
        ({"training": {"split": "rows"}}, "does not say how it was trained"),
        ({"name": "../escaped"}, "is none of a folder"),
    ],
)
def test_what_can_have_no_integer_form_is_refused_before_data_is_had(
    evaluated_run: FinishedRun, small_split: Split, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    folder, _ = export_run(evaluated_run, small_split, tmp_path, "mnist")
    metadata = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps(metadata | changes))
    with pytest.raises(ExportError, match=message):
        write_int8_form(Places(cache_folder=str(tmp_path / "none"), mnist_folder=str(tmp_path / "none")), folder)
    assert [path.name for path in tmp_path.iterdir()] == ["mnist"]


def test_reference_of_drift_is_written_with_both_forms_of_a_version(
    evaluated_run: FinishedRun, small_split: Split, tmp_path: Path
) -> None:
    digits = small_split.validation.pixels
    known = Populations({"MNIST": digits}, {"small": digits.reshape(-1, SIDE, SIDE)})
    whole, _ = export_run(evaluated_run, small_split, tmp_path, "mnist", known)
    integers, _ = export_int8_form(whole, small_split, [], tmp_path, "mnist-int8", known)
    for folder in (whole, integers):
        metadata = json.loads((folder / "metadata.json").read_text())
        content = (folder / FILE).read_bytes()
        assert hashlib.sha256(content).hexdigest() == metadata["files"][FILE]
        assert (folder / "MODEL_CARD.md").read_text() == model_card(metadata)
        histograms = json.loads(content)["features"]
        assert sum(histograms["digit"]["populations"]["MNIST"]) == len(digits)
        assert sum(histograms["polarity"]["populations"]["small"]) == len(digits)
    write_reference(folder, known)  # what the command of its own writes is the same
    assert (folder / FILE).read_bytes() == content
    assert json.loads((folder / "metadata.json").read_text()) == metadata


def test_golden_predictions_are_those_of_keras(digits: LabelledDigits, expected: Predictions) -> None:
    with np.load(io.BytesIO(golden_file(expected))) as golden:
        np.testing.assert_array_equal(golden["pixels"], digits.pixels)
        np.testing.assert_array_equal(golden["probabilities"], expected.probabilities)
        np.testing.assert_array_equal(golden["digit"], expected.digit)
        np.testing.assert_array_equal(golden["novelty"], expected.novelty)
        assert {name: golden[name].dtype.name for name in golden} == {
            "pixels": "uint8",
            "digit": "int64",
            "probabilities": "float32",
            "novelty": "float32",
        }
