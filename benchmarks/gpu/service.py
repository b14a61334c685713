"""Steps that measure the real server on the card and on the CPU of the same machine, under two loads."""

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from benchmarks.gpu.card import card_memory_mib
from benchmarks.gpu.record import Budget
from benchmarks.load.measurement import Load, Measurement, percentile
from benchmarks.protocols.open_inference import open_inference
from benchmarks.servers.example_network import graph_file, sample_digits
from benchmarks.servers.lineup import Deployment, Server, our_python, our_server
from benchmarks.servers.running_server import RunningServer, expected_digits, run_server

LOADS = (Load(32, 1), Load(8, 64))
LOAD_PROCESSES = 4
LOAD_SECONDS = 3.0


def measure(models: Path, folder: Path, flags: Sequence[str], budget: Budget) -> dict[str, Any]:
    """Starts the server with `flags` and loads it, by each of LOADS for which there is time; `folder` gets its log."""
    repository = models.absolute()
    graph, pixels = graph_file(repository, "mnist"), sample_digits()
    server = Server("ours", "ours", open_inference("mnist"), our_server(*flags, log_level="info"))
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Any] = {"flags": " ".join(flags), "card_before_mib": card_memory_mib(), "loads": {}}
    deployment = Deployment(our_python(), graph, repository, folder.absolute())
    with run_server(server, deployment, pixels, expected_digits(graph, pixels)) as running:
        found["start_seconds"] = running.start_seconds
        for load in LOADS:
            if budget.left > 2 * LOAD_SECONDS:
                found["loads"][load.title] = asdict(measure_load(running, load))
                print(f"  {' '.join(flags)}, {load.title}: {found['loads'][load.title]}", flush=True)
        found["processes"] = len(running.processes.processes())
        found["card_mib"] = card_memory_mib()
        with suppress(OSError, psutil.Error):  # not every kernel tells which pages are shared
            found["memory_mib"] = running.processes.memory_bytes() / 2**20
    found["log"] = (folder / "server.log").read_text(errors="replace").splitlines()[:40]
    return found


def tune(models: Path, budget: Budget) -> dict[str, Any]:
    """Runs `serving tune` with --device auto; returns what it printed."""
    command = [sys.executable, "-m", "serving", "tune", "--model-repository", str(models), "--device", "auto"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=max(1.0, budget.left), check=False)
    print(done.stderr, flush=True)
    return {"status": done.returncode, "picked": done.stdout, "table": done.stderr}


def measure_load(running: RunningServer, load: Load) -> Measurement:
    """Loads the server from LOAD_PROCESSES processes. Raises RuntimeError where a request failed or none succeeded."""
    each = load.concurrency // LOAD_PROCESSES
    arguments = [str(running.port), str(load.images), str(each), str(LOAD_SECONDS)]
    command = [sys.executable, "-m", "benchmarks.gpu.load_process", *arguments]
    cpu_before = running.processes.cpu_seconds()
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(LOAD_PROCESSES)]
    outputs = [json.loads(process.communicate(timeout=LOAD_SECONDS + 30)[0]) for process in processes]
    cpu = running.processes.cpu_seconds() - cpu_before
    milliseconds = sorted(each for output in outputs for each in output["milliseconds"])
    errors = sum(output["errors"] for output in outputs)
    if errors or not milliseconds:
        raise RuntimeError(f"{errors} of {len(milliseconds)} requests failed")
    return Measurement(
        requests_per_second=len(milliseconds) / LOAD_SECONDS,
        p50_ms=percentile(milliseconds, 50),
        p99_ms=percentile(milliseconds, 99),
        cpu_us_per_request=cpu / len(milliseconds) * 1e6,  # a little more: the requests of the warm-up count in cpu
    )
