"""Layers of a network, read from its ONNX graph, and the same graph with the layers' values as additional outputs.

1. A layer is a Conv, a MaxPool or a Gemm; a Relu after it is its activation. Other nodes only pass values on.
2. A layer is described completely or not at all: an attribute that is not read here (dilation, groups, automatic
   padding) makes the whole graph unexplainable, so that no explanation can be wrong.
3. The explaining graph is the bytes of the serving graph, followed by a message that names more outputs: protobuf
   merges concatenated messages. The weights are the same because they are the same bytes (decision 0035).
4. Of a cascade (decision 0047) the layers are those of its fast stage; `unsure` says for which images its second one
   answers. That stands in a branch of the graph, whose values cannot be outputs: second_stage() makes it a graph.
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
FAST, SECOND = "fast_", "second_"  # before the names of a cascade's stages
_LOGITS = ("logits", f"{FAST}logits", f"{SECOND}logits")
UNSURE = "unsure"  # value of a cascade, (n,) float32: 1 where its second stage answers, else 0
_PASS_THROUGH = {"Cast", "Reshape", "Flatten", "Concat"}
_KNOWN_ATTRIBUTES = {
    "Conv": {"kernel_shape", "pads", "strides"},
    "MaxPool": {"kernel_shape", "pads", "strides"},
    "Gemm": set(),  # with alpha, beta or transB it would compute something else than x W + b
}


@dataclass(frozen=True, slots=True)
class Layer:
    """Layer of the network. Names are those of values in the graph."""

    name: str
    kind: Kind
    inputs: tuple[str, ...]  # names of the layers before it; empty: the pixels
    before_activation: str  # empty where the layer has no activation
    output: str  # after the activation, if there is one
    kernel_size: tuple[int, ...] = ()  # height, width
    strides: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()  # top, left, bottom, right: the order of ONNX' pads
    kernel: Floats | None = None  # of a convolution: (filters, channels, height, width)
    bias: Floats | None = None  # of a convolution: (filters,)


def read_layers(model: bytes) -> list[Layer]:
    """Returns the layers of a serialised ONNX model in the graph's order, up to the Gemm of _LOGITS.

    Raises NotExplainableError for a graph with other nodes before `logits`, or other weights than float32.
    """
    try:
        graph = onnx.Model.FromString(model).graph
        return _Reader(graph).layers()
    except (DecodeError, ValueError, LookupError) as error:
        raise NotExplainableError(f"the graph is not made of layers that can be shown: {error}") from error


def values_of(layers: Sequence[Layer]) -> list[str]:
    """Returns the names of all values to show; of a cascade also `unsure`."""
    names = {name for layer in layers for name in (layer.before_activation, layer.output) if name}
    return sorted(names | ({UNSURE} if layers[-1].name.startswith(FAST) else set()))


def second_stage(model: bytes) -> bytes:
    """Returns the second stage of a serialised cascade as a model with the cascade's inputs and outputs.

    Raises NotExplainableError where it is no cascade of `training cascade`.
    """
    try:
        whole = onnx.Model.FromString(model)
        choice = next(node for node in whole.graph.node if node.op_type == "If")
        branch = next(attribute.g for attribute in choice.attribute if attribute.name == "then_branch")
        digit = next(node for node in whole.graph.node if "digit" in node.output)
    except (DecodeError, StopIteration) as error:
        raise NotExplainableError("the graph has no second stage that can be shown") from error
    outer = {f"{SECOND}pixels": "pixels", f"{SECOND}probabilities": "probabilities"}
    outer[f"{SECOND}novelty_rescaled"] = "novelty"
    # Without the nodes that choose rows before it and put them back after it. Weights and all else stay as they are.
    nodes = [each for each in branch.node if each.op_type != "Gather" and each.output[0].startswith(SECOND)]
    for node in nodes:
        node.input[:] = [outer.get(name, name) for name in node.input]
        node.output[:] = [outer.get(name, name) for name in node.output]
    stage = onnx.Graph(node=[*nodes, digit], initializer=branch.initializer)
    del whole.graph.node[:], whole.graph.initializer[:]
    whole.graph.MergeFrom(stage)
    return whole.SerializeToString()


def with_outputs(model: bytes, names: Sequence[str]) -> bytes:
    """Returns the serialised model with these float32 values as outputs, after those that it has."""
    # Without shapes: ONNX Runtime infers them.
    tensor = onnx.Type(tensor_type=onnx.TensorType(elem_type=FLOAT32))
    more = onnx.Model(graph=onnx.Graph(output=[onnx.Value(name=name, type=tensor) for name in names]))
    return model + more.SerializeToString()  # parsers merge the two: repeated fields, as outputs are, are appended


class _Reader:
    """Reads the layers of one graph. ONNX lists nodes in topological order: inputs come before their users."""

    def __init__(self, graph: onnx.Graph) -> None:
        self._graph = graph
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._activations = {node.input[0]: node.output[0] for node in graph.node if node.op_type == "Relu"}
        self._producers: dict[str, tuple[str, ...]] = {"pixels": ()}  # by value: the layers it comes from

    def layers(self) -> list[Layer]:
        """Returns the layers up to `logits`. Raises ValueError or LookupError for a graph of other parts."""
        found = []
        for node in self._graph.node:
            if node.op_type in _PASS_THROUGH:
                inputs = [name for name in node.input if name not in self._constants]  # without Reshape's shape
                self._producers[node.output[0]] = sum((self._producers[name] for name in inputs), ())
            elif node.op_type in _KINDS:
                found.append(self._layer(node))
                if found[-1].name in _LOGITS:
                    return found  # the rest is calibration and novelty
            elif node.op_type != "Relu":
                raise ValueError(f"it has a {node.op_type} before the logits")
        raise ValueError("it has no logits")

    def _layer(self, node: onnx.Node) -> Layer:
        settings = {attribute.name: tuple(attribute.ints) for attribute in node.attribute}
        if unknown := settings.keys() - _KNOWN_ATTRIBUTES[node.op_type]:
            raise ValueError(f"{node.output[0]} has {', '.join(sorted(unknown))}")
        name, producers = node.output[0], self._producers[node.input[0]]
        output = self._activations.get(name, name)
        self._producers[name] = self._producers[output] = (name,)  # Relu nodes are skipped, so theirs is set here
        before = name if output != name else ""
        kind, kernel, bias = _KINDS[node.op_type], None, None
        if kind == "dense":
            return Layer(name, kind, producers, before, output)
        size = settings["kernel_shape"]
        if kind == "convolution":
            kernel, bias = self._constant(node.input[1], 4), self._constant(node.input[2], 1)
            if kernel.shape[2:] != size or len(bias) != len(kernel):
                raise ValueError(f"{name} has a kernel of another shape than it says")
        strides, padding = settings.get("strides", (1, 1)), settings.get("pads", (0, 0, 0, 0))  # ONNX' defaults
        return Layer(name, kind, producers, before, output, size, strides, padding, kernel, bias)

    def _constant(self, name: str, dimensions: int) -> Floats:
        tensor = self._constants[name]
        if tensor.data_type != FLOAT32 or len(tensor.dims) != dimensions:
            raise ValueError(f"{name} is no float32 tensor of {dimensions} dimensions")
        # Little-endian by ONNX' definition; empty, so that this raises, where the values are in float_data instead.
        return np.frombuffer(tensor.raw_data, "<f4").reshape(tuple(tensor.dims))
