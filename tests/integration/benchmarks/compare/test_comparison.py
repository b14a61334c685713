"""The whole benchmark, with our server and the echo server, for a second."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.compare.results import read_results
from benchmarks.load.measurement import Load

ROOT = Path(__file__).parents[4]
needs_h2load = pytest.mark.skipif(
    shutil.which("h2load") is None, reason="h2load is not installed (Debian package nghttp2-client)"
)


def benchmark(runs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", "--runs", str(runs), "--rounds", "1", "--seconds", "0.3"]
    command += ["--ours", "ours-classify", "--peers", "echo", *arguments]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MNIST_")}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


@needs_h2load
def test_our_server_and_the_echo_are_measured_written_and_drawn(runs: Path) -> None:
    done = benchmark(runs, "--loads", "32", "64x8")
    assert done.returncode == 0, done.stderr
    results = read_results(runs.parent / "benchmark.json")
    assert results.failed == {}
    assert results.loads() == [Load(32, 1), Load(8, 64)]
    assert set(results.rounds) == {"ours-classify", "echo", "onnxruntime-1", "onnxruntime-2"}
    for name in ("ours-classify", "echo"):
        assert results.alone[name].memory_mebibytes > 10
        for rounds in results.rounds[name].values():
            (measured,) = rounds
            assert measured.requests_per_second > 10
            assert 0 < measured.p50_ms <= measured.p99_ms
            assert measured.cpu_us_per_request > 0
    assert (runs.parent / "benchmark.png").read_bytes().startswith(b"\x89PNG")
    assert "32 at once" in done.stdout


@needs_h2load
def test_tails_are_measured_at_fixed_rates(runs: Path) -> None:
    done = benchmark(runs, "--open-loop", "50")
    assert done.returncode == 0, done.stderr
    results = read_results(runs.parent / "open_loop.json")
    assert set(results.tails) == {"ours-classify", "echo"}
    ((tail,),) = results.tails["ours-classify"].values()
    assert tail.unanswered == 0
    assert 0 < tail.p50_ms <= tail.p99_ms <= tail.p999_ms <= tail.worst_ms
