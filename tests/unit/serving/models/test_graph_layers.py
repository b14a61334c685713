"""Layers are read where all of them are known; a graph with anything else is refused."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper

from serving.errors import NotExplainableError
from serving.models.checks import check_explaining_graph
from serving.models.graph_layers import UNSURE, read_layers, second_stage, values_of, with_outputs
from serving.models.onnx_session import ExplainingSession, OnnxSession
from tests.support.committed_models import committed
from tests.support.processes import ROOT

GRAPH = (committed("mnist") / "model.onnx").read_bytes()
CASCADE = (committed("mnist-cascade") / "model.onnx").read_bytes()
SECOND = (committed("mnist-accurate") / "model.onnx").read_bytes()


def changed(change: Callable[[onnx.GraphProto], object]) -> bytes:
    """The committed graph after a change."""
    model = onnx.load_from_string(GRAPH)
    change(model.graph)
    return model.SerializeToString()


def node(graph: onnx.GraphProto, name: str) -> onnx.NodeProto:
    return next(each for each in graph.node if each.name == name)


def constant(graph: onnx.GraphProto, name: str) -> onnx.TensorProto:
    return next(each for each in graph.initializer if each.name == name)


def test_layers_are_read_in_order_with_all_their_numbers() -> None:
    layers = read_layers(GRAPH)
    assert [layer.kind for layer in layers] == ["convolution", "max_pooling"] * 3 + ["dense"] * 2
    assert [layer.inputs for layer in layers[:3]] == [(), ("convolution_1",), ("pooling_1",)]
    first, second = layers[0], layers[2]
    assert (first.kernel_size, first.strides, first.padding) == ((5, 5), (1, 1), (0, 0, 0, 0))
    assert (second.kernel_size, second.padding) == ((3, 3), (1, 1, 1, 1))
    kernel = onnx.numpy_helper.to_array(constant(onnx.load_from_string(GRAPH).graph, "convolution_2_kernel"))
    assert second.kernel is not None
    assert np.array_equal(second.kernel, kernel)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            lambda graph: node(graph, "convolution_2").attribute.append(helper.make_attribute("dilations", [2, 2])),
            "dil",
        ),
        (lambda graph: node(graph, "convolution_2").attribute.append(helper.make_attribute("group", 2)), "group"),
        (lambda graph: node(graph, "pooling_1").attribute.append(helper.make_attribute("ceil_mode", 1)), "ceil_mode"),
        (lambda graph: node(graph, "hidden_relu").__setattr__("op_type", "Sigmoid"), "Sigmoid"),
        (lambda graph: node(graph, "convolution_1").input.pop(), "index"),
        (lambda graph: node(graph, "logits").output.__setitem__(0, "other"), "KeyError|no logits|'logits'|Div"),
        (lambda graph: constant(graph, "convolution_1_kernel").__setattr__("data_type", 10), "no float32"),
        (lambda graph: constant(graph, "convolution_1_kernel").__setattr__("raw_data", b"123"), "buffer"),
        (lambda graph: constant(graph, "convolution_1_bias").dims.__setitem__(0, 15), "reshape"),
    ],
)
def test_another_setting_or_node_or_a_garbled_constant_refuses_the_graph(
    change: Callable[[onnx.GraphProto], object], why: str
) -> None:
    with pytest.raises(NotExplainableError, match=why):
        read_layers(changed(change))


@pytest.mark.parametrize("content", [b"", b"no model", GRAPH[: len(GRAPH) // 2]])
def test_what_is_no_graph_is_refused(content: bytes) -> None:
    with pytest.raises(NotExplainableError):
        read_layers(content)


def test_layers_of_a_cascade_are_those_of_its_fast_stage() -> None:
    layers, names = read_layers(CASCADE), [layer.name for layer in read_layers(GRAPH)]
    assert [layer.name for layer in layers] == [f"fast_{name}" for name in names]
    assert [layer.inputs for layer in layers[:2]] == [(), ("fast_convolution_1",)]
    assert set(values_of(layers)) == {f"fast_{name}" for name in values_of(read_layers(GRAPH))} | {UNSURE}


def test_a_cascade_says_which_images_its_second_stage_answers() -> None:
    pixels = np.load(ROOT / "tests/data/digits.npz")["pixels"]
    values = values_of(read_layers(CASCADE))
    found, shown = ExplainingSession(with_outputs(CASCADE, values), values).run(pixels)
    fast = OnnxSession(GRAPH, "cpu", 1).run(pixels)
    unsure = shown[UNSURE] == 1
    assert 0 < unsure.sum() < len(pixels) / 10
    assert np.allclose(found.probabilities[~unsure], fast.probabilities[~unsure], rtol=0, atol=1e-5)
    second = OnnxSession(SECOND, "cpu", 1).run(pixels)
    assert np.allclose(found.probabilities[unsure], second.probabilities[unsure], rtol=0, atol=1e-5)


def test_the_second_stage_of_a_cascade_is_a_graph_with_the_layers_and_the_answers_of_its_version() -> None:
    stage = second_stage(CASCADE)
    layers, own = read_layers(stage), read_layers(SECOND)
    assert [layer.name for layer in layers] == [f"second_{layer.name}" for layer in own]
    for layer, other in zip(layers, own, strict=True):
        assert (layer.kernel is None) == (other.kernel is None)
        if layer.kernel is not None and other.kernel is not None:
            assert np.array_equal(layer.kernel, other.kernel)
    pixels = np.load(ROOT / "tests/data/digits.npz")["pixels"][:50]
    values = values_of(layers)
    assert UNSURE not in values
    found, _ = ExplainingSession(with_outputs(stage, values), values).run(pixels)
    wanted = OnnxSession(SECOND, "cpu", 1).run(pixels)
    np.testing.assert_allclose(found.probabilities, wanted.probabilities, rtol=0, atol=1e-5)
    assert np.array_equal(found.digits, wanted.digits)


def test_what_is_no_cascade_has_no_second_stage() -> None:
    for content in (GRAPH, b"no graph"):
        with pytest.raises(NotExplainableError, match="no second stage"):
            second_stage(content)


def test_a_second_stage_that_answers_otherwise_explains_nothing() -> None:
    values = values_of(read_layers(CASCADE))
    whole = ExplainingSession(with_outputs(CASCADE, values), values)
    served = OnnxSession(CASCADE, "cpu", 1)
    check_explaining_graph(whole, served, ExplainingSession(second_stage(CASCADE), []))
    with pytest.raises(NotExplainableError, match="other answers"):
        check_explaining_graph(whole, served, ExplainingSession(GRAPH, []))


def test_the_graph_that_explains_is_the_other_with_more_outputs() -> None:
    graph = with_outputs(GRAPH, ["convolution_1", "hidden_relu"])
    pixels = np.zeros((2, 784), np.uint8)
    _, values = ExplainingSession(graph, ["convolution_1", "hidden_relu"]).run(pixels)
    assert values["convolution_1"].shape == (2, 16, 24, 24)
    assert values["hidden_relu"].shape == (2, 128)


def test_one_that_answers_otherwise_explains_nothing() -> None:
    model = OnnxSession(GRAPH, "cpu", 1)
    check_explaining_graph(ExplainingSession(with_outputs(GRAPH, ["hidden"]), ["hidden"]), model)
    other = changed(lambda graph: constant(graph, "temperature").__setattr__("raw_data", np.float32(2).tobytes()))
    with pytest.raises(NotExplainableError, match="other answers"):
        check_explaining_graph(ExplainingSession(with_outputs(other, ["hidden"]), ["hidden"]), model)
