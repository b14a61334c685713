"""The two programs as people run them: separate processes, real signals, the committed model, the sample images."""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from subprocess import Popen
from types import MappingProxyType
from typing import Any

import pytest

from mnist_digits import DigitClient
from serving.api.listening_port import bind_shared
from tests.support.processes import (
    ROOT,
    completed,
    opening_of,
    server_command,
    session_of,
    started,
    without_settings,
)

SAMPLES = ROOT / "samples"


def serving(
    *flags: str | Path, ignores_interrupt: bool = False, variables: Mapping[str, str] = MappingProxyType({})
) -> AbstractContextManager[Popen[str]]:
    """The server as a process that ends with the block."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = without_settings() | dict(variables)
    return started(server_command(*flags), ignores_interrupt=ignores_interrupt, env=environment, **pipes)


def address_of(process: Popen[str], measured: list[str] | None = None) -> str:
    """Address that the server logs once it serves. `measured` gets the lines that --tune writes before."""
    assert process.stderr
    for line in process.stderr:
        if not line.startswith("{"):
            (measured if measured is not None else []).append(line)
            continue
        event = json.loads(line)
        if event["event"] == "serving":
            return str(event["grpc"])
    raise AssertionError("the server ended before it served")


def children_of(pid: int) -> list[int]:
    """Processes that this one has started and that have not ended."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until_line(process: Popen[str], end: str) -> str:
    """Standard output up to the line that holds `end`."""
    shown = ""
    assert process.stdout
    for line in process.stdout:
        shown += line
        if end in line:
            return shown
    raise AssertionError(f"the server ended before it wrote {end!r}: {shown}")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving() as process:
        yield address_of(process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def client(*arguments: str | Path, module: str = "mnist_digits", **options: Any) -> subprocess.CompletedProcess[str]:
    return completed([sys.executable, "-m", module, "classify", *arguments], **options)


def test_the_client_prints_the_right_digit_for_every_sample(address: str) -> None:
    done = client("--address", address, "--json", SAMPLES)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    expected = {path.name: int(path.stem[-1]) for path in SAMPLES.iterdir() if path.stem[-1].isdecimal()}
    assert {Path(answer["file"]).name: answer["digit"] for answer in answers} == expected
    assert not any(answer["refused"] for answer in answers)
    assert {Path(answer["file"]).suffix for answer in answers} >= {".png", ".jpg", ".bin", ".bmp", ".webp", ".tiff"}


def test_an_image_is_read_from_standard_input(address: str) -> None:
    with (SAMPLES / "photo-8.jpg").open("rb") as picture:
        done = client("--address", address, "--json", "-", stdin=picture)
    assert json.loads(done.stdout)["digit"] == 8
    assert done.stderr == ""


def test_the_clients_former_command_still_works_and_names_the_new_one(address: str) -> None:
    arguments = ("--address", address, "--json", "samples/photo-8.jpg", "samples/no-such-file.png")
    done = client(*arguments[:-1], module="serving.client")
    assert done.stdout == client(*arguments[:-1]).stdout
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        "note: `python -m serving.client` is now `mnist-digits`, or `python -m mnist_digits`"
    ]
    assert client(*arguments, module="serving.client").returncode == 2


@pytest.mark.parametrize("workers", ["1", "2"])  # one process runs gRPC itself, and must not fork
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_server_started_with_samples_shows_them_and_drains_with_status_0(number: signal.Signals, workers: str) -> None:
    flags = ("--workers", workers, "--show-samples", "samples")  # a short path, so that the table does not fold it
    settings_of_the_client = {"MNIST_CLIENT_JSON": "true", "MNIST_CLIENT_UNKNOWN": "1"}  # not for the samples
    with serving(*flags, variables=settings_of_the_client) as process:
        shown = until_line(process, "Ctrl-C ends it")
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0
    assert re.search(r"^samples/photo-8\.jpg +8 ", shown, re.MULTILINE)
    assert re.search(r"-m mnist_digits classify --address 127\.0\.0\.1:\d+ YOUR_PICTURE", shown)
    events = [json.loads(line) for line in errors.splitlines()]
    assert [event["event"] for event in events if "worker" not in event][-2:] == ["draining", "stopped"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--max-batch-size", "5000"], 2, "'--max-batch-size': expected 0 to 4096, got '5000'"),
        (["--model-repository", "nowhere"], 1, "there is no model mnist at nowhere/mnist"),
        (["--tune", "--model-repository", "nowhere"], 1, "there is no model mnist at nowhere/mnist"),
        (["--device", "cuda"], 1, "device cuda was requested"),
        (["--host", "no.such.invalid", "--insecure"], 2, "host no.such.invalid: "),
        (["--host", "0.0.0.0"], 2, "--host 0.0.0.0: others can reach it"),
        (["--no-such-flag"], 2, "No such option '--no-such-flag'"),
    ],
)
def test_what_cannot_start_says_why_in_a_line_and_ends_with_a_status(
    arguments: list[str], status: int, message: str
) -> None:
    with serving(*arguments) as process:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == status
    assert message in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("flags", [["--workers", "1"], ["--workers", "2"], ["--tune"]], ids=" ".join)
