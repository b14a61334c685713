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

import numpy as np
import numpy.typing as npt

VERSION = 1
SEED = 1
EPOCHS = 30
DIGITS = Path(__file__).parents[1] / "tests/data/digits.npz"


def example_repository(runs: Path) -> Path:
    """The model repository with the example as `mnist` version 1; written first where it is not there yet."""
    made_by = hashlib.sha256(Path(__file__).read_bytes() + DIGITS.read_bytes()).hexdigest()[:12]
    repository = runs / f"example-{made_by}"
    if not (repository / "mnist" / str(VERSION) / "metadata.json").exists():
        print("training and exporting Keras' example network ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "benchmarks.example_network", str(repository)], check=True)
    return repository


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
    from benchmarks.example_graph import trained_example_graph
    from training.export_checks import run_in_batches, runtime_session

    data = np.load(DIGITS)
    graph = trained_example_graph(data["pixels"], data["label"], SEED, EPOCHS)
    folder = repository / "mnist" / str(VERSION)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(graph)
    pixels = data["pixels"][::2]
    np.savez(folder / "golden.npz", pixels=pixels, **run_in_batches(runtime_session(graph), pixels, 64))
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
