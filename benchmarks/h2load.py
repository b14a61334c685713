"""Load by h2load, a C program that costs the server little of the machine they share."""

import re
import shutil
import statistics
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.targets import Target

CONNECTIONS = 8  # at most; streams are spread over them


@dataclass(frozen=True, slots=True)
class Load:
    """So many requests outstanding at any time, each with so many images."""

    concurrency: int
    images: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one load did to one target. Latencies in milliseconds."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_us_per_request: float


def check_installed() -> None:
    """Ends the program with the remedy where h2load is missing."""
    if shutil.which("h2load") is None:
        raise SystemExit("h2load is needed: apt-get install nghttp2-client")


def measure(target: Target, load: Load, body: bytes, seconds: int) -> Measurement:
    """Loads `target` for `seconds`. Raises RuntimeError unless every request was answered, and answered well."""
    connections = min(CONNECTIONS, load.concurrency)
    with tempfile.TemporaryDirectory() as folder:
        body_file, log_file = Path(folder, "body"), Path(folder, "log")
        body_file.write_bytes(body)
        well_before, cpu_before = target.answered_well(), target.cpu_seconds()
        output = subprocess.run(
            [
                *("h2load", f"--duration={seconds}", f"--clients={connections}", "--threads=1"),
                *(f"--max-concurrent-streams={load.concurrency // connections}", f"--data={body_file}"),
                *("--header=content-type: application/grpc", "--header=te: trailers", f"--log-file={log_file}"),
                f"http://127.0.0.1:{target.grpc_port}{target.path}",
            ],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        cpu, well_after = target.cpu_seconds() - cpu_before, target.answered_well()
        log = [line.split("\t") for line in log_file.read_text().splitlines()]
    done, failed = _requests(output)
    if failed or not done or any(status != "200" for _, status, _ in log):
        raise RuntimeError(f"{target.name}: {failed} of {done} requests failed under {load}:\n{output}")
    # At the end of the time h2load leaves requests open: the server may answer those that h2load no longer counts.
    if well_before is not None and well_after is not None and well_after - well_before < done:
        raise RuntimeError(f"{target.name}: of {done} requests only {well_after - well_before} ended with OK")
    latencies = sorted(int(microseconds) / 1000 for _, _, microseconds in log)
    percentiles = statistics.quantiles(latencies, n=100)
    return Measurement(done / seconds, percentiles[49], percentiles[98], cpu / done * 1e6)


def _requests(output: str) -> tuple[int, int]:
    found = re.search(r"requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", output)
    if not found:
        raise RuntimeError(f"h2load printed no result:\n{output}")
    return int(found[1]), int(found[3]) + int(found[4])
