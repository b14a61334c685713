from collections.abc import Callable, Iterator

import onnx
import pytest
from onnx import TensorProto, helper

from serving.errors import ModelRejectedError
from serving.models.checks import check_is_whole
from tests.support.processes import ROOT
from tests.support.tiny_model import tiny_graph


def in_another_file(name: str = "elsewhere") -> onnx.TensorProto:
    """A constant whose elements are in a file of the working directory."""
    tensor = helper.make_tensor(name, TensorProto.FLOAT, [10], bytes(40), raw=True)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    return tensor


def sparse(values: onnx.TensorProto, indices: onnx.TensorProto | None = None) -> onnx.SparseTensorProto:
    return helper.make_sparse_tensor(
        values, indices or helper.make_tensor("indices", TensorProto.INT64, [10], list(range(10))), [100]
    )


def subgraph(tensor: onnx.TensorProto) -> onnx.GraphProto:
    return helper.make_graph([], "inner", [], [], [tensor])


def with_attribute(value: object) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["more"], value=value)


def models_with(tensor: Callable[[], onnx.TensorProto]) -> Iterator[tuple[str, onnx.ModelProto]]:
    """The tiny model with a tensor at each place where a model may have one."""

    def whole() -> onnx.ModelProto:
        return onnx.load_from_string(tiny_graph())

    model = whole()
    model.graph.initializer.append(tensor())
    yield "initializer", model
    model = whole()
    model.graph.sparse_initializer.append(sparse(tensor()))
    yield "sparse initializer", model
    model = whole()
    model.graph.sparse_initializer.append(sparse(helper.make_tensor("v", 1, [10], [1.0] * 10), tensor()))
    yield "indices of a sparse initializer", model
    attributes = {
        "attribute": tensor(),
        "attribute of several": [tensor(), tensor()],
        "sparse attribute": sparse(tensor()),
        "subgraph": subgraph(tensor()),
        "several subgraphs": [subgraph(tensor())],
        "subgraph in a subgraph": helper.make_graph([with_attribute(subgraph(tensor()))], "outer", [], []),
    }
    for place, value in attributes.items():
        model = whole()
        model.graph.node.append(with_attribute(value))
        yield place, model
        model = whole()
        node = with_attribute(value)
        model.functions.append(helper.make_function("ours", "F", [], ["more"], [node], [helper.make_opsetid("", 17)]))
        yield f"{place} in a function", model
    model = whole()
    model.functions.append(helper.make_function("ours", "F", [], [], [], [], [], [node.attribute[0]]))
    yield "default of a function", model
    model = whole()
    model.training_info.add().initialization.initializer.append(tensor())
    yield "training", model


PLACES = [pytest.param(model.SerializeToString(), id=place) for place, model in models_with(in_another_file)]


@pytest.mark.parametrize("graph", PLACES)
def test_a_graph_with_a_tensor_in_another_file_is_refused_wherever_that_stands(graph: bytes) -> None:
    with pytest.raises(ModelRejectedError, match="in another file") as raised:
        check_is_whole(graph)
    assert raised.value.check == "graph"


def test_every_place_of_a_tensor_in_onnx_is_looked_at() -> None:
    """ONNX's own description, so that a release with one more place fails here."""
    found, waiting = set(), [onnx.ModelProto.DESCRIPTOR]
    seen = set()
    while waiting:
        message = waiting.pop()
        for field in message.fields:
            if field.message_type and field.message_type.name in ("TensorProto", "SparseTensorProto"):
                found.add((message.name, field.name))
            if field.message_type and field.message_type.full_name not in seen:
                seen.add(field.message_type.full_name)
                waiting.append(field.message_type)
    assert found == {
        ("GraphProto", "initializer"),
        ("GraphProto", "sparse_initializer"),
        ("AttributeProto", "t"),
        ("AttributeProto", "tensors"),
        ("AttributeProto", "sparse_tensor"),
        ("AttributeProto", "sparse_tensors"),
        ("SparseTensorProto", "values"),
        ("SparseTensorProto", "indices"),
    }


def test_graphs_with_all_their_weights_inside_are_whole() -> None:
    for _, model in models_with(lambda: helper.make_tensor("inside", TensorProto.FLOAT, [10], [1.0] * 10)):
        check_is_whole(model.SerializeToString())
    for path in (ROOT / "models").glob("*/*/model.onnx"):
        check_is_whole(path.read_bytes())
