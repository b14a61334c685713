"""The echo on the completion queue returns what it gets, and callers who leave cost the others nothing."""

from pathlib import Path

import grpc
import numpy as np

from benchmarks.protocols.open_inference import ECHO
from benchmarks.servers.lineup import SERVERS, Deployment, our_python
from benchmarks.servers.running_server import run_server


def test_every_caller_gets_its_own_bytes_whoever_leaves(tmp_path: Path) -> None:
    deployment = Deployment(our_python(), tmp_path, tmp_path, tmp_path)
    pixels = np.zeros((1, 784), np.uint8)
    with (
        run_server(SERVERS["echo-completion-queue"], deployment, pixels, expected=[]) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(ECHO.path)
        calls = [method.future(b"%d" % number, timeout=30) for number in range(300)]
        for call in calls[::3]:
            call.cancel()
        assert [call.result() for call in calls[1::3]] == [b"%d" % number for number in range(1, 300, 3)]
        assert method(b"", timeout=30) == b""
