"""The network that every server serves in the comparison: Keras' example for MNIST (34,826 parameters), as ONNX.

Written once, as a model version of ours, into a folder that git ignores; peers read the graph in it. One graph for all,
with raw pixels in and the answers out, so that servers are compared and not graphs.
`python -m benchmarks.example_network FOLDER` writes it: a process of its own, as TensorFlow is large.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from training.environment import stderr_held_back

VERSION = 1
SEED = 1
EPOCHS = 30
DIGITS = Path(__file__).parents[1] / "tests/data/digits.npz"


def example_repository(runs: Path) -> Path:
    """The model repository with the example as `mnist` version 1; written first where it is not there yet."""
    repository = example_folder(runs)
    if not (repository / "mnist" / str(VERSION) / "metadata.json").exists():
        print("training and exporting Keras' example network ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "benchmarks.example_network", str(repository)], check=True)
    return repository


def example_folder(runs: Path) -> Path:
    """Where the example is, or will be written: another folder for every change of what makes it."""
    makers = (Path(__file__), Path(__file__).with_name("example_graph.py"), DIGITS)
    made_by = hashlib.sha256(b"".join(maker.read_bytes() for maker in makers)).hexdigest()
    return runs / f"example-{made_by[:12]}"


def graph_file(repository: Path, name: str = "mnist") -> Path:
    """The graph of the highest version of the model `name`."""
    versions = (folder for folder in (repository / name).iterdir() if folder.name.isdecimal())
    return max(versions, key=lambda folder: int(folder.name)) / "model.onnx"


def digits_to_ask() -> npt.NDArray[np.uint8]:
    """MNIST digits: pixels (400, 784) uint8, 40 of each digit."""
    pixels: npt.NDArray[np.uint8] = np.load(DIGITS)["pixels"]
    return pixels


def _write(repository: Path) -> None:
    # Here and not above: who only wants the file's name needs no TensorFlow.
    with stderr_held_back():
        from benchmarks.example_graph import trained_example_graph
    from training.export.checks import run_in_batches, runtime_session

    data = np.load(DIGITS)
    graph = trained_example_graph(data["pixels"], data["label"], SEED, EPOCHS)
    folder = repository / "mnist" / str(VERSION)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(graph)
    pixels = data["pixels"][::2]
    answers: dict[str, Any] = dict(run_in_batches(runtime_session(graph), pixels, 64))
    np.savez(folder / "golden.npz", pixels=pixels, **answers)
    names = ("model.onnx", "golden.npz")
    metadata = {
        "schema_version": 1,
        "name": "mnist",
        "version": VERSION,
        "created": "2026-11-24T00:00:00Z",
        "novelty_threshold": 0.9,
        "metrics": {"mnist_test": {"accuracy": 0.0}},  # a network to be timed; nobody measures what it reads
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names},
    }
    (folder / "metadata.json").write_text(json.dumps(metadata))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _write(Path(sys.argv[1]))
