"""A real, very small model version on disk: what the server loads in tests that need no accuracy.

Its digit for an image is the index of the pixel, among the first ten, that has the most ink. Ink in the last pixel
makes the inference raise: the graph looks up an index that is not there. Full ink in the last but one makes it run for
ever: the graph counts to more than there is time for.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from serving.models.loaded_model import LoadedModel
from serving.models.onnx_session import OnnxSession
from serving.models.repository import ModelRepository

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def tiny_graph(pixels_name: str = "pixels", weight: float = 10 / 255) -> bytes:
    """The serialised graph, with the signature that the server expects (or another input name)."""
    weights = np.zeros((784, 10), np.float32)
    weights[np.arange(10), np.arange(10)] = weight
    nodes = [
        helper.make_node("Cast", [pixels_name], ["ink"], to=FLOAT),
        helper.make_node("MatMul", ["ink", "weights"], ["plain_logits"]),
        helper.make_node("Gather", [pixels_name, "last"], ["last_pixel"], axis=1),
        helper.make_node("Cast", ["last_pixel"], ["last_level"], to=INT64),
        helper.make_node("Gather", ["only_zero", "last_level"], ["zero"]),
        helper.make_node("Gather", [pixels_name, "last_but_one"], ["rounds_pixel"], axis=1),
        helper.make_node("Div", ["rounds_pixel", "full_ink"], ["is_full"]),
        helper.make_node("Cast", ["is_full"], ["full"], to=INT64),
        helper.make_node("ReduceMax", ["full"], ["any_full"], keepdims=0),
        helper.make_node("Mul", ["any_full", "endless"], ["rounds"]),
        helper.make_node("Loop", ["rounds", "", "only_zero"], ["counted"], body=_counting()),
        helper.make_node("Add", ["plain_logits", "zero"], ["zero_logits"]),
        helper.make_node("Add", ["zero_logits", "counted"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["digit"], axis=1, keepdims=0),
        helper.make_node("ReduceMax", ["probabilities"], ["largest"], axes=[1], keepdims=0),
        helper.make_node("Sub", ["one", "largest"], ["novelty"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(pixels_name, TensorProto.UINT8, ["batch", 784])],
        [
            helper.make_tensor_value_info("probabilities", FLOAT, ["batch", 10]),
            helper.make_tensor_value_info("digit", INT64, ["batch"]),
            helper.make_tensor_value_info("novelty", FLOAT, ["batch"]),
        ],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array([783], np.int64), "last"),
            numpy_helper.from_array(np.array([782], np.int64), "last_but_one"),
            numpy_helper.from_array(np.array(255, np.uint8), "full_ink"),
            numpy_helper.from_array(np.array(2**60, np.int64), "endless"),
            numpy_helper.from_array(np.zeros(1, np.float32), "only_zero"),
            numpy_helper.from_array(np.array(1, np.float32), "one"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _counting() -> onnx.GraphProto:
    """One round of the loop: nothing changes."""
    return helper.make_graph(
        [
            helper.make_node("Identity", ["condition"], ["goes_on"]),
            helper.make_node("Identity", ["value"], ["same_value"]),
        ],
        "counting",
        [
            helper.make_tensor_value_info("round", INT64, []),
            helper.make_tensor_value_info("condition", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("same_value", FLOAT, [1]),
        ],
    )


def graph_without_numbers(output: str, value: float, graph: bytes | None = None) -> bytes:
    """Serialised `graph`, or the tiny one, whose `output`, probabilities or novelty, has no numbers for some images.

    `value`: NaN or infinity. The images are those whose pixel 781 has level 254.
    """
    model = onnx.load_from_string(graph or tiny_graph())
    nodes, constants = model.graph.node, model.graph.initializer
    shape = [-1, 1] if output == "probabilities" else [-1]
    constants.extend(
        [
            numpy_helper.from_array(np.array([781], np.int64), "at_781"),
            numpy_helper.from_array(np.array(254, np.float32), "level_254"),
            numpy_helper.from_array(np.array(shape, np.int64), "as_output"),
        ]
    )
    (node,) = [node for node in nodes if output in node.output]
    for other in nodes:
        other.input[:] = [f"sound_{output}" if name == output else name for name in other.input]
    node.output[:] = [f"sound_{output}"]
    # The level x divided by 254 - x is infinite at 254, and with x - x above it is NaN there; at 0 both are 0.
    nodes.extend(
        [
            helper.make_node("Gather", ["pixels", "at_781"], ["pixel_781"], axis=1),
            helper.make_node("Cast", ["pixel_781"], ["level"], to=FLOAT),
            helper.make_node("Sub", ["level_254", "level"], ["below"]),
            helper.make_node("Sub", ["level", "level"], ["nothing"]),
            helper.make_node("Div", ["nothing" if np.isnan(value) else "level", "below"], ["column"]),
            helper.make_node("Reshape", ["column", "as_output"], ["spoilt"]),
            helper.make_node("Add", [f"sound_{output}", "spoilt"], [output]),
        ]
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


def image_without_numbers() -> bytes:
    """784 raw pixels for which graph_without_numbers() has none."""
    return bytes(781) + b"\xfe\0\0"


def slow_graph() -> bytes:
    """The same answers, after a thousand times the work."""
    model = onnx.load_from_string(tiny_graph())
    square = numpy_helper.from_array(np.full((784, 784), 1e-9, np.float32), "square")
    model.graph.initializer.append(square)
    work = [helper.make_node("MatMul", ["ink" if n == 0 else f"w{n - 1}", "square"], [f"w{n}"]) for n in range(8)]
    work += [
        helper.make_node("ReduceSum", ["w7"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "nothing"], ["none"]),
        helper.make_node("Add", ["ink", "none"], ["worked"]),
    ]
    model.graph.initializer.append(numpy_helper.from_array(np.array(0, np.float32), "nothing"))
    nodes = list(model.graph.node)
    nodes[1].input[0] = "worked"
    del model.graph.node[:]
    model.graph.node.extend([nodes[0], *work, *nodes[1:]])
    onnx.checker.check_model(model)
    return model.SerializeToString()


def image_of(digit: int) -> bytes:
    """784 raw pixels that the tiny model reads as `digit`, with certainty."""
    pixels = bytearray(784)
    pixels[digit] = 255
    return bytes(pixels)


def image_that_fails() -> bytes:
    """784 raw pixels at which the tiny model's inference raises."""
    return bytes(783) + b"\xff"


