"""The server whose metrics count nothing answers like any other, and counts nothing."""

import re
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from benchmarks.servers.lineup import SERVERS, Deployment, our_python
from benchmarks.servers.running_server import run_server

COUNTS = r"^(?:grpc_server_handled_total|mnist_batch_size_count|mnist_predictions_total)(?:\{.*\})? (\S+)$"


@pytest.mark.parametrize(("name", "is_counted"), [("ours-one", True), ("ours-one-unmetered", False)])
def test_calls_are_counted_unless_metrics_are_off(runs: Path, tmp_path: Path, name: str, is_counted: bool) -> None:
    (graph,) = runs.rglob("model.onnx")
    deployment = Deployment(our_python(), graph, graph.parents[2], tmp_path)
    pixels = np.zeros((3, 784), np.uint8)
    with (
        run_server(SERVERS[name], deployment, pixels, expected=[0, 0, 0]) as server,
        urllib.request.urlopen(f"http://127.0.0.1:{server.ports[1]}/metrics", timeout=30) as response,
    ):
        page = response.read().decode()
    counts = [float(value) for value in re.findall(COUNTS, page, re.M)]
    assert any(counts) == is_counted
