"""The layers of a network, read from its ONNX file, and the same graph with what each layer makes as further outputs.

1. A layer is a Conv, a MaxPool or a Gemm; a Relu behind it is its activation. Other nodes only pass values on.
2. What is read of a layer is all there is to it: one with another setting (dilation, groups, automatic padding) is not
   told of wrongly, but refuses the whole graph.
3. The graph that explains is the bytes of the graph that serves, and the names of more outputs behind them: protobuf
   joins the two. The weights are the same because they are the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from protos.mnist import onnx_graph_pb2 as onnx
from serving.errors import NotExplainableError

Floats = npt.NDArray[np.float32]
Kind = Literal["convolution", "max_pooling", "dense"]
FLOAT32 = 1  # TensorProto.DataType
_KINDS: dict[str, Kind] = {"Conv": "convolution", "MaxPool": "max_pooling", "Gemm": "dense"}
_PASSED_ON = {"Cast", "Reshape", "Flatten", "Concat"}
_ONLY_KNOWN = {
    "Conv": {"kernel_shape", "pads", "strides"},
    "MaxPool": {"kernel_shape", "pads", "strides"},
    "Gemm": set(),
}


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer. `inputs`: names of the layers before it, none for the pixels."""

    name: str
    kind: Kind
    inputs: tuple[str, ...]
    before_activation: str  # the value's name in the graph, the empty one without activation
    output: str
    kernel_size: tuple[int, ...] = ()  # height, width
    strides: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()  # top, left, bottom, right
    kernel: Floats | None = None  # of a convolution: (filters, channels, height, width)
    bias: Floats | None = None  # of a convolution: (filters,)


def read_layers(model: bytes) -> list[Layer]:
    """The layers of a serialised ONNX model whose answer comes from the Gemm `logits`, up to that one, in their order.

    Raises NotExplainableError for a graph that is not made of such layers, on float32.
    """
    try:
        graph = onnx.Model.FromString(model).graph
        return _Reader(graph).layers()
    except (DecodeError, ValueError, LookupError) as error:
        raise NotExplainableError(f"the graph is not made of layers that can be shown: {error}") from error


def with_outputs(model: bytes, names: Sequence[str]) -> bytes:
    """The same model with these float32 values as outputs behind those that it has."""
    tensor = onnx.Type(tensor_type=onnx.TensorType(elem_type=FLOAT32))
    more = onnx.Model(graph=onnx.Graph(output=[onnx.Value(name=name, type=tensor) for name in names]))
    return model + more.SerializeToString()


class _Reader:
    """One graph, looked at from every side that is needed."""

    def __init__(self, graph: onnx.Graph) -> None:
        self._graph = graph
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._activations = {node.input[0]: node.output[0] for node in graph.node if node.op_type == "Relu"}
        self._layer_behind: dict[str, tuple[str, ...]] = {"pixels": ()}  # by value: whose output it is

    def layers(self) -> list[Layer]:
        found = []
        for node in self._graph.node:
            if node.op_type in _PASSED_ON:
                inputs = [name for name in node.input if name not in self._constants]
                self._layer_behind[node.output[0]] = sum((self._layer_behind[name] for name in inputs), ())
            elif node.op_type in _KINDS:
                found.append(self._layer(node))
                if found[-1].name == "logits":
                    return found
            elif node.op_type != "Relu":
                raise ValueError(f"it has a {node.op_type} before the logits")
        raise ValueError("it has no logits")

    def _layer(self, node: onnx.Node) -> Layer:
        settings = {attribute.name: tuple(attribute.ints) for attribute in node.attribute}
        if strange := settings.keys() - _ONLY_KNOWN[node.op_type]:
            raise ValueError(f"{node.output[0]} has {', '.join(sorted(strange))}")
        name, behind = node.output[0], self._layer_behind[node.input[0]]
        output = self._activations.get(name, name)
        self._layer_behind[name] = self._layer_behind[output] = (name,)
        before = name if output != name else ""
        kind, kernel, bias = _KINDS[node.op_type], None, None
        if kind == "dense":
            return Layer(name, kind, behind, before, output)
        size = settings["kernel_shape"]
        if kind == "convolution":
            kernel, bias = self._constant(node.input[1], 4), self._constant(node.input[2], 1)
            if kernel.shape[2:] != size or len(bias) != len(kernel):
                raise ValueError(f"{name} has a kernel of another shape than it says")
        strides, padding = settings.get("strides", (1, 1)), settings.get("pads", (0, 0, 0, 0))
        return Layer(name, kind, behind, before, output, size, strides, padding, kernel, bias)

    def _constant(self, name: str, dimensions: int) -> Floats:
        tensor = self._constants[name]
        if tensor.data_type != FLOAT32 or len(tensor.dims) != dimensions:
            raise ValueError(f"{name} is no float32 tensor of {dimensions} dimensions")
        return np.frombuffer(tensor.raw_data, "<f4").reshape(tuple(tensor.dims))
