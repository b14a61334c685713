"""Keras' example network, trained for a few seconds, as an ONNX graph with this project's signature."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from experiments.time_to_accuracy.keras_example import example_network
from training.data.arrays import CLASSES, SIDE, Pixels
from training.export.checks import run_in_batches, runtime_session

OPSET, IR_VERSION = 17, 8
LARGEST_DIFFERENCE = 1e-5
Weights = list[npt.NDArray[np.float32]]


def trained_example_graph(pixels: Pixels, labels: npt.NDArray[np.int64], seed: int, epochs: int) -> bytes:
    """A serialised graph: `pixels` (batch, 784) uint8 to `probabilities`, `digit` and `novelty`.

    Trained on the given pixels (n, 784) and labels (n,) only, so that its answers are clear, not good. Raises
    RuntimeError if ONNX Runtime and Keras differ by more than LARGEST_DIFFERENCE.
    """
    keras.utils.set_random_seed(seed)
    network = example_network()
    images = pixels.reshape(-1, SIDE, SIDE, 1).astype(np.float32) / np.float32(255)
    network.compile(loss="sparse_categorical_crossentropy", optimizer="adam")
    network.fit(images, labels, batch_size=32, epochs=epochs, verbose=0)
    graph = _graph(network.get_weights())
    found = run_in_batches(runtime_session(graph), pixels, 64)["probabilities"]
    difference = float(np.abs(found - network.predict(images, verbose=0)).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise RuntimeError(f"the graph differs from Keras by {difference:.1e}: this is a bug")
    return graph


def _graph(weights: Weights) -> bytes:
    kernel_1, bias_1, kernel_2, bias_2, kernel_3, bias_3 = weights
    side = 5  # what two valid convolutions and two pools leave of 28
    dense = kernel_3.reshape(side, side, -1, CLASSES).transpose(2, 0, 1, 3).reshape(-1, CLASSES)
    constants = {
        "image_shape": np.array([0, 1, SIDE, SIDE], np.int64),  # 0: keep the batch size
        "kernel_1": kernel_1.transpose(3, 2, 0, 1) / np.float32(255),  # scales pixels to 0..1 as well
        "bias_1": bias_1,
        "kernel_2": kernel_2.transpose(3, 2, 0, 1),
        "bias_2": bias_2,
        "dense": dense,
        "bias_3": bias_3,
        "one": np.array(1, np.float32),
    }
    graph = helper.make_graph(
        _nodes(),
        "keras_example",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["batch", SIDE * SIDE])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", CLASSES]),
            helper.make_tensor_value_info("digit", TensorProto.INT64, ["batch"]),
            helper.make_tensor_value_info("novelty", TensorProto.FLOAT, ["batch"]),
        ],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _nodes() -> list[onnx.NodeProto]:
    pool: Any = {"kernel_shape": [2, 2], "strides": [2, 2]}
    return [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["floats", "image_shape"], ["image"]),
        helper.make_node("Conv", ["image", "kernel_1", "bias_1"], ["convolved_1"]),
        helper.make_node("Relu", ["convolved_1"], ["rectified_1"]),
        helper.make_node("MaxPool", ["rectified_1"], ["pooled_1"], **pool),
        helper.make_node("Conv", ["pooled_1", "kernel_2", "bias_2"], ["convolved_2"]),
        helper.make_node("Relu", ["convolved_2"], ["rectified_2"]),
        helper.make_node("MaxPool", ["rectified_2"], ["pooled_2"], **pool),
        helper.make_node("Flatten", ["pooled_2"], ["features"]),
        helper.make_node("Gemm", ["features", "dense", "bias_3"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["digit"], axis=1, keepdims=0),
        helper.make_node("ReduceMax", ["probabilities"], ["largest"], axes=[1], keepdims=0),
        helper.make_node("Sub", ["one", "largest"], ["novelty"]),
    ]