def image_that_hangs() -> bytes:
    """784 raw pixels at which the tiny model's inference runs for ever."""
    return bytes(782) + b"\xff\0"


def write_tiny_version(root: Path, version: int = 1, graph: bytes | None = None) -> Path:
    """Writes mnist/<version>/ below `root`, complete and sound, and returns its folder."""
    folder = root / "mnist" / str(version)
    folder.mkdir(parents=True)
    pixels = np.stack([np.frombuffer(image_of(digit), np.uint8) for digit in range(10)])
    (folder / "model.onnx").write_bytes(graph or tiny_graph())
    probabilities, digit, novelty = _answers(pixels)
    np.savez(folder / "golden.npz", pixels=pixels, probabilities=probabilities, digit=digit, novelty=novelty)
    rewrite_metadata(folder, version)
    return folder


def rewrite_metadata(folder: Path, version: int = 1, **changes: object) -> None:
    """Writes metadata.json for the files that are there now, with `changes` to its top level."""
    names = ("model.onnx", "golden.npz")
    metadata = {
        "schema_version": 1,
        "name": "mnist",
        "version": version,
        "created": "2026-11-23T12:00:00Z",
        "novelty_threshold": 0.5,
        "metrics": {"mnist_test": {"accuracy": 0.1}},
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names},
    }
    (folder / "metadata.json").write_text(json.dumps(metadata | changes))


def _answers(pixels: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.generic]]:
    session = onnxruntime.InferenceSession(tiny_graph(), providers=["CPUExecutionProvider"])
    answers: list[npt.NDArray[np.generic]] = session.run(["probabilities", "digit", "novelty"], {"pixels": pixels})
    return answers


def load_version(
    root: Path, version: int = 0, *, name: str = "mnist", folder: Path | None = None, precision: str = "auto"
) -> LoadedModel:
    """Loads a version, 0: the highest, as the server does on one thread of the CPU. `folder`: as --model-folder."""
    repository = ModelRepository(root, name, folder=folder)
    return repository.load(version, lambda graph, _: OnnxSession(graph, "cpu", threads=1), 8, precision)
