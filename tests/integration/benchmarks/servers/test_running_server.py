"""A server is only measured if it starts and its answers are right."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.servers.lineup import SERVERS, Deployment, our_python
from benchmarks.servers.running_server import StartError, WrongAnswerError, run_server


def test_a_server_with_wrong_answers_is_not_measured(runs: Path, tmp_path: Path) -> None:
    (graph,) = runs.rglob("model.onnx")
    deployment = Deployment(our_python(), graph, graph.parents[2], tmp_path)
    pixels = np.zeros((3, 784), np.uint8)
    with (
        pytest.raises(WrongAnswerError, match="1 of 3"),
        run_server(SERVERS["ours-classify"], deployment, pixels, expected=[0, 0, 1]),
    ):
        pass


def test_the_error_of_a_server_that_cannot_start_has_its_output(tmp_path: Path) -> None:
    deployment = Deployment(our_python(), tmp_path, tmp_path / "nothing", tmp_path)
    with (
        pytest.raises(StartError, match="there is no model"),
        run_server(SERVERS["ours-classify"], deployment, np.zeros((1, 784), np.uint8), expected=[0]),
    ):
        pass
