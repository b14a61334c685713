"""The int8 form of an exported graph: convolutions between quantize and dequantize nodes (QDQ), the rest as it was.

Activations are unsigned, weights signed with one scale for each filter, in 7 bits: on processors without VNNI the
sums of two products of 8 bits would overflow their 16, silently (ONNX Runtime's documentation, "reduce_range").
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from training.data.arrays import Pixels

_CALIBRATION_IMAGES = 2000
_BATCH = 100
_OPERATORS = ["Conv", "Relu", "MaxPool"]
# With a single channel in, integers have nothing to multiply side by side: there float32 is three times as fast.
_IN_FLOAT = ["convolution_1", "convolution_1_relu", "pooling_1"]
_FIRST, _POOLED, _DOUBLED = "convolution_1", "pooling_1", "pooling_1_doubled"


def quantized(model: bytes, pixels: Pixels) -> bytes:
    """The quantized graph, with the same inputs and outputs.

    Args:
        model: a serialized float32 graph of `onnx_graph`.
        pixels: (n, 784) uint8 training rows; the first 2,000 give the range of each activation.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_static(
            _with_float_pooling(onnx.load_from_string(model)),
            path,
            _Reader(pixels[:_CALIBRATION_IMAGES]),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_OPERATORS,
            nodes_to_exclude=_IN_FLOAT,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return path.read_bytes()


def _with_float_pooling(model: onnx.ModelProto) -> onnx.ModelProto:
    """Halve the first convolution's values and double them again after pooling: an equal function.

    ONNX Runtime moves a quantize node up through pooling, where integers are five times as slow as float32 in the
    layout that the convolution leaves; it does not move it through a multiplication. Powers of two lose no bit.
    """
    for tensor in model.graph.initializer:
        if tensor.name in (f"{_FIRST}_kernel", f"{_FIRST}_bias"):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) / np.float32(2), tensor.name))
    nodes = list(model.graph.node)
    for node in nodes:
        node.input[:] = [_DOUBLED if name == _POOLED else name for name in node.input]
    place = next(number for number, node in enumerate(nodes) if node.name == _POOLED)
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(2, np.float32), "two"))
    nodes.insert(place + 1, helper.make_node("Mul", [_POOLED, "two"], [_DOUBLED], name=_DOUBLED))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # the package has no types
    """Feeds the calibration rows in batches."""

    def __init__(self, pixels: Pixels) -> None:
        self._batches: Iterator[Pixels] = iter(np.array_split(pixels, max(len(pixels) // _BATCH, 1)))

    def get_next(self) -> dict[str, Pixels] | None:
        """The next batch by input name; None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {"pixels": batch}
