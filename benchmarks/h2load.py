"""Load by h2load, a C program that costs the server little of the machine they share."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.h2load_output import Answered, latencies_ms, parse_output
from benchmarks.measurement import Load, Measurement, percentile
from benchmarks.running_server import RunningServer
from benchmarks.wire.protocol import GRPC_HEADERS, Pixels, Protocol

CONNECTIONS = 8  # at most, of HTTP/2; streams are spread over them. HTTP/1.1 has one request a connection
GRPC_FRAME_BYTES = 5


class LoadError(Exception):
    """Requests were not answered, or not well."""


def check_installed() -> None:
    """Ends the program with the remedy where h2load is missing."""
    if shutil.which("h2load") is None:
        raise SystemExit("h2load is needed: apt-get install nghttp2-client")


def measure(target: RunningServer, load: Load, pixels: Pixels, seconds: int) -> Measurement:
    """Loads `target` for `seconds` with requests that carry `pixels` (load.images, 784) uint8.

    Raises LoadError unless every request was answered, and answered well; AskError when it no longer answers.
    """
    protocol = target.server.protocol
    answer_bytes = len(protocol.ask(target.port, pixels)) + GRPC_FRAME_BYTES
    with tempfile.TemporaryDirectory() as folder:
        body, log = Path(folder, "body"), Path(folder, "log")
        body.write_bytes(protocol.body(pixels))
        cpu_before = target.processes.cpu_seconds()
        command = _command(protocol, target.port, load, seconds, body, log)
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        cpu = target.processes.cpu_seconds() - cpu_before
        rows = log.read_text()
    answered = parse_output(output)
    _check(target.name, answered, protocol, answer_bytes, output)
    latencies = latencies_ms(rows)
    return Measurement(
        requests_per_second=answered.done / seconds,
        p50_ms=percentile(latencies, 50),
        p99_ms=percentile(latencies, 99),
        cpu_us_per_request=cpu / answered.done * 1e6,
    )


def _check(name: str, answered: Answered, protocol: Protocol, answer_bytes: int, output: str) -> None:
    """For h2load a gRPC error is a success: its HTTP status is 200. But it has no body, and so the bytes tell."""
    if not answered.done or answered.failed:
        raise LoadError(f"{name}: {answered.failed} of {answered.done} requests failed:\n{output}")
    if protocol.is_grpc and answered.data_bytes < answered.done * answer_bytes:
        raise LoadError(
            f"{name}: {answered.done} answers hold {answered.data_bytes} bytes and not {answer_bytes} each: "
            "some RPCs ended with an error"
        )


def _command(protocol: Protocol, port: int, load: Load, seconds: int, body: Path, log: Path) -> list[str]:
    if protocol.is_grpc:
        connections = min(CONNECTIONS, load.concurrency)
        headers = GRPC_HEADERS
        kind = [f"--max-concurrent-streams={load.concurrency // connections}"]
    else:
        connections, headers, kind = load.concurrency, {"content-type": protocol.content_type}, ["--h1"]
    return [
        *("h2load", f"--duration={seconds}", f"--clients={connections}", "--threads=1", f"--data={body}"),
        *(f"--header={name}: {value}" for name, value in headers.items()),
        *(f"--log-file={log}", *kind, f"http://127.0.0.1:{port}{protocol.path}"),
    ]
