"""The lesson's examples, by the operators that the model is made of, in the runtime that serves it."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

Floats = npt.NDArray[np.float32]

PATCH = [[21, 16, 11], [25, 22, 18], [19, 20, 21]]
SHARPEN = [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]
MAP = [[0.3, 0.6, 1], [0.5, 0.1, 0.3], [1, 0.5, 0.9]]


def computed(operator: str, rows: npt.ArrayLike, kernel: npt.ArrayLike | None = None, **attributes: Any) -> Floats:
    """One operator on one map, (height, width) float32."""
    image = np.asarray(rows, np.float32)[None, None]
    constants = (
        [] if kernel is None else [numpy_helper.from_array(np.asarray(kernel, np.float32)[None, None], "kernel")]
    )
    graph = helper.make_graph(
        [helper.make_node(operator, ["image", *(each.name for each in constants)], ["map"], **attributes)],
        "lesson",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, image.shape)],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 1, None, None])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"image": image})
    made: Floats = result[0, 0]
    return made


def test_a_patch_times_a_kernel_summed_is_31() -> None:
    assert computed("Conv", PATCH, SHARPEN).tolist() == [[31]]


def test_the_largest_of_each_window_is_kept() -> None:
    pooled = computed("MaxPool", MAP, kernel_shape=[2, 2], strides=[1, 1])
    np.testing.assert_array_equal(pooled, np.array([[0.6, 1], [1, 0.9]], np.float32))


@pytest.mark.parametrize(("padding", "side"), [("SAME_UPPER", 28), ("VALID", 26)])
def test_padding_decides_the_size(padding: str, side: int) -> None:
    assert computed("Conv", np.zeros((28, 28)), SHARPEN, auto_pad=padding).shape == (side, side)


def test_padding_is_zeros_around() -> None:
    around = computed("Conv", PATCH, SHARPEN, pads=[1, 1, 1, 1])
    assert around.shape == (3, 3)
    assert around[1, 1] == 31
    assert around[0, 0] == 5 * 21 - 16 - 25  # what lies outside adds nothing


def test_the_identity_kernel_leaves_a_picture_as_it_is() -> None:
    picture = np.random.default_rng(0).random((28, 28), np.float32)
    identity = [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    np.testing.assert_array_equal(computed("Conv", picture, identity, pads=[1, 1, 1, 1]), picture)
