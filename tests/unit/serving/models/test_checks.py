import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from serving.errors import ModelRejectedError
from serving.models.checks import check_golden_answers, check_is_whole
from serving.models.onnx_session import OnnxSession
from tests.support.processes import ROOT
from tests.support.tiny_model import tiny_graph, write_tiny_version

MIB = 2**20


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


def npy(header: str) -> bytes:
    """An array that has no elements, whatever its header says."""
    text = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text


def header(shape: str, dtype: str = "|u1") -> str:
    return f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"


def archive(golden: bytes, pixels: bytes = b"", unpacked: int = 0) -> bytes:
    """golden.npz with other content of pixels.npy, followed by so many zeros."""
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(golden)) as old, zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            if entry.filename != "pixels.npy":
                new.writestr(entry, old.read(entry))
        with new.open("pixels.npy", "w") as file:
            file.write(pixels)
            for _ in range(unpacked // MIB):
                file.write(bytes(MIB))
    return content.getvalue()


def inflating(golden: bytes) -> bytes:
    return archive(golden, npy(header(f"({200 * MIB // 784}, 784)")), 200 * MIB)


def inflating_beyond_the_size_that_it_names(golden: bytes) -> bytes:
    content = bytearray(archive(golden, npy(header("(10, 784)")), 200 * MIB))
    at = content.rindex(b"pixels.npy") - 46  # the entry in the central directory; the size is 24 bytes after its start
    struct.pack_into("<I", content, at + 24, 7968)
    return bytes(content)


def of_a_shape_without_its_elements(golden: bytes) -> bytes:
    return archive(golden, npy(header(f"({2**40}, 784)")))


def of_negative_shape(golden: bytes) -> bytes:
    return archive(golden, npy(header("(-1, 784)")))


def of_objects(golden: bytes) -> bytes:
    return archive(golden, npy(header("(10, 784)", "|O")))


def with_a_header_that_is_no_text(golden: bytes) -> bytes:
    return archive(golden, b"\x93NUMPY\x01\0\xff\xff" + bytes(2**16))


def with_a_nested_header(golden: bytes) -> bytes:
    return archive(golden, npy("(" * 9000))


def with_many_arrays(golden: bytes) -> bytes:
    content = io.BytesIO(golden)
    with zipfile.ZipFile(content, "a") as new:
        for number in range(20_000):
            new.writestr(str(number), b"")
    return content.getvalue()


def that_lacks_one(golden: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(golden)) as old, zipfile.ZipFile(content, "w") as new:
        new.writestr("digit.npy", old.read("digit.npy"))
    return content.getvalue()


GOLDEN = [
    inflating,
    inflating_beyond_the_size_that_it_names,
    of_a_shape_without_its_elements,
    of_negative_shape,
    of_objects,
    with_a_header_that_is_no_text,
    with_a_nested_header,
    with_many_arrays,
    that_lacks_one,
]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("spoil", GOLDEN)
def test_golden_answers_that_are_no_such_arrays_are_refused_in_little_memory(
    spoil: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    content = spoil((write_tiny_version(tmp_path) / "golden.npz").read_bytes())
    session = OnnxSession(tiny_graph(), "cpu", threads=1)
    tracemalloc.start()
    try:
        with pytest.raises(ModelRejectedError, match=r"golden\.npz cannot be read") as raised:
            check_golden_answers(session, content, 1e-3, 8)
        assert tracemalloc.get_traced_memory()[1] < 20 * MIB
    finally:
        tracemalloc.stop()
    assert raised.value.check == "golden"


@pytest.mark.parametrize("order", ["C", "F"])
def test_golden_answers_may_be_of_either_order_and_packed_or_not(order: str, tmp_path: Path) -> None:
    golden = dict(np.load(write_tiny_version(tmp_path) / "golden.npz"))
    arrays = {name: np.asarray(array, order="F" if order == "F" else "C") for name, array in golden.items()}
    session = OnnxSession(tiny_graph(), "cpu", threads=1)
    for save in (np.savez, np.savez_compressed):
        content = io.BytesIO()
        save(content, allow_pickle=False, **arrays)
        check_golden_answers(session, content.getvalue(), 1e-3, 8)
