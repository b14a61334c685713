"""ONNX Runtime without a server, the ceiling of every server: in one process, or in two side by side.

`python -m benchmarks.load.in_process GRAPH IMAGES SECONDS` is one such process: it prints its calls' times as JSON.
"""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.measurement import Load, Measurement, percentile
from benchmarks.servers.example_network import sample_digits


@dataclass(frozen=True, slots=True)
class InProcess:
    """ONNX Runtime in a number of processes of one thread each."""

    name: str
    title: str
    processes: int


CEILINGS = (
    InProcess("onnxruntime-1", "ONNX Runtime alone, 1 process", 1),
    InProcess("onnxruntime-2", "ONNX Runtime alone, 2 processes", 2),
)


def measure_in_process(ceiling: InProcess, graph: Path, load: Load, seconds: float) -> Measurement:
    """Runs batches of `load.images` in a loop, in all processes together; `load.concurrency` does not matter here."""
    command = [sys.executable, "-m", "benchmarks.load.in_process", str(graph), str(load.images), str(seconds)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(ceiling.processes)]
    outputs = [json.loads(process.communicate()[0]) for process in running]
    milliseconds = sorted(each for output in outputs for each in output["milliseconds"])
    return Measurement(
        requests_per_second=sum(len(output["milliseconds"]) / output["seconds"] for output in outputs),
        p50_ms=percentile(milliseconds, 50),
        p99_ms=percentile(milliseconds, 99),
        cpu_us_per_request=sum(output["cpu_seconds"] for output in outputs) / len(milliseconds) * 1e6,
    )


def _main(graph: str, images: str, seconds: str) -> None:
    from benchmarks.peers.onnx_session import Session

    session, pixels = Session(graph), sample_digits()[: int(images)]
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
