"""The exported graph, node by node, from folded weights. Decision note 0001 says why it is written by hand.

1. Everything between raw pixels and calibrated output is in here: cast, convolutions, temperature, softmax, novelty.
2. Every value that a person may want to see has a name of its own, and one batch dimension runs through all of them.
3. No Shape, Gather or Transpose: a Reshape with a leading 0 keeps the batch dimension as it is.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from training.data.arrays import CLASSES, PIXELS, SIDE
from training.network.folding import Convolution, Dense, FoldedColumn, FoldedNetwork

# Opset 17 with IR version 8 is what ONNX Runtime 1.12 (July 2022) and Triton 22.07 already load. No operator in this
# graph has gained anything since, so a newer opset would only shut out older servers.
OPSET = 17
IR_VERSION = 8
PRODUCER = "mnist-digits"
BATCH = "batch"


def onnx_model(
    network: FoldedNetwork, temperature: float, properties: Mapping[str, str], version: int, description: str
) -> onnx.ModelProto:
    """The model: `pixels` (batch, 784) uint8 to `probabilities` (batch, 10) float32, `digit` (batch,) int64 and
    `novelty` (batch,) float32.

    Args:
        network: folded weights.
        temperature: what the logits are divided by before the softmax.
        properties: text that travels inside the file.
        version: the model version.
        description: what a viewer shows as the model's text.
    """
    graph = _Graph()
    image = graph.cast_to_images("pixels")
    names = [f"column_{number}_" for number in range(1, len(network.columns) + 1)]
    if len(names) == 1:
        names = [""]  # only one: no prefix
    hidden = [graph.column(image, name, column) for name, column in zip(names, network.columns, strict=True)]
    together = graph.node("Concat", hidden, "hidden_of_all_columns", axis=1) if len(hidden) > 1 else hidden[0]
    graph.outputs(together, network.logits, temperature)
    return packed(graph.proto(description), properties, version, description)


def packed(graph: onnx.GraphProto, properties: Mapping[str, str], version: int, description: str) -> onnx.ModelProto:
    """A graph as a model; the arguments are those of `onnx_model`."""
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name=PRODUCER,
        producer_version=str(version),
        model_version=version,
        doc_string=description,
    )
    helper.set_model_props(model, dict(properties))
    return model


def with_properties(model: bytes, properties: Mapping[str, str]) -> bytes:
    """Replace the text inside a serialized model."""
    loaded = onnx.load_from_string(model)
    del loaded.metadata_props[:]
    helper.set_model_props(loaded, dict(properties))
    return loaded.SerializeToString()


class _Graph:
    """Nodes and initializers as they are added; a node's name is that of the value it makes."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: list[onnx.TensorProto] = []

    def node(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, value: npt.ArrayLike, dtype: type[np.generic]) -> str:
        self._initializers.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def reshape(self, value: str, output: str, shape: list[int]) -> str:
        return self.node("Reshape", [value, self.constant(f"{output}_shape", shape, np.int64)], output)

    def cast_to_images(self, pixels: str) -> str:
        """Scaling to 0..1 is folded into the first convolution, so a cast is all that raw pixels need."""
        floats = self.node("Cast", [pixels], "pixels_float", to=TensorProto.FLOAT)
        return self.reshape(floats, "image", [0, 1, SIDE, SIDE])

    def column(self, image: str, name: str, column: FoldedColumn) -> str:
        """From the image to the activations of the column's hidden layer."""
        value = image
        for number, convolution in enumerate(column.convolutions, start=1):
            value = self.convolution(value, f"{name}convolution_{number}", convolution)
            if convolution.is_pooled:
                value = self.node("MaxPool", [value], f"{name}pooling_{number}", kernel_shape=[2, 2], strides=[2, 2])
        value = self.reshape(value, f"{name}features", [0, column.hidden.kernel.shape[0]])
        return self.node("Relu", [self.dense(value, f"{name}hidden", column.hidden)], f"{name}hidden_relu")

    def convolution(self, value: str, name: str, layer: Convolution) -> str:
        inputs = [
            value,
            self.constant(f"{name}_kernel", layer.kernel, np.float32),
            self.constant(f"{name}_bias", layer.bias, np.float32),
        ]
        size = list(layer.kernel.shape[2:])
        convolved = self.node("Conv", inputs, name, kernel_shape=size, pads=[layer.padding] * 4)
        return self.node("Relu", [convolved], f"{name}_relu")

    def dense(self, value: str, name: str, layer: Dense) -> str:
        kernel = self.constant(f"{name}_kernel", layer.kernel, np.float32)
        return self.node("Gemm", [value, kernel, self.constant(f"{name}_bias", layer.bias, np.float32)], name)

    def outputs(self, hidden: str, layer: Dense, temperature: float) -> None:
        logits = self.dense(hidden, "logits", Dense(layer.kernel[:, :CLASSES], layer.bias[:CLASSES]))
        calibrated = self.node(
            "Div", [logits, self.constant("temperature", temperature, np.float32)], "calibrated_logits"
        )
        probabilities = self.node("Softmax", [calibrated], "probabilities", axis=1)
        self.node("ArgMax", [probabilities], "digit", axis=1, keepdims=0)
        strange = self.dense(hidden, "novelty_logit", Dense(layer.kernel[:, CLASSES:], layer.bias[CLASSES:]))
        self.reshape(self.node("Sigmoid", [strange], "novelty_column"), "novelty", [0])

    def proto(self, description: str) -> onnx.GraphProto:
        return helper.make_graph(
            self._nodes,
            "mnist",
            inputs=[helper.make_tensor_value_info("pixels", TensorProto.UINT8, [BATCH, PIXELS])],
            outputs=[
                helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [BATCH, CLASSES]),
                helper.make_tensor_value_info("digit", TensorProto.INT64, [BATCH]),
                helper.make_tensor_value_info("novelty", TensorProto.FLOAT, [BATCH]),
            ],
            initializer=self._initializers,
            doc_string=description,
        )
