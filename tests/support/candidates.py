"""Candidate versions next to the tiny model's: they answer otherwise, or break in one way each."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from tests.support.tiny_model import image_of, rewrite_metadata, tiny_graph, write_tiny_version

MOVED_BY = 1  # the moved model's digit is the tiny model's plus this, modulo 10


def moved_graph() -> bytes:
    """The tiny model's graph with its classes moved."""
    model = onnx.load_from_string(tiny_graph())
    (weights,) = [each for each in model.graph.initializer if each.name == "weights"]
    moved = np.roll(numpy_helper.to_array(weights), MOVED_BY, axis=1)
    weights.CopyFrom(numpy_helper.from_array(moved, "weights"))
    return model.SerializeToString()


def write_moved_version(root: Path, version: int) -> Path:
    """Writes a sound version whose digits are moved; a novelty threshold of 0.5, as the tiny model's."""
    folder = write_tiny_version(root, version, moved_graph())
    pixels = np.stack([np.frombuffer(image_of(digit), np.uint8) for digit in range(10)])
    session = onnxruntime.InferenceSession(moved_graph(), providers=["CPUExecutionProvider"])
    probabilities, digit, novelty = session.run(["probabilities", "digit", "novelty"], {"pixels": pixels})
    np.savez(folder / "golden.npz", pixels=pixels, probabilities=probabilities, digit=digit, novelty=novelty)
    rewrite_metadata(folder, version)
    return folder


def tolerant_graph() -> bytes:
    """The tiny model's graph, which image_that_fails() and image_that_hangs() do not break."""
    model = onnx.load_from_string(tiny_graph())
    for each in model.graph.initializer:
        if each.name in ("last", "last_but_one"):
            each.CopyFrom(numpy_helper.from_array(np.array([700], np.int64), each.name))
    return model.SerializeToString()


def greedy_graph() -> bytes:
    """The tiny model's graph, which needs 4 GiB of memory for image_that_takes_memory()."""
    model = onnx.load_from_string(tiny_graph())
    node = next(each for each in model.graph.node if each.name == "" and "zero_logits" in each.output)
    node.input[1] = "greedy_zero"
    model.graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([701], np.int64), "at_701"),
            numpy_helper.from_array(np.array(2**22, np.int64), "floats_a_level"),
            numpy_helper.from_array(np.array([-1], np.int64), "flat"),
        ]
    )
    nothing = numpy_helper.from_array(np.zeros(1, np.float32))
    nodes = [
        helper.make_node("Gather", ["pixels", "at_701"], ["greed_pixel"], axis=1),
        helper.make_node("Cast", ["greed_pixel"], ["greed_level"], to=TensorProto.INT64),
        helper.make_node("ReduceMax", ["greed_level"], ["greed"], keepdims=0),
        helper.make_node("Mul", ["greed", "floats_a_level"], ["greed_floats"]),
        helper.make_node("Reshape", ["greed_floats", "flat"], ["greed_shape"]),
        helper.make_node("ConstantOfShape", ["greed_shape"], ["greedy"], value=nothing),
        helper.make_node("ReduceSum", ["greedy"], ["greedy_sum"], keepdims=0),
        helper.make_node("Add", ["zero", "greedy_sum"], ["greedy_zero"]),
    ]
    position = list(model.graph.node).index(node)
    before, after = list(model.graph.node)[:position], list(model.graph.node)[position:]
    del model.graph.node[:]
    model.graph.node.extend([*before, *nodes, *after])
    onnx.checker.check_model(model)
    return model.SerializeToString()


def image_that_takes_memory() -> bytes:
    """784 raw pixels for which greedy_graph() needs 4 GiB."""
    return bytes(701) + b"\xff" + bytes(82)
