"""The exported graph against Keras and against the graph that tf2onnx makes of the same network."""

import hashlib
import io
import json
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest

from tests.integration.training.conftest import TINY
from training.arrays import Floats, LabelledDigits
from training.calibration import softmax
from training.errors import ExportError
from training.evaluation import judge
from training.export import FinishedRun, export_run, golden_file
from training.export_checks import check_model, runtime_session
from training.folded_network import fold
from training.git_state import GitState
from training.mnist_files import Mnist
from training.model_card import model_card
from training.onnx_graph import IR_VERSION, OPSET, onnx_model
from training.run_folder import RunFolder, RunRecord
from training.trainer import network_logits
from training.training_state import network_from_weights, network_weights

TEMPERATURE = 1.3


@pytest.fixture(scope="module")
def network(finished_run: RunFolder) -> keras.Model:
    """The trained tiny network, its normalization made far from the identity, so that a wrong fold shows."""
    weights = finished_run.read_weights()
    generator = np.random.default_rng(0)
    for name, value in weights.items():
        if "normalization" in name:
            weights[name] = (value + generator.uniform(0.1, 0.5, value.shape)).astype(np.float32)
    return network_from_weights(TINY, weights)


@pytest.fixture(scope="module")
def graph(network: keras.Model) -> bytes:
    """The exported network, serialized."""
    return onnx_model(fold(network_weights(network)), TEMPERATURE, {"version": "1"}, 1, "text").SerializeToString()


@pytest.fixture(scope="module")
def expected(network: keras.Model, digits: LabelledDigits) -> Floats:
    """Keras' calibrated probabilities for the 400 digits."""
    return softmax(network_logits(network, digits.pixels), TEMPERATURE)


def test_graph_agrees_with_keras_in_every_batch_size(graph: bytes, digits: LabelledDigits, expected: Floats) -> None:
    assert len(set(np.argmax(expected, axis=1))) > 3  # a network that always says the same would prove little
    report = check_model(graph, digits.pixels, expected)
    assert report.runtime_difference < 1e-5
    assert report.reference_difference < 1e-5
    assert report.runtime_images == 400


@pytest.mark.filterwarnings("ignore:In the future `np.object`:FutureWarning")  # Keras probes for it before tf2onnx
def test_graph_agrees_with_tf2onnx(network: keras.Model, graph: bytes, digits: LabelledDigits, tmp_path: Path) -> None:
    path = tmp_path / "oracle.onnx"
    network.export(path, format="onnx", verbose=False)
    oracle = runtime_session(path.read_bytes())
    images = digits.pixels.reshape(-1, 28, 28, 1).astype(np.float32) / np.float32(255)
    (logits,) = oracle.run(None, {oracle.get_inputs()[0].name: images})
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


def test_a_wrong_answer_stops_the_export(graph: bytes, digits: LabelledDigits, expected: Floats) -> None:
    with pytest.raises(ExportError, match="a probability differs from Keras'"):
        check_model(graph, digits.pixels, softmax(np.log(expected), 1.001))


def test_an_invalid_graph_stops_the_export(graph: bytes, digits: LabelledDigits, expected: Floats) -> None:
    model = onnx.load_from_string(graph)
    model.graph.node[2].input[0] = "no_such_value"
    with pytest.raises(ExportError, match="not valid ONNX"):
        check_model(model.SerializeToString(), digits.pixels, expected)


def test_exporting_writes_whole_versions_one_after_the_other(
    finished_run: RunFolder, small_mnist: Mnist, tmp_path: Path
) -> None:
    weights = finished_run.read_weights()
    evaluation = judge(TINY, weights, small_mnist).evaluation
    record = RunRecord(TINY, GitState("a" * 40, dirty=False), {"keras": "3"}, "a processor", "today")
    run = FinishedRun(record, weights, evaluation, seconds=1.5)
    for version in (1, 2):
        folder, _ = export_run(run, small_mnist, tmp_path)
        assert folder == tmp_path / "mnist" / str(version)
        metadata = json.loads((folder / "metadata.json").read_text())
        assert metadata["version"] == version
        assert (folder / "MODEL_CARD.md").read_text() == model_card(metadata)
        for name, checksum in metadata["files"].items():
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == checksum
    assert sorted(path.name for path in (tmp_path / "mnist").iterdir()) == ["1", "2", "config.pbtxt"]


def test_golden_answers_are_those_of_keras(digits: LabelledDigits, expected: Floats) -> None:
    with np.load(io.BytesIO(golden_file(digits, expected))) as golden:
        np.testing.assert_array_equal(golden["pixels"], digits.pixels)
        np.testing.assert_array_equal(golden["probabilities"], expected)
        np.testing.assert_array_equal(golden["digit"], np.argmax(expected, axis=1))
        np.testing.assert_allclose(golden["novelty"], 1 - expected.max(axis=1), atol=1e-7)
        assert {name: golden[name].dtype.name for name in golden} == {
            "pixels": "uint8",
            "digit": "int64",
            "probabilities": "float32",
            "novelty": "float32",
        }
