"""The servers under load: how each is started, asked and stopped."""

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from benchmarks import echo_server
from protos.mnist.v1 import digits_pb2
from serving.grpc_listeners import LISTENERS

START_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Target:
    """A running server."""

    name: str
    pid: int
    grpc_port: int
    path: str  # of the HTTP/2 request
    metrics_url: str | None

    def answered_well(self) -> int | None:
        """RPCs that ended with OK so far, where the server tells."""
        if self.metrics_url is None:
            return None
        with urllib.request.urlopen(self.metrics_url) as response:
            text = response.read().decode()
        counts = re.findall(r'^grpc_server_handled_total\{grpc_code="OK",grpc_method="Classify".*\} (\S+)$', text, re.M)
        return sum(int(float(count)) for count in counts)

    def cpu_seconds(self) -> float:
        """Processor time used so far, user and system, all threads."""
        fields = _proc(self.pid, "stat").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> int:
        """Proportional set size: what the process itself takes, shared pages divided among their users."""
        found = re.search(r"^Pss:\s+(\d+) kB", _proc(self.pid, "smaps_rollup"), re.M)
        if not found:
            raise RuntimeError("no Pss in smaps_rollup: this is not Linux 4.14 or newer")
        return int(found[1]) * 1024


def request_body(images: int) -> bytes:
    """One gRPC message frame: a ClassifyRequest of `images` raw images, each the same picture with ink in its box."""
    pixels = bytes(min(255, abs(column - 14) * 40) if 4 <= row < 24 else 0 for row in range(28) for column in range(28))
    message = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=pixels)] * images).SerializeToString()
    return b"\0" + len(message).to_bytes(4, "big") + message


@contextmanager
def our_server(repository: str) -> Iterator[Target]:
    """This project's server, with its default settings."""
    arguments = ["-m", "serving", "--model-repository", repository, "--grpc-port", "0", "--http-port", "0"]
    ready = r'"grpc": "\S+:(\d+)", "http": "(\S+)".*"event": "serving"'
    with _process([*arguments, "--log-format", "json"], ready) as (pid, found):
        url = f"http://{found[2]}/metrics"
        yield Target("mnist-digits", pid, int(found[1]), "/mnist.v1.DigitClassifier/Classify", url)


def echo() -> AbstractContextManager[Target]:
    """The bare echo: same engine, same bytes, no work."""
    return _echo("bare grpc.aio echo", servers=1)


def echo_with_listeners() -> AbstractContextManager[Target]:
    """The bare echo with as many servers on its port as ours has."""
    return _echo(f"echo, {LISTENERS} listeners", servers=LISTENERS)


@contextmanager
def _echo(name: str, servers: int) -> Iterator[Target]:
    with _process(["-m", "benchmarks.echo_server", "0", str(servers)], r"listening (\d+)") as (pid, found):
        yield Target(name, pid, int(found[1]), "/" + "/".join(echo_server.METHOD), None)


@contextmanager
def _process(arguments: list[str], ready: str) -> Iterator[tuple[int, re.Match[str]]]:
    """Runs Python with `arguments` until the block ends; begins the block when a line of output matches `ready`."""
    process = subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout
    try:
        seen = ""
        for line in process.stdout:
            seen += line
            if found := re.search(ready, line):
                yield process.pid, found
                return
        raise RuntimeError(f"{' '.join(arguments)} ended before it was ready:\n{seen}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=START_SECONDS)


def _proc(pid: int, name: str) -> str:
    with open(f"/proc/{pid}/{name}") as file:  # noqa: PTH123  # a kernel's file, not a path to work with
        return file.read()
