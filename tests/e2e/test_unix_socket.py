"""A server on a Unix socket: gRPC on its path, HTTP on the path with `.http`, for this machine alone."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from subprocess import Popen
from tempfile import TemporaryDirectory

import aiohttp
import pytest

from mnist_digits import DigitClient
from tests.support.processes import completed, server_command, started, without_settings
from tests.support.tiny_model import image_of


@pytest.fixture
def path() -> Iterator[Path]:
    """A short one: a socket's path has 107 bytes at most."""
    with TemporaryDirectory(prefix="digits") as folder:
        yield Path(folder) / "socket"


def serving(*flags: str | Path) -> AbstractContextManager[Popen[str]]:
    return started(server_command(*flags), env=without_settings(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def until_serving(process: Popen[str]) -> dict[str, object]:
    assert process.stderr
    for line in process.stderr:
        event: dict[str, object] = json.loads(line)
        if event["event"] == "serving":
            return event
    raise AssertionError("the server ended before it served")


def digit(path: Path) -> int:
    with DigitClient(f"unix:{path}") as client:
        return client.classify([image_of(3)])[0].digit


async def http_digit(path: Path) -> int:
    connector = aiohttp.UnixConnector(f"{path}.http")
    async with aiohttp.ClientSession(connector=connector) as session:
        async with session.get("http://localhost/readyz") as response:
            assert response.status == 200
        async with session.post("http://localhost/v1/classify", data=image_of(4)) as response:
            return int((await response.json())["digit"])


@pytest.mark.parametrize("engine", ["completion-queue", "aio"])
async def test_grpc_and_http_are_served_on_sockets_that_the_end_removes(
    engine: str, path: Path, tiny_repository: Path
) -> None:
    flags = ("--host", f"unix:{path}", "--model-repository", tiny_repository, "--grpc-engine", engine)
    for _ in range(2):  # the second takes the path as soon as the first has ended
        with serving(*flags) as process:
            event = until_serving(process)
            assert (event["grpc"], event["http"], event["workers"]) == (f"unix:{path}", f"unix:{path}.http", 1)
            assert digit(path) == 3
            assert await http_digit(path) == 4
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=30)
            assert process.returncode == 0, errors
        assert list(path.parent.iterdir()) == []


async def test_sockets_of_a_dead_server_are_replaced_and_those_of_a_running_one_are_not(
    path: Path, tiny_repository: Path
) -> None:
    flags = ("--host", f"unix:{path}", "--model-repository", tiny_repository)
    with serving(*flags) as process:
        until_serving(process)
        process.kill()
        process.wait()
    assert len(list(path.parent.iterdir())) == 2
    with serving(*flags) as process:
        until_serving(process)
        done = completed(server_command(*flags), env=without_settings(), seconds=30)
        assert (done.returncode, done.stderr) == (
            2,
            f"error: host unix:{path}: Address already in use; another: --host\n",
        )
        assert digit(path) == 3  # still
        assert await http_digit(path) == 4


def test_samples_are_shown_and_curl_is_shown_the_socket(path: Path) -> None:
    with serving("--host", f"unix:{path}", "--show-samples", "samples") as process:
        shown = ""
        assert process.stdout
        while "Ctrl-C ends it" not in shown:
            line = process.stdout.readline()
            assert line, shown
            shown += line
    assert "photo-8.jpg" in shown
    assert f"curl --unix-socket {path}.http --data-binary @YOUR_PICTURE http://localhost/v1/classify" in shown


@pytest.mark.parametrize("host", ["[::1]", "::1"])
def test_ipv6_host_may_stand_in_brackets(host: str, tiny_repository: Path) -> None:
    with serving("--host", host, "--workers", "1", "--model-repository", tiny_repository) as process:
        assert str(until_serving(process)["grpc"]).startswith("[::1]:")
