"""Times the start of our server: seconds to the first 200 of /readyz and to health SERVING."""

import argparse
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rich.console import Console
from rich.table import Table

from benchmarks.load.measurement import spread_of
from benchmarks.servers.running_server import free_ports

POLL_SECONDS = 0.005
START_SECONDS = 60.0


def main(arguments: Sequence[str]) -> None:
    """Starts and stops the server repeatedly; prints medians with ranges."""
    options = _parser().parse_args(arguments)
    starts = [_start_once(options.arguments) for _ in range(options.starts + 1)][1:]  # the first fills the page cache
    table = Table("until", "seconds", title=f"median of {options.starts} starts (range)")
    table.add_row("/readyz answers 200", str(spread_of([ready for ready, _ in starts])))
    table.add_row("health says SERVING", str(spread_of([serving for _, serving in starts])))
    Console().print(table)


def _start_once(arguments: list[str]) -> tuple[float, float]:
    grpc_port, http_port = free_ports(2)
    command = [
        *(sys.executable, "-m", "serving", "--grpc-port", str(grpc_port), "--http-port", str(http_port)),
        *("--log-level", "warning", *arguments),
    ]
    began = time.monotonic()
    process = subprocess.Popen(command)
    try:
        ready = _seconds_until(lambda: _is_ready(http_port), began, process)
        return ready, _seconds_until(lambda: _is_serving(grpc_port), began, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _seconds_until(is_reached: Callable[[], bool], began: float, process: subprocess.Popen[bytes]) -> float:
    while not is_reached():
        if process.poll() is not None:
            raise SystemExit(f"error: the server ended with {process.returncode} before it was ready")
        if time.monotonic() - began > START_SECONDS:
            raise SystemExit(f"error: the server was not ready within {START_SECONDS:g} seconds")
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _is_serving(port: int) -> bool:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            stub: Any = health_pb2_grpc.HealthStub(channel)  # its stubs declare no methods
            response = stub.Check(health_pb2.HealthCheckRequest(), timeout=1)
        except grpc.RpcError:
            return False
    return bool(response.status == health_pb2.HealthCheckResponse.SERVING)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks startup", description=__doc__)
    parser.add_argument("--starts", type=int, default=10, help="number of starts (default: %(default)s)")
    parser.add_argument("arguments", nargs="*", help="flags for the server after --, as in: -- --model-name mnist-int8")
    return parser