@pytest.mark.parametrize("limit", [8, 12, 16, 20])
def test_too_few_file_descriptors_are_reported_in_a_line_that_says_what_to_do(limit: int, flags: list[str]) -> None:
    done = completed(server_command(*flags), env=without_settings(), most_descriptors=limit, seconds=30)
    assert done.returncode == 1, done.stderr
    assert re.fullmatch(rf"error: .* {limit} open files .*`ulimit -n 1024`.*\n", done.stderr)


def copied_models(folder: Path) -> Path:
    """The committed models, as they are before anybody has tuned; returns the folder of mnist's version."""
    for model in ("mnist", "mnist-int8"):
        shutil.copytree(ROOT / "models" / model, folder / model, ignore=shutil.ignore_patterns("tuning.json"))
    [version] = [entry for entry in (folder / "mnist").iterdir() if entry.name.isdecimal()]
    return version


def test_tuned_server_serves_with_what_was_measured(tmp_path: Path) -> None:
    copied_models(tmp_path)
    measured: list[str] = []
    with serving("--tune", "--model-repository", tmp_path, "--max-batch-size", "16") as process:
        with DigitClient(address_of(process, measured)) as client:
            model = client.get_model()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    flags = (
        f"--precision {model.precision} --inference-threads {model.inference_threads}"
        f" --max-batch-size {model.max_batch_size}\n"
    )
    assert flags in "".join(measured)
    assert (model.name, model.is_tuned) == ("mnist", True)
    # Which size is the fastest is the machine's to say.
    assert model.max_batch_size <= 16


@pytest.mark.parametrize("port", ["--grpc-port", "--http-port"])
def test_second_server_on_a_port_is_refused_while_the_first_one_tunes(port: str, repository: Path) -> None:
    golden = repository / "mnist" / "1" / "golden.npz"
    with bind_shared("127.0.0.1", 0) as free:
        number = free.getsockname()[1]
    flags = (port, str(number), "--workers", "1", "--model-repository", repository, "--inference-threads", "1")
    with opening_of(golden) as until_opened, serving("--tune", *flags) as first:
        until_opened()  # by the process that measures
        (tuning,) = children_of(first.pid)
        os.kill(tuning, signal.SIGSTOP)  # so that it is not done before the others have tried
        for more in ([], ["--tune"]):
            with serving(*flags, *more) as second:
                _, errors = second.communicate(timeout=30)
                assert second.returncode == 2
            assert re.search(rf"_port {number} on 127\.0\.0\.1: .*in use; another: {port}", errors)
        os.kill(tuning, signal.SIGCONT)
        assert address_of(first).startswith("127.0.0.1:")
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=30)
        assert first.returncode == 0


@pytest.mark.parametrize(
    ("number", "ignores_interrupt"),
    [(signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGINT, True)],
    ids=["SIGINT", "SIGTERM", "SIGINT, ignored at the start"],
)
@pytest.mark.parametrize("flags", [["--tune"], ["--workers", "2"], ["--workers", "1"]], ids=" ".join)
def test_server_that_is_stopped_before_it_serves_ends_and_leaves_no_process(
    flags: list[str], number: signal.Signals, ignores_interrupt: bool, tmp_path: Path
) -> None:
    golden = copied_models(tmp_path) / "golden.npz"
    flags = [*flags, "--model-repository", str(tmp_path)]
    with opening_of(golden) as until_opened, serving(*flags, ignores_interrupt=ignores_interrupt) as process:
        until_opened()  # before the model is made of what was read
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
        assert process.returncode in (0, 130)
        assert session_of(process.pid) == []
    assert "Traceback" not in errors


@pytest.mark.parametrize("workers", ["1", "2"])
def test_background_job_drains_on_sigint_though_its_shell_had_it_ignored(workers: str) -> None:
    with serving("--workers", workers, ignores_interrupt=True) as process:
        address_of(process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode == 0


def test_workers_end_when_their_supervisor_is_killed() -> None:
    with serving("--workers", "2") as process:
        address_of(process)
        workers = [os.pidfd_open(child) for child in children_of(process.pid)]
        assert len(workers) == 2
        process.kill()
        for worker in workers:
            assert select.select([worker], [], [], 30)[0], "a worker outlived its supervisor"
            os.close(worker)


@pytest.mark.parametrize(
    "program",
    [
        ["serving"],
        ["serving", "keys"],
        ["serving.keys"],
        ["serving.versions"],
        ["serving.tune"],
        ["serving.client"],
        ["mnist_digits"],
        ["training"],
        ["training", "train"],
        ["experiments.time_to_accuracy"],
        ["experiments.shift_invariance"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_program_shows_its_help(program: list[str], flag: str) -> None:
    command = [sys.executable, "-m", *program, flag]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert done.stdout.lower().startswith("usage:")
