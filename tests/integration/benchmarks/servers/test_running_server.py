"""A server is only measured if it starts and its answers are right."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.protocols.peer_contracts import picture_http
from benchmarks.servers.example_network import sample_digits
from benchmarks.servers.lineup import SERVERS, Deployment, Server, our_python
from benchmarks.servers.running_server import StartError, WrongAnswerError, run_server

# Reads every picture as 0, and refuses the second and the third request.
HALF_READY = """
import http.server, sys
statuses = iter((200, 503, 503))
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(next(statuses, 200))
        self.end_headers()
        self.wfile.write(bytes(40))
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


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


def test_a_server_is_waited_for_until_all_of_its_workers_are_ready(tmp_path: Path) -> None:
    server = Server(
        "half-ready", "half ready", picture_http("/read"),
        lambda deployment, ports: [str(deployment.python), "-c", HALF_READY, str(ports[0])],
    )  # fmt: skip
    deployment = Deployment(our_python(), tmp_path, tmp_path, tmp_path)
    with run_server(server, deployment, sample_digits()[:2], expected=[0, 0]) as started:
        assert started.ready_bytes > 0
    assert (tmp_path / "server.log").read_text().count(" 503 ") == 2
