"""The model versions in the repository: whole, as described, and as good as their metadata says."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.support.tiny_training import REPOSITORY
from training.config import FORMER_SETTINGS
from training.data.arrays import LabelledDigits
from training.data.mnist import CHECKSUMS, Mnist
from training.data.samples import digits_file
from training.data.split import Split, split_mnist
from training.evaluation.metrics import KNOWN_WRONG_TEST_LABELS
from training.export.checks import runtime_session
from training.export.metadata import SIGNATURE
from training.export.onnx_graph import IR_VERSION, OPSET

VERSIONS = sorted(path.parent for path in (REPOSITORY / "models").glob("*/*/metadata.json"))
MOST_MULTIPLY_ADDS = {
    "mnist": 4_000_000,
    "mnist-int8": 4_000_000,
    "mnist-accurate": 50_000_000,
    "mnist-cascade": 8_000_000,
    "mnist-cascade-int8": 8_000_000,
}
LEAST_ACCURACY = {
    "mnist": 0.9955,
    "mnist-int8": 0.995,
    "mnist-accurate": 0.9962,
    "mnist-cascade": 0.9962,
    "mnist-cascade-int8": 0.9962,
}
# Of a probability of a golden answer: float32 sums and 8-bit roundings differ between processors.
TOLERANCE = {"float32": 1e-5, "int8": 0.03}
NAMES = ["probabilities", "digit", "novelty"]


@pytest.fixture(scope="module", params=VERSIONS, ids=lambda path: f"{path.parent.name}/{path.name}")
def version(request: pytest.FixtureRequest) -> Path:
    """The folder of each committed version."""
    folder: Path = request.param
    return folder


@pytest.fixture(scope="module")
def metadata(version: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((version / "metadata.json").read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="module")
def session(version: Path) -> onnxruntime.InferenceSession:
    return runtime_session((version / "model.onnx").read_bytes())


def test_every_model_has_one_committed_version() -> None:
    assert [path.parent.name for path in VERSIONS] == sorted(MOST_MULTIPLY_ADDS)


def test_all_of_them_together_are_small() -> None:
    assert sum(path.stat().st_size for path in (REPOSITORY / "models").rglob("*") if path.is_file()) < 24_000_000


def test_files_are_those_the_metadata_names(version: Path, metadata: dict[str, Any]) -> None:
    assert sorted(metadata["files"]) == ["drift.json", "golden.npz", "model.onnx"]
    for name, checksum in metadata["files"].items():
        assert hashlib.sha256((version / name).read_bytes()).hexdigest() == checksum


def test_it_comes_from_a_known_revision_and_the_real_data(metadata: dict[str, Any]) -> None:
    assert metadata["git"]["dirty"] is False
    assert metadata["git"]["revision"] != "0" * 40
    assert metadata["data"].items() >= CHECKSUMS.items()


def test_it_keeps_the_promises_of_its_size(version: Path, metadata: dict[str, Any]) -> None:
    name = version.parent.name
    assert metadata["name"] == name
    assert metadata["multiply_adds"] <= MOST_MULTIPLY_ADDS[name]
    assert metadata["metrics"]["mnist_test"]["accuracy"] >= LEAST_ACCURACY[name]
    assert metadata["metrics"]["mnist_test"]["refused"] <= 0.005


@pytest.mark.parametrize("name", ["mnist-cascade", "mnist-cascade-int8"])
def test_stages_of_a_cascade_are_versions_of_this_repository(name: str) -> None:
    (version,) = (path for path in VERSIONS if path.parent.name == name)
    cascade = json.loads((version / "metadata.json").read_text(encoding="utf-8"))["cascade"]
    for stage in (cascade["fast"], cascade["second"]):
        graph = REPOSITORY / "models" / stage["name"] / str(stage["version"]) / "model.onnx"
        assert hashlib.sha256(graph.read_bytes()).hexdigest() == stage["sha256"]


def test_golden_predictions_are_reproduced(
    version: Path, metadata: dict[str, Any], session: onnxruntime.InferenceSession
) -> None:
    tolerance = TOLERANCE[metadata["precision"]]
    with np.load(version / "golden.npz", allow_pickle=False) as golden:
        probabilities, digit, novelty = session.run(NAMES, {"pixels": golden["pixels"]})
        assert len(golden["pixels"]) == 256
        np.testing.assert_allclose(probabilities, golden["probabilities"], atol=tolerance)
        np.testing.assert_array_equal(digit, golden["digit"])
        np.testing.assert_allclose(novelty, golden["novelty"], atol=tolerance)


def test_the_graph_has_the_signature_and_nothing_left_over(version: Path, metadata: dict[str, Any]) -> None:
    model = onnx.load(version / "model.onnx")
    assert [(each.domain, each.version) for each in model.opset_import] == [("", OPSET)]
    assert model.ir_version == IR_VERSION
    assert metadata["signature"] == SIGNATURE
    for declared, tensors in ((SIGNATURE["inputs"], model.graph.input), (SIGNATURE["outputs"], model.graph.output)):
        for tensor, value in zip(declared, tensors, strict=True):
            dimensions = [each.dim_param or each.dim_value for each in value.type.tensor_type.shape.dim]
            dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
            assert (value.name, dtype, dimensions) == (tensor["name"], tensor["dtype"], tensor["shape"])
    graphs = [model.graph, *(each.g for node in model.graph.node for each in node.attribute if each.HasField("g"))]
    nodes = [node for graph in graphs for node in graph.node]
    operators = {node.op_type for node in nodes}
    allowed = {"Cast", "Reshape", "Conv", "Relu", "MaxPool", "Concat", "Gemm", "Div", "Softmax", "ArgMax", "Sigmoid"}
    if metadata["precision"] == "int8":
        allowed |= {"Mul", "QuantizeLinear", "DequantizeLinear"}
    if "cascade" in metadata:
        allowed |= {"If", "Identity", "ReduceMax", "ReduceSum", "Less", "NonZero", "Gather", "ScatterND", "Pow"}
    assert operators <= allowed
    names = [node.name for node in nodes]
    assert len(set(names)) == len(names)


def test_the_graph_carries_what_the_metadata_says(version: Path, metadata: dict[str, Any]) -> None:
    properties = {each.key: each.value for each in onnx.load(version / "model.onnx").metadata_props}
    own = metadata if "temperature" in metadata else metadata["cascade"]
    kind = "temperature" if "temperature" in metadata else "unsure_below"
    assert properties == {
        "version": str(metadata["version"]),
        kind: repr(own[kind]),
        "novelty_threshold": repr(metadata["novelty_threshold"]),
        "git_revision": metadata["git"]["revision"],
    }


def test_it_reads_the_committed_digits(session: onnxruntime.InferenceSession, digits: LabelledDigits) -> None:
    (digit,) = session.run(["digit"], {"pixels": digits.pixels})
    assert np.mean(digit == digits.labels) >= 0.99


def test_its_test_accuracy_is_what_the_metadata_says(
    session: onnxruntime.InferenceSession, metadata: dict[str, Any], mnist: Mnist
) -> None:
    (digit,) = session.run(["digit"], {"pixels": mnist.test.pixels})
    right = digit == mnist.test.labels
    figures = metadata["metrics"]["mnist_test"]
    assert np.mean(right) == pytest.approx(figures["accuracy"], abs=1e-9)
    trusted = np.delete(right, KNOWN_WRONG_TEST_LABELS)
    assert np.mean(trusted) == pytest.approx(figures["accuracy_without_known_wrong_labels"], abs=1e-9)


def test_its_threshold_refuses_no_more_validation_digits_than_promised(
    session: onnxruntime.InferenceSession, metadata: dict[str, Any], mnist: Mnist
) -> None:
    settings = metadata["training"]
    validation = _split(metadata, mnist).validation
    (novelty,) = session.run(["novelty"], {"pixels": validation.pixels})
    # One image may stand exactly at the threshold, where another rounding decides.
    allowed = settings["largest_refused_share"] * len(validation) + 1
    assert np.sum(novelty > metadata["novelty_threshold"]) <= allowed


def test_committed_digits_come_from_rows_it_was_not_trained_on(metadata: dict[str, Any], mnist: Mnist) -> None:
    content = digits_file(_split(metadata, mnist).validation)
    assert content == (REPOSITORY / "tests" / "data" / "digits.npz").read_bytes()


def _split(metadata: dict[str, Any], mnist: Mnist) -> Split:
    settings = {**FORMER_SETTINGS, **metadata["training"]}
    return split_mnist(
        mnist, *(settings[name] for name in ("train_images", "validation_images", "split_seed", "split"))
    )
