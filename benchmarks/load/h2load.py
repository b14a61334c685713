"""Load by h2load, a C program, which takes little of the machine that it shares with the server."""

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.measurement import Load, Measurement, percentile
from benchmarks.protocols.protocol import GRPC_HEADERS, GRPC_PREFIX_BYTES, Pixels, Protocol
from benchmarks.servers.running_server import RunningServer


class LoadError(Exception):
    """Requests ended without a response, or with an error."""


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """Requests that ended within the time, the failed ones among them, and the bytes of all response bodies."""

    done: int
    failed: int
    data_bytes: int


def check_installed() -> None:
    """Ends the program with the remedy if h2load is missing."""
    if shutil.which("h2load") is None:
        raise SystemExit("h2load is needed: apt-get install nghttp2-client")


def measure(target: RunningServer, load: Load, pixels: Pixels, seconds: float) -> Measurement:
    """Loads `target` for `seconds` with requests that carry `pixels` (load.images, 784) uint8.

    Raises LoadError if a request failed under load, RequestError if one failed before it.
    """
    protocol = target.server.protocol
    response_bytes = len(protocol.call(target.port, pixels)) + GRPC_PREFIX_BYTES
    with tempfile.TemporaryDirectory() as folder:
        body, log = Path(folder, "body"), Path(folder, "log")
        body.write_bytes(protocol.body(pixels))
        cpu_before = target.processes.cpu_seconds()
        output = subprocess.run(
            command(protocol, target.port, load, seconds, body, log), capture_output=True, text=True, check=True
        ).stdout
        cpu = target.processes.cpu_seconds() - cpu_before
        rows = log.read_text()
    counts = parse_output(output)
    _check(target.name, counts, protocol, response_bytes, output)
    latencies = parse_log(rows)
    return Measurement(
        requests_per_second=counts.done / seconds,
        p50_ms=percentile(latencies, 50),
        p99_ms=percentile(latencies, 99),
        cpu_us_per_request=cpu / counts.done * 1e6,
    )


def parse_output(output: str) -> RequestCounts:
    """Reads the summary that h2load prints. Raises RuntimeError if there is none."""
    requests = re.search(r"requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", output)
    codes = re.search(r"status codes: \d+ 2xx, (\d+) 3xx", output)
    traffic = re.search(r"traffic: .*, \S+ \((\d+)\) data", output)
    if not (requests and codes and traffic):
        raise RuntimeError(f"h2load printed no result:\n{output}")
    failed = int(requests[3]) + int(requests[4]) + int(codes[1])  # h2load counts a redirection as a success
    return RequestCounts(int(requests[1]), failed, int(traffic[1]))


def parse_log(log: str) -> list[float]:
    """Reads the milliseconds of each request, ascending. Raises RuntimeError for a status other than 200."""
    rows = [line.split("\t") for line in log.splitlines()]
    others = {status for _, status, _ in rows} - {"200"}
    if others:
        raise RuntimeError(f"h2load logged the statuses {sorted(others)}")
    return sorted(int(microseconds) / 1000 for _, _, microseconds in rows)


def _check(name: str, counts: RequestCounts, protocol: Protocol, response_bytes: int, output: str) -> None:
    if not counts.done or counts.failed:
        raise LoadError(f"{name}: {counts.failed} of {counts.done} requests failed:\n{output}")
    # h2load counts a gRPC error as a success: its HTTP status is 200. But it has no body, so bytes are counted.
    if protocol.is_grpc and counts.data_bytes < counts.done * response_bytes:
        raise LoadError(
            f"{name}: {counts.done} responses hold {counts.data_bytes} bytes and not {response_bytes} each: "
            "some RPCs ended with an error"
        )


def command(protocol: Protocol, port: int, load: Load, seconds: float, body: Path, log: Path) -> list[str]:
    """The command line that sends the file `body` in every request, and logs each response to `log`."""
    if protocol.is_grpc:
        connections = min(load.connections, load.concurrency)  # streams are spread over them
        headers = GRPC_HEADERS
        kind = [f"--max-concurrent-streams={load.concurrency // connections}"]
    else:  # HTTP/1.1 has one request a connection
        connections, kind = load.concurrency, ["--h1"]
        headers = {"content-type": protocol.content_type, **dict(protocol.headers)}
    return [
        *(
            "h2load",
            f"--duration={round(seconds * 1000)}ms",
            f"--clients={connections}",
            "--threads=1",
            f"--data={body}",
        ),
        *(f"--header={name}: {value}" for name, value in headers.items()),
        *(f"--log-file={log}", *kind, f"http://127.0.0.1:{port}{protocol.path}"),
    ]
