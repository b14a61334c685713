"""The whole benchmark, with our server and the echo server, for a second."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import COMMANDS, main
from benchmarks.compare import cli
from benchmarks.compare.results import read_results
from benchmarks.load.measurement import MANY_CONNECTIONS, PICTURE_LOADS, PYTHON_CALLS, SHARED_PYTHON_CALLS, Load
from benchmarks.system.process_tree import stop
from tests.support.h2load import needs_h2load

ROOT = Path(__file__).parents[4]


OPTIONS = ["--rounds", "1", "--seconds", "0.3", "--ours", "ours-classify", "--peers", "echo"]


def benchmark(*arguments: str) -> tuple[int, str, str]:
    """Exit status and output of `python -m benchmarks`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MNIST_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=120)
    finally:
        stop(process)
    return process.returncode, output, errors


@needs_h2load
def test_our_server_and_the_echo_are_measured_written_and_drawn(runs: Path) -> None:
    status, output, errors = benchmark("--runs", str(runs), *OPTIONS, "--loads", "32", "64x8")
    assert status == 0, errors
    results = read_results(runs.parent / "benchmark.json")
    assert results.failed == {}
    assert results.loads() == [Load(32, 1), Load(8, 64)]
    assert set(results.rounds) == {"ours-classify", "echo", "onnxruntime-1", "onnxruntime-2"}
    for name in ("ours-classify", "echo"):
        assert 10 < results.alone[name].ready_mebibytes <= 2 * results.alone[name].memory_mebibytes
        for rounds in results.rounds[name].values():
            (measured,) = rounds
            assert measured.requests_per_second > 10
            assert 0 < measured.p50_ms <= measured.p99_ms
            assert measured.cpu_us_per_request > 0
    assert (runs.parent / "benchmark.png").read_bytes().startswith(b"\x89PNG")
    assert "32 at once" in output


@needs_h2load
def test_tails_are_measured_at_fixed_rates(runs: Path) -> None:
    cli.main(["--runs", str(runs), *OPTIONS, "--open-loop", "50"])
    results = read_results(runs.parent / "open_loop.json")
    assert set(results.tails) == {"ours-classify", "echo"}
    ((tail,),) = results.tails["ours-classify"].values()
    assert tail.unanswered == 0
    assert 0 < tail.p50_ms <= tail.p99_ms <= tail.p999_ms <= tail.worst_ms


@needs_h2load
def test_targets_are_measured_with_what_they_need_and_shown(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = ["--rounds", "1", "--seconds", "0.3", "--open-loop-seconds", "0.3"]
    cli.main(["--runs", str(runs), *short, "--ours", "--peers", "--targets", "echo", "python", "connections"])
    results = read_results(runs.parent / "benchmark.json")
    assert results.failed == {}
    assert {name: set(measured) for name, measured in results.rounds.items()} == {
        "ours": {MANY_CONNECTIONS, PYTHON_CALLS, SHARED_PYTHON_CALLS},
        "ours-one": {Load(32, 1)},
        "echo-completion-queue": {Load(32, 1)},
    }
    table = capsys.readouterr().out.split("| --- | --- | --- | --- |\n")[1].splitlines()
    assert len(table) == 3
    assert not any("not measured" in row for row in table)


@needs_h2load
def test_pictures_are_measured_with_the_servers_that_take_them(runs: Path) -> None:
    options = ["--rounds", "1", "--seconds", "0.3", "--ours", "ours-one-pictures", "--peers", "echo"]
    cli.main(["--runs", str(runs), *options, "--loads", "32", "png-8", "jpeg-1"])
    results = read_results(runs.parent / "benchmark.json")
    assert results.failed == {}
    assert {name: set(by_load) for name, by_load in results.rounds.items()} == {
        "ours-one-pictures": {PICTURE_LOADS["png-8"], PICTURE_LOADS["jpeg-1"]},
        "echo": {Load(32, 1)},
    }


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--ours", "--peers"], "no server is named"),
        (["--open-loop", "50", "--targets"], "without --targets"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cli.main(arguments)
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main([command, "--help"])
    assert "usage: python -m benchmarks" in capsys.readouterr().out


def test_an_unknown_command_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SystemExit, match="'speed' is not a command; expected one of compare, revisions"):
        main(["speed"])
