"""Times ONNX Runtime on batches: our models compared with Keras' example network.

One thread, interleaved rounds in one process, so that a noisy moment affects every graph. Medians with quartiles.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before ONNX Runtime is loaded (microsoft/onnxruntime#27379)

import numpy as np
import numpy.typing as npt
import onnxruntime
from rich.console import Console
from rich.table import Table

from training.data.arrays import SIDE

DIGITS = Path(__file__).parents[2] / "tests/data/digits.npz"

CALLS_A_ROUND = 50
Seconds = list[float]


class Graph:
    """A graph to be timed: its session, and a batch of the type and shape that it takes."""

    def __init__(self, content: bytes, batch_size: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        (image,) = self._session.get_inputs()
        with np.load(DIGITS) as digits:  # not noise, of which a cascade's fast network is unsure
            pixels = np.resize(digits["pixels"], (batch_size, 784))
        self._feed = {image.name: _converted(pixels, image.type, image.shape)}

    def seconds(self, calls: int) -> Seconds:
        """Runs the batch `calls` times and returns the seconds of each."""
        seconds_of = []
        for _ in range(calls):
            started = time.perf_counter()
            self._session.run(None, self._feed)
            seconds_of.append(time.perf_counter() - started)
        return seconds_of


def main(arguments: Sequence[str]) -> None:
    """Times every model of the repository and Keras' example, and prints a table for each batch size."""
    options = _parser().parse_args(arguments)
    graphs = {"Keras example": keras_example()} | repository_graphs(Path(options.model_repository))
    for batch_size in options.batch_sizes:
        timed = {name: Graph(content, batch_size) for name, content in graphs.items()}
        seconds_of: dict[str, Seconds] = {name: [] for name in timed}
        for number in range(options.rounds + 1):
            for name, graph in timed.items():
                seconds = graph.seconds(CALLS_A_ROUND)
                if number:  # the first round warms up
                    seconds_of[name] += seconds
        _print(batch_size, seconds_of)


def repository_graphs(repository: Path) -> dict[str, bytes]:
    """Graphs of the highest version of each model, by `name/version`."""
    found = {}
    for model in sorted(path for path in repository.iterdir() if path.is_dir()):
        version = max((path for path in model.iterdir() if path.name.isdecimal()), key=lambda path: int(path.name))
        found[f"{model.name}/{version.name}"] = (version / "model.onnx").read_bytes()
    return found


def keras_example() -> bytes:
    """Keras' example for MNIST (34,826 parameters), untrained, as `model.export(format="onnx")` writes it."""
    from experiments.time_to_accuracy.keras_example import example_network  # here: --help need not wait for TensorFlow

    network = example_network()
    network(np.zeros((1, SIDE, SIDE, 1), np.float32))  # Keras exports only what has been called
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "example.onnx"
        network.export(path, format="onnx", verbose=False)
        return path.read_bytes()


def _converted(pixels: npt.NDArray[np.uint8], kind: str, shape: list[int | str]) -> npt.NDArray[np.generic]:
    if kind == "tensor(uint8)":
        return pixels
    return (pixels.astype(np.float32) / np.float32(255)).reshape(len(pixels), *shape[1:])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks inference_time", description=__doc__)
    parser.add_argument("--model-repository", default="models", help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=40, help=f"of {CALLS_A_ROUND} calls (default: %(default)s)")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 8, 64], help="(default: %(default)s)")
    return parser


def _print(batch_size: int, seconds_of: dict[str, Seconds]) -> None:
    table = Table("graph", "median µs", "quartiles", "ratio to the example", title=f"{batch_size} image(s), one thread")
    reference = float(np.median(seconds_of["Keras example"]))
    for name, seconds in seconds_of.items():
        low, median, high = np.quantile(seconds, [0.25, 0.5, 0.75])
        table.add_row(name, f"{median * 1e6:.0f}", f"{low * 1e6:.0f} to {high * 1e6:.0f}", f"{median / reference:.2f}")
    Console().print(table)
