"""The column network as ONNX, from its weights: scaling and normalization folded into the convolutions.

`ink` (batch, 1, 32, width) uint8 to `probabilities` (batch, frames, 11) float32, width a multiple of 4.
"""

from collections.abc import Mapping

import keras
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from training.columns.strips import BLANK, FRAME, HEIGHT, WIDEST, StripSet
from training.data.arrays import Doubles, Weights
from training.errors import ExportError
from training.export.checks import runtime_session
from training.export.onnx_graph import BATCH, packed
from training.network.folding import NORMALIZATION_EPSILON

_DESCRIPTION = (
    "What digit stands at each four columns of a strip of handwriting. In: ink, uint8, 0 = paper, 32 rows from the top."
    " Out: for each four columns the probabilities of the digits 0 to 9, and last, of none of them."
)
_POOLINGS = ((2, 2), (2, 2), (2, 1), None)  # behind each convolution
_VERSION = 1
_CHECKED = 64  # strips
_LARGEST_DIFFERENCE = 1e-4  # of a probability


def columns_model(weights: Weights, properties: Mapping[str, str]) -> onnx.ModelProto:
    """The model of these weights; `properties`: text that travels inside the file."""
    nodes = [helper.make_node("Cast", ["ink"], ["ink_float"], name="ink_float", to=TensorProto.FLOAT)]
    constants: list[onnx.TensorProto] = []
    value = "ink_float"
    for number, pooling in enumerate(_POOLINGS, start=1):
        kernel, bias = _folded(weights, number)
        if number == 1:
            kernel = kernel / 255
        value = _convolution(nodes, constants, value, f"convolution_{number}", kernel, bias, is_high=pooling is None)
        nodes.append(helper.make_node("Relu", [value], [f"{value}_relu"], name=f"{value}_relu"))
        value = f"{value}_relu"
        if pooling:
            name = f"pooling_{number}"
            nodes.append(helper.make_node("MaxPool", [value], [name], name=name, kernel_shape=pooling, strides=pooling))
            value = name
    kernel, bias = weights["logits/kernel"].astype(np.float64), weights["logits/bias"].astype(np.float64)
    value = _convolution(nodes, constants, value, "logits", kernel, bias, is_high=True)
    constants.append(numpy_helper.from_array(np.array([2], np.int64), "row"))
    rows, frames = "logits_in_a_row", "logits_of_frames"
    nodes += [
        helper.make_node("Squeeze", [value, "row"], [rows], name=rows),
        helper.make_node("Transpose", [rows], [frames], name=frames, perm=[0, 2, 1]),
        helper.make_node("Softmax", [frames], ["probabilities"], name="probabilities", axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "columns",
        inputs=[helper.make_tensor_value_info("ink", TensorProto.UINT8, [BATCH, 1, HEIGHT, "width"])],
        outputs=[helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [BATCH, "frames", BLANK + 1])],
        initializer=constants,
        doc_string=_DESCRIPTION,
    )
    model = packed(graph, properties, _VERSION, _DESCRIPTION)
    onnx.checker.check_model(model, full_check=True)
    return model


def check(model: bytes, network: keras.Model, strips: StripSet) -> float:
    """The largest difference of a probability from Keras', on some strips of several widths.

    Raises:
        ExportError: one differs by more than float32's last digits.
    """
    session = runtime_session(model)
    largest = 0.0
    for width in range(FRAME, WIDEST + 1, 5 * FRAME):
        ink = strips.pixels[:_CHECKED, :, :width]
        (found,) = session.run(["probabilities"], {"ink": ink[:, np.newaxis]})
        outputs = network.predict_on_batch(ink[..., np.newaxis])
        levels = np.exp(outputs - outputs.max(axis=2, keepdims=True))
        largest = max(largest, float(np.abs(found - levels / levels.sum(axis=2, keepdims=True)).max()))
    if largest > _LARGEST_DIFFERENCE:
        raise ExportError(f"a probability of ONNX Runtime differs from Keras' by {largest:.1e}: nothing was written")
    return largest


def _folded(weights: Weights, number: int) -> tuple[Doubles, Doubles]:
    """Kernel, in Keras' layout, and bias of a convolution with the normalization behind it."""
    shift, mean, variance = (
        weights[f"normalization_{number}/{name}"].astype(np.float64)
        for name in ("beta", "moving_mean", "moving_variance")
    )
    factor = 1 / np.sqrt(variance + NORMALIZATION_EPSILON)
    return weights[f"convolution_{number}/kernel"].astype(np.float64) * factor, shift - mean * factor


def _convolution(
    nodes: list[onnx.NodeProto],
    constants: list[onnx.TensorProto],
    value: str,
    name: str,
    kernel: Doubles,
    bias: Doubles,
    is_high: bool,
) -> str:
    """Adds a convolution that keeps the width, and the height unless it is as high as its input."""
    height, width = kernel.shape[:2]
    rows, columns = 0 if is_high else height // 2, width // 2
    constants += [
        numpy_helper.from_array(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1), np.float32), f"{name}_kernel"),
        numpy_helper.from_array(bias.astype(np.float32), f"{name}_bias"),
    ]
    inputs = [value, f"{name}_kernel", f"{name}_bias"]
    pads = [rows, columns, rows, columns]
    nodes.append(helper.make_node("Conv", inputs, [name], name=name, kernel_shape=[height, width], pads=pads))
    return name
