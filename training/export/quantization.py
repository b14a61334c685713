"""The int8 form of an exported graph: convolutions and hidden layers between quantize and dequantize nodes (QDQ).

Activations are unsigned, weights signed with one scale for each filter, in 7 bits: on processors without VNNI the
sums of two products of 8 bits would overflow their 16, silently (ONNX Runtime's documentation, "reduce_range").
"""

import tempfile
from collections.abc import Iterator, Sequence
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
_OPERATORS = ["Conv", "Relu", "MaxPool", "Gemm"]
_OUTPUT_LAYERS = ["logits", "novelty_logit"]  # of ten units and one: nothing to win, and probabilities follow
_FIRST = "convolution_1"  # in each column


def quantized(model: bytes, pixels: Pixels) -> bytes:
    """The quantized graph, with the same inputs and outputs.

    Args:
        model: a serialized float32 graph of `onnx_graph`.
        pixels: (n, 784) uint8 training rows; the first 2,000 give the range of each activation.
    """
    loaded = onnx.load_from_string(model)
    columns = [node.name.removesuffix(_FIRST) for node in loaded.graph.node if node.name.endswith(_FIRST)]
    # With a single channel in, integers have nothing to multiply side by side: there float32 is three times as fast.
    in_float = [f"{column}{name}" for column in columns for name in (_FIRST, f"{_FIRST}_relu", "pooling_1")]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantize_static(
            _with_float_pooling(loaded, columns),
            path,
            _Reader(pixels[:_CALIBRATION_IMAGES]),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_OPERATORS,
            nodes_to_exclude=[*in_float, *_OUTPUT_LAYERS],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return path.read_bytes()


def _with_float_pooling(model: onnx.ModelProto, columns: Sequence[str]) -> onnx.ModelProto:
    """Halve the first convolution's values and double them again after pooling: an equal function.

    ONNX Runtime moves a quantize node up through pooling, where integers are five times as slow as float32 in the
    layout that the convolution leaves; it does not move it through a multiplication. Powers of two lose no bit.

    Args:
        model: changed in place, and returned.
        columns: what the names of each column's values begin with.
    """
    names = {node.name for node in model.graph.node}
    pooled = [column for column in columns if f"{column}pooling_1" in names]  # else more convolutions come first
    halved = {f"{column}{_FIRST}_{part}" for column in pooled for part in ("kernel", "bias")}
    for tensor in model.graph.initializer:
        if tensor.name in halved:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) / np.float32(2), tensor.name))
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(2, np.float32), "two"))
    doubled = {f"{column}pooling_1": f"{column}pooling_1_doubled" for column in pooled}
    nodes = []
    for node in model.graph.node:
        node.input[:] = [doubled.get(name, name) for name in node.input]
        nodes.append(node)
        if node.name in doubled:
            name = doubled[node.name]
            nodes.append(helper.make_node("Mul", [node.name, "two"], [name], name=name))
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
