"""The whole benchmark, with our server and the echo, for a second."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.lineup import SERVERS, Place, our_python
from benchmarks.measurement import Load
from benchmarks.process_tree import ProcessTree, all_stats
from benchmarks.results import read_results
from benchmarks.running_server import StartError, WrongAnswerError, running

ROOT = Path(__file__).parents[3]
needs_h2load = pytest.mark.skipif(
    shutil.which("h2load") is None, reason="h2load is not installed (Debian package nghttp2-client)"
)


def benchmark(runs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", "--runs", str(runs), "--rounds", "1", "--seconds", "1"]
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


def test_a_server_that_reads_otherwise_is_not_measured(runs: Path, tmp_path: Path) -> None:
    (graph,) = runs.rglob("model.onnx")
    place = Place(our_python(), graph, graph.parents[2], tmp_path)
    pixels = np.zeros((3, 784), np.uint8)
    with (
        pytest.raises(WrongAnswerError, match="1 of 3"),
        running(SERVERS["ours-classify"], place, pixels, expected=[0, 0, 1]),
    ):
        pass


def test_a_server_that_cannot_start_is_told_with_what_it_said(tmp_path: Path) -> None:
    place = Place(our_python(), tmp_path, tmp_path / "nothing", tmp_path)
    with (
        pytest.raises(StartError, match="there is no model"),
        running(SERVERS["ours-classify"], place, np.zeros((1, 784), np.uint8), expected=[0]),
    ):
        pass


@pytest.fixture
def family() -> Iterator[subprocess.Popen[str]]:
    """A process with a child, which has said that it runs; both read until they are ended."""
    child = "print('runs', flush=True); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    process = subprocess.Popen(
        [sys.executable, "-c", parent],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin
    assert process.stdout
    assert process.stdout.readline() == "runs\n"
    yield process
    ProcessTree(process.pid).kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_memory_and_time_are_of_all_processes(family: subprocess.Popen[str]) -> None:
    tree = ProcessTree(family.pid)
    assert len(tree.pids()) == 2
    alone = sum(stat.ticks for stat in all_stats() if stat.pid == family.pid)
    assert tree.cpu_seconds() >= alone / os.sysconf("SC_CLK_TCK")
    assert tree.memory_bytes() > 5 * 2**20


def test_frozen_processes_stand_still_until_they_are_thawed(family: subprocess.Popen[str]) -> None:
    tree = ProcessTree(family.pid)
    tree.freeze()
    _, status = os.waitpid(family.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    tree.thaw()
    _, status = os.waitpid(family.pid, os.WCONTINUED)
    assert os.WIFCONTINUED(status)
