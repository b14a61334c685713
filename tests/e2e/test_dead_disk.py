"""A file that hangs for ever when it is opened does not keep a server from ending."""

import asyncio
import os
import signal
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path
from subprocess import Popen

import pytest

from mnist_digits import DigitClient
from tests.e2e.test_hangup import until_event
from tests.support.processes import (
    END_SECONDS,
    ROOT,
    server_command,
    session_of,
    started,
    until_ended,
    without_settings,
)
from tests.support.tiny_model import image_of, write_tiny_version

TUNE, ALONE, SEVERAL = ["--tune"], ["--workers", "1"], ["--workers", "2"]


def serving(hanging: str, *flags: str | Path) -> AbstractContextManager[Popen[str]]:
    """The server, to which the file whose path ends so hangs."""
    path = os.pathsep.join([str(ROOT / "tests/support/dead_disk"), os.environ.get("PYTHONPATH", "")])
    variables = without_settings() | {"PYTHONPATH": path, "HANGING_FILE": hanging}
    command = server_command("--model-poll-seconds", "0", *flags)
    return started(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("flags", [TUNE, ALONE, SEVERAL], ids=" ".join)
def test_server_whose_start_hangs_ends_at_a_signal(
    flags: list[str], number: signal.Signals, tiny_repository: Path
) -> None:
    with serving("golden.npz", *flags, "--model-repository", tiny_repository) as process:
        until_event(process, "hangs")
        process.send_signal(number)
        process.communicate(timeout=END_SECONDS)
        assert process.returncode in (0, 130)
        assert session_of(process.pid) == []


@pytest.mark.parametrize("flags", [ALONE, SEVERAL], ids=" ".join)
def test_server_in_which_a_load_hangs_answers_and_ends_at_a_signal(flags: list[str], repository: Path) -> None:
    grace = ("--drain-grace-seconds", "600")
    with serving("2/golden.npz", *flags, *grace, "--model-repository", repository) as process:
        address = until_event(process, "serving")["grpc"]
        write_tiny_version(repository, 2)
        process.send_signal(signal.SIGHUP)
        until_event(process, "hangs")
        with DigitClient(address) as client:
            assert client.classify([image_of(3)])[0].digit == 3
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=END_SECONDS)
        assert process.returncode == 0
        assert session_of(process.pid) == []


async def test_workers_whose_start_hangs_end_with_their_supervisor(tiny_repository: Path) -> None:
    with serving("golden.npz", *SEVERAL, "--model-repository", tiny_repository) as process:
        await asyncio.to_thread(until_event, process, "hangs")
        workers = set(session_of(process.pid)) - {process.pid}
        process.kill()
        await asyncio.gather(*map(until_ended, workers))


def test_server_whose_event_loop_hangs_ends_after_its_grace(tiny_repository: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.touch()
    flags: list[str | Path] = [
        *ALONE,
        "--api-keys",
        keys,
        "--drain-grace-seconds",
        "0",
        "--model-repository",
        tiny_repository,
    ]
    with serving("keys.toml", *flags) as process:
        until_event(process, "hangs")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=END_SECONDS)
        assert process.returncode in (0, 70)


def test_samples_that_hang_do_not_hold_up_the_end(tiny_repository: Path) -> None:
    flags: list[str | Path] = [*ALONE, "--show-samples", "samples", "--model-repository", tiny_repository]
    with serving("photo-8.jpg", *flags) as process:
        until_event(process, "hangs")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=END_SECONDS)
        assert process.returncode == 0
