"""One server while it runs: started, asked until it answers rightly, frozen while others are loaded, stopped."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.lineup import Place, Server
from benchmarks.process_tree import ProcessTree
from benchmarks.wire.protocol import AskError, Pixels

START_SECONDS = 120
STOP_SECONDS = 20
ANSWER_SECONDS = 60.0  # under load, on a busy machine
ASKED_AT_ONCE = 64
PORTS = 3  # gRPC or HTTP, and what else a server insists on


class StartError(Exception):
    """A server ended or did not answer in time; the message has the end of its output."""


class WrongAnswerError(Exception):
    """A server reads other digits than ONNX Runtime in process."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that answers."""

    server: Server
    port: int
    processes: ProcessTree
    start_seconds: float  # from its start to its first right answer

    @property
    def name(self) -> str:
        """As on the command line."""
        return self.server.name


@contextmanager
def running(server: Server, place: Place, pixels: Pixels, expected: list[int]) -> Iterator[RunningServer]:
    """Runs `server` until the block ends; begins the block when all of `pixels` are read as `expected`.

    Raises StartError or WrongAnswerError.
    """
    ports = free_ports(PORTS)
    log = place.folder / "server.log"
    began = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(
            server.command(place, ports),
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | server.environment(place),
            start_new_session=True,
        )
    processes = ProcessTree(process.pid)
    try:
        _wait_until_it_answers(server, process, ports[0], pixels[:1], log)
        started = RunningServer(server, ports[0], processes, time.monotonic() - began)
        check_answers(started, pixels, expected)
        yield started
    finally:
        _stop(process, processes)


def check_answers(running_server: RunningServer, pixels: Pixels, expected: list[int]) -> None:
    """Raises WrongAnswerError unless the server reads each of `pixels` as expected, singly and in batches."""
    protocol = running_server.server.protocol
    if not running_server.server.reads_digits:
        return
    batches = [pixels[at : at + ASKED_AT_ONCE] for at in range(0, len(pixels), ASKED_AT_ONCE)]
    rows = [row[np.newaxis] for row in pixels[:10]]

    def read_by_server(parts: list[Pixels]) -> list[int]:
        port = running_server.port
        return [digit for part in parts for digit in protocol.read(port, part, ANSWER_SECONDS)]

    read, singly = read_by_server(batches), read_by_server(rows)
    for found, wanted in ((read, expected), (singly, expected[:10])):
        if found != wanted:
            differing = sum(a != b for a, b in zip(found, wanted, strict=False)) + abs(len(found) - len(wanted))
            raise WrongAnswerError(
                f"{running_server.name} reads {differing} of {len(wanted)} digits otherwise than ONNX Runtime does"
            )


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait_until_it_answers(
    server: Server, process: subprocess.Popen[bytes], port: int, pixels: Pixels, log: Path
) -> None:
    deadline = time.monotonic() + START_SECONDS
    refusal = ""
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                pass  # a gRPC channel that is refused waits a second before it tries again
            server.protocol.ask(port, pixels, timeout_seconds=5)
            return
        except (AskError, OSError) as error:
            refusal = str(error)
            time.sleep(0.02)
    state = "did not answer in time" if process.poll() is None else f"ended with {process.returncode}"
    raise StartError(f"{server.name} {state}: {refusal}\n{log.read_text()[-3000:]}")


def _stop(process: subprocess.Popen[bytes], processes: ProcessTree) -> None:
    pids = processes.pids()
    processes.thaw()
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        processes.kill()
        for pid in pids:  # children whose parent has gone before them
            _kill_if_of(pid, process.pid)
        process.wait(STOP_SECONDS)


def _kill_if_of(pid: int, session: int) -> None:
    """A pid may have been given to another process since: only one of the same session is ours."""
    try:
        if os.getsid(pid) == session:
            os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
