"""A server while it runs: started, checked for right answers, and stopped with all its processes."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.peers.onnx_session import Session
from benchmarks.protocols.protocol import Pixels, RequestError
from benchmarks.servers.example_network import example_repository, graph_file, sample_digits
from benchmarks.servers.lineup import SERVERS, Deployment, Server, our_python
from benchmarks.system.process_tree import ProcessTree, stop

START_SECONDS = 120
READY_SECONDS = 20  # from the first right answer until every worker gives some
RESPONSE_SECONDS = 60.0  # under load, on a busy machine
BATCH_IMAGES = 64
SINGLE_IMAGES = 10  # of the images, that are also sent one by one
PORTS = 3  # one for the protocol, and two more for servers that insist on them


class StartError(Exception):
    """A server ended, or did not answer in time. The message ends with the server's last output."""


class WrongAnswerError(Exception):
    """A server reads digits that differ from those of ONNX Runtime in this process."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that answers on the loopback. `ports`: the first is that of its protocol."""

    server: Server
    ports: tuple[int, ...]
    processes: ProcessTree
    start_seconds: float  # from its start to its first right answer
    ready_bytes: int  # proportional set size of all its processes then

    @property
    def port(self) -> int:
        """The port of the server's protocol."""
        return self.ports[0]

    @property
    def name(self) -> str:
        """The server's name on the command line."""
        return self.server.name


@contextmanager
def run_server(server: Server, deployment: Deployment, pixels: Pixels, expected: list[int]) -> Iterator[RunningServer]:
    """Runs `server` for the block, which begins once all of `pixels` are read as `expected`.

    Raises StartError or WrongAnswerError.
    """
    ports = free_ports(PORTS)
    log = deployment.folder / "server.log"
    began = time.monotonic()
    # Each server with its own settings of gRPC: importing our engine has set ours in this process.
    environment = {name: value for name, value in os.environ.items() if name != "GRPC_EXPERIMENTS"}
    with log.open("w") as output:
        process = subprocess.Popen(
            server.command(deployment, ports),
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=deployment.root,
            env=environment | server.environment(deployment),
            start_new_session=True,
        )
    try:
        _wait_for_response(server, process, ports[0], pixels[:1], log)
        seconds, processes = time.monotonic() - began, ProcessTree(process.pid)
        started = RunningServer(server, tuple(ports), processes, seconds, processes.memory_bytes())
        _check_when_ready(started, pixels, expected)
        yield started
    finally:
        stop(process)


@contextmanager
def run_our_server(runs: Path, models: Path | None = None) -> Iterator[RunningServer]:
    """Runs our server for the block: with the example network, or with one worker and the default model of `models`."""
    server = SERVERS["ours-one-mnist" if models else "ours"]
    repository = (models or example_repository(runs)).absolute()
    graph, pixels = graph_file(repository), sample_digits()
    folder = runs / "servers" / "alone"
    folder.mkdir(parents=True, exist_ok=True)
    deployment = Deployment(our_python(), graph, repository, folder)
    with run_server(server, deployment, pixels, expected_digits(graph, pixels)) as started:
        yield started


def expected_digits(graph: Path, pixels: Pixels) -> list[int]:
    """The digits that ONNX Runtime reads from pixels (n, 784) uint8 in this process: those every server must read."""
    digits = np.asarray(Session(str(graph)).run(pixels)["digit"])
    return [int(digit) for digit in digits]


def check_answers(running: RunningServer, pixels: Pixels, expected: list[int]) -> None:
    """Raises WrongAnswerError unless the server reads `pixels` as `expected`, in batches and one by one.

    A protocol of pictures has no batches.
    """
    protocol = running.server.protocol
    if not running.server.returns_digits:
        return
    batches = [pixels[at : at + BATCH_IMAGES] for at in range(0, len(pixels), BATCH_IMAGES)]
    single_rows = [row[np.newaxis] for row in pixels[:SINGLE_IMAGES]]
    checks = [(batches, expected), (single_rows, expected[:SINGLE_IMAGES])]
    for parts, wanted in checks[1:] if protocol.carries_pictures else checks:
        found = [digit for part in parts for digit in protocol.classify(running.port, part, RESPONSE_SECONDS)]
        if found != wanted:
            differing = sum(a != b for a, b in zip(found, wanted, strict=False)) + abs(len(found) - len(wanted))
            raise WrongAnswerError(
                f"{running.name} reads {differing} of {len(wanted)} digits differently from ONNX Runtime"
            )


def _check_when_ready(running: RunningServer, pixels: Pixels, expected: list[int]) -> None:
    """Checks the answers, and again while requests fail: over HTTP each worker refuses until it is ready itself."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            return check_answers(running, pixels, expected)
        except RequestError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nothing listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait_for_response(server: Server, process: subprocess.Popen[bytes], port: int, pixels: Pixels, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    failure = ""
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                pass  # a gRPC channel that is refused waits a second before it tries again
            server.protocol.call(port, pixels, timeout_seconds=5)
            return
        except (RequestError, OSError) as error:
            failure = str(error)
            time.sleep(0.02)
    state = "did not answer in time" if process.poll() is None else f"ended with {process.returncode}"
    raise StartError(f"{server.name} {state}: {failure}\n{log.read_text()[-3000:]}")
