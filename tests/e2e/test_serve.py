"""The two programs as people run them: separate processes, real signals, the committed model, the sample images."""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnist_digits import DigitClient

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "serving",
        "--grpc-port",
        "0",
        "--http-port",
        "0",
        "--log-format",
        "json",
        *arguments,
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MNIST_")}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def address_of(process: subprocess.Popen[str]) -> str:
    """Where the server says that it listens."""
    assert process.stderr
    for line in process.stderr:
        if not line.startswith("{"):  # what --tune measured
            continue
        event = json.loads(line)
        if event["event"] == "serving":
            return str(event["grpc"])
    raise AssertionError("the server ended before it served")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    process = start()
    try:
        yield address_of(process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def client(
    *arguments: str | Path, text: bytes | None = None, module: str = "mnist_digits"
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", module, "classify", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, input=text, capture_output=True, timeout=60, check=False)


def test_the_client_prints_the_right_digit_for_every_sample(address: str) -> None:
    done = client("--address", address, "--json", SAMPLES)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    expected = {path.name: int(path.stem[-1]) for path in SAMPLES.iterdir() if path.stem[-1].isdecimal()}
    assert {Path(answer["file"]).name: answer["digit"] for answer in answers} == expected
    assert not any(answer["refused"] for answer in answers)
    assert {Path(answer["file"]).suffix for answer in answers} >= {".png", ".jpg", ".bin", ".bmp", ".webp", ".tiff"}


def test_an_image_is_read_from_standard_input(address: str) -> None:
    done = client("--address", address, "--json", "-", text=(SAMPLES / "photo-8.jpg").read_bytes())
    assert json.loads(done.stdout)["digit"] == 8
    assert done.stderr == b""


def test_the_clients_former_command_still_works_and_names_the_new_one(address: str) -> None:
    arguments = ("--address", address, "--json", "samples/photo-8.jpg", "samples/no-such-file.png")
    done = client(*arguments[:-1], module="serving.client")
    assert done.stdout == client(*arguments[:-1]).stdout
    assert done.returncode == 0
    assert done.stderr.decode().splitlines() == [
        "note: `python -m serving.client` is now `mnist-digits`, or `python -m mnist_digits`"
    ]
    assert client(*arguments, module="serving.client").returncode == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_started_with_samples_it_shows_them_says_what_to_try_and_drains_with_status_0(number: signal.Signals) -> None:
    process = start("--show-samples", "samples")  # a short path, so that the table does not fold it
    assert process.stdout
    shown = ""
    for line in process.stdout:
        shown += line
        if "Ctrl-C ends it" in line:
            break
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "photo-8.jpg" in shown
    assert re.search(r"-m mnist_digits classify --address 127\.0\.0\.1:\d+ YOUR_PICTURE", shown)
    events = [json.loads(line) for line in errors.splitlines()]
    assert [event["event"] for event in events if "worker" not in event][-2:] == ["draining", "stopped"]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--max-batch-size", "5000"], 2, "--max-batch-size: expected 0 to 4096, got '5000'"),
        (["--model-repository", "nowhere"], 1, "there is no model mnist at nowhere/mnist"),
        (["--tune", "--model-repository", "nowhere"], 1, "there is no model mnist at nowhere/mnist"),
        (["--device", "cuda"], 1, "device cuda was asked for"),
        (["--host", "no.such.invalid", "--insecure"], 2, "host no.such.invalid: "),
        (["--host", "0.0.0.0"], 2, "--host 0.0.0.0: others can reach it"),
        (["--no-such-flag"], 2, "unrecognized arguments: --no-such-flag"),
    ],
)
def test_what_cannot_start_says_why_in_a_line_and_ends_with_a_status(
    arguments: list[str], status: int, message: str
) -> None:
    process = start(*arguments)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert message in errors
    assert "Traceback" not in errors


def test_tuned_it_serves_with_what_was_measured(tmp_path: Path) -> None:
    for model in ("mnist", "mnist-int8"):
        shutil.copytree(ROOT / "models" / model, tmp_path / model, ignore=shutil.ignore_patterns("tuning.json"))
    process = start("--tune", "--model-repository", str(tmp_path), "--max-batch-size", "16")
    with DigitClient(address_of(process)) as client:
        description = client.get_model()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    [record] = tmp_path.glob("mnist/*/tuning.json")
    picked = json.loads(record.read_text())["picked"]
    assert (description.precision, description.inference_threads) == (picked["precision"], picked["inference_threads"])
    assert (description.name, description.max_batch_size, description.is_tuned) == ("mnist", 16, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("flags", [["--tune"], ["--workers", "2"], ["--workers", "1"]], ids=" ".join)
def test_told_to_stop_before_it_serves_it_ends_and_leaves_no_process(
    flags: list[str], number: signal.Signals, tmp_path: Path
) -> None:
    for model in ("mnist", "mnist-int8"):
        shutil.copytree(ROOT / "models" / model, tmp_path / model, ignore=shutil.ignore_patterns("tuning.json"))
    [version] = [entry for entry in (tmp_path / "mnist").iterdir() if entry.name.isdecimal()]
    (version / "golden.npz").unlink()
    os.mkfifo(version / "golden.npz")  # a read of it goes on until somebody writes: the start never ends by itself
    process = start(*flags, "--model-repository", str(tmp_path))
    with (version / "golden.npz").open("wb"):  # opens when the model is being read
        process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode in (0, 130)
    assert "Traceback" not in errors


def test_workers_end_when_their_supervisor_is_killed() -> None:
    process = start("--workers", "2")
    address_of(process)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [os.pidfd_open(int(child)) for child in children]
    assert len(workers) == 2
    process.kill()
    for worker in workers:
        assert select.select([worker], [], [], 30)[0], "a worker outlived its supervisor"
        os.close(worker)
    process.communicate(timeout=30)
