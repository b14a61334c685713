"""ONNX Runtime with no server around it, the limit of them all: one process, or as many as there are cores to use.

`python -m benchmarks.in_process GRAPH IMAGES SECONDS` is one such process: it prints the calls it made and their times.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.example_network import digits_to_ask
from benchmarks.measurement import Load, Measurement, percentile


@dataclass(frozen=True, slots=True)
class InProcess:
    """So many processes of one thread, side by side."""

    name: str
    title: str
    processes: int


LIMITS = (
    InProcess("onnxruntime-1", "ONNX Runtime alone, 1 process", 1),
    InProcess("onnxruntime-2", "ONNX Runtime alone, 2 processes", 2),
)


def measure_in_process(limit: InProcess, graph: Path, load: Load, seconds: float) -> Measurement:
    """Calls per second of all processes, in batches of `load.images`; its concurrency does not matter here."""
    command = [sys.executable, "-m", "benchmarks.in_process", str(graph), str(load.images), str(seconds)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(limit.processes)]
    found = [json.loads(process.communicate()[0]) for process in running]
    milliseconds = sorted(each for one in found for each in one["milliseconds"])
    return Measurement(
        requests_per_second=sum(len(one["milliseconds"]) / one["seconds"] for one in found),
        p50_ms=percentile(milliseconds, 50),
        p99_ms=percentile(milliseconds, 99),
        cpu_us_per_request=sum(one["cpu_seconds"] for one in found) / len(milliseconds) * 1e6,
    )


def _main(graph: str, images: str, seconds: str) -> None:
    from benchmarks.peers.onnx_session import Session

    session, pixels = Session(graph), digits_to_ask()[: int(images)]
    for _ in range(10):
        session.run(pixels)
    milliseconds, began, cpu_before = [], time.perf_counter(), time.process_time()
    before = began
    while before - began < float(seconds):
        session.run(pixels)
        now = time.perf_counter()
        milliseconds.append((now - before) * 1000)
        before = now
    cpu = time.process_time() - cpu_before
    print(json.dumps({"milliseconds": milliseconds, "seconds": before - began, "cpu_seconds": cpu}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
