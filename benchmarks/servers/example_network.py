"""The network that every server serves in the comparison: Keras' example for MNIST (34,826 parameters), as ONNX.

It is written once, as a model version of ours, into a folder that git ignores; peers read the graph in it. All servers
get the same graph, from raw pixels to answers, so that servers are compared and not graphs.
`python -m benchmarks.servers.example_network FOLDER` writes it, in a process of its own because TensorFlow is large.
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
DIGITS = Path(__file__).parents[2] / "tests/data/digits.npz"


def example_repository(runs: Path) -> Path:
    """The model repository with the example as `mnist` version 1, which is written first if it is missing."""
    repository = example_folder(runs)
    if not (repository / "mnist" / str(VERSION) / "metadata.json").exists():
        print("training and exporting Keras' example network ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "benchmarks.servers.example_network", str(repository)], check=True)
    return repository


def example_folder(runs: Path) -> Path:
    """The folder of that repository; its name changes with the code and the digits that make the network."""
    makers = (Path(__file__), Path(__file__).with_name("example_graph.py"), DIGITS)
    made_by = hashlib.sha256(b"".join(maker.read_bytes() for maker in makers)).hexdigest()
    return runs / f"example-{made_by[:12]}"


def graph_file(repository: Path, name: str = "mnist") -> Path:
    """The graph of the highest version of the model `name` in `repository`."""
    versions = (folder for folder in (repository / name).iterdir() if folder.name.isdecimal())
    return max(versions, key=lambda folder: int(folder.name)) / "model.onnx"


def sample_digits() -> npt.NDArray[np.uint8]:
    """Pixels (400, 784) uint8 of MNIST digits, 40 of each, which requests carry."""
    pixels: npt.NDArray[np.uint8] = np.load(DIGITS)["pixels"]
    return pixels


def _write(repository: Path) -> None:
    # Imported here and not above: callers that need only the file's name need no TensorFlow.
    with stderr_held_back():
        from benchmarks.servers.example_graph import trained_example_graph
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
        "metrics": {"mnist_test": {"accuracy": 0.0}},  # the network is timed; its accuracy does not matter
        "files": {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names},
    }
    (folder / "metadata.json").write_text(json.dumps(metadata))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _write(Path(sys.argv[1]))
