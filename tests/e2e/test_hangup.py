"""SIGHUP: the end of a server whose terminal is closed, and a look for new models for one that has no terminal."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from tests.support.processes import END_SECONDS, opening_of, server_command, session_of, started, without_settings
from tests.support.tiny_model import write_tiny_version


def until_event(process: Popen[str], name: str) -> dict[str, Any]:
    """The next event of this name in the log, which stands in a pipe."""
    assert process.stderr
    for line in process.stderr:
        event: dict[str, Any] = json.loads(line)
        if event["event"] == name:
            return event
    raise AssertionError(f"the server ended before {name}")


class Terminal:
    """Terminal that a process has as its controlling one, as a window on a desktop gives it."""

    def __init__(self) -> None:
        self._ours, self.theirs = os.openpty()

    def until_shown(self, text: str) -> None:
        shown = b""
        while text.encode() not in shown:
            shown += os.read(self._ours, 4096)

    def close(self) -> None:
        """Closes the window. A second call does nothing."""
        for descriptor in (self._ours, self.theirs):
            with suppress(OSError):
                os.close(descriptor)
        self._ours = self.theirs = -1


@contextmanager
def serving_in(
    terminal: Terminal, *flags: str | Path, ignores_hangup: bool = False, **pipes: Any
) -> Iterator[Popen[str]]:
    """The server in a session that this terminal controls."""
    # setsid makes the session, as only the process itself can take the terminal; it stays the same process.
    # The signal is set either way: the tests themselves may run under nohup.
    before = ["env", f"--{'ignore' if ignores_hangup else 'default'}-signal=HUP", "setsid", "--ctty"]
    command = [*before, *server_command(*flags)]
    files = {"stdin": terminal.theirs, "stdout": terminal.theirs, "stderr": terminal.theirs} | pipes
    with started(command, start_new_session=False, env=without_settings(), **files) as process:
        yield process


@pytest.mark.parametrize("workers", ["1", "2"])
def test_server_whose_terminal_is_closed_drains_with_status_0(workers: str, tiny_repository: Path) -> None:
    flags = ("--workers", workers, "--model-repository", tiny_repository)
    with closing(Terminal()) as terminal, serving_in(terminal, *flags, stderr=subprocess.PIPE) as process:
        until_event(process, "serving")
        terminal.close()
        _, errors = process.communicate(timeout=END_SECONDS)
        assert process.returncode == 0, errors
        assert session_of(process.pid) == []
    events = [json.loads(line) for line in errors.splitlines()]
    assert [event["event"] for event in events if "worker" not in event] == ["draining", "stopped"]


def test_log_that_goes_to_the_closed_terminal_is_no_failure(tiny_repository: Path) -> None:
    flags = ("--workers", "1", "--model-repository", tiny_repository, "--show-samples", "samples")
    with closing(Terminal()) as terminal, serving_in(terminal, *flags) as process:
        terminal.until_shown('"serving"')  # and the samples are about to be shown
        terminal.close()
        assert process.wait(END_SECONDS) == 0


def test_terminal_that_is_closed_while_tuning_ends_that_too(repository: Path) -> None:
    golden = repository / "mnist" / "1" / "golden.npz"
    flags = ("--tune", "--workers", "1", "--model-repository", repository)
    with (
        opening_of(golden) as until_opened,
        closing(Terminal()) as terminal,
        serving_in(terminal, *flags) as process,
    ):
        until_opened()  # before the model is measured, which takes over a second
        terminal.close()
        assert process.wait(END_SECONDS) == 130
        assert session_of(process.pid) == []


@pytest.mark.parametrize("workers", ["1", "2"])
def test_server_without_a_terminal_looks_for_models_at_sighup(workers: str, repository: Path) -> None:
    command = server_command("--workers", workers, "--model-repository", repository, "--model-poll-seconds", "0")
    with started(command, env=without_settings(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        until_event(process, "serving")
        write_tiny_version(repository, 2)
        process.send_signal(signal.SIGHUP)
        assert until_event(process, "model_swapped")["now"] == [2]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=END_SECONDS)
        assert process.returncode == 0


def test_server_under_nohup_outlives_its_terminal_and_looks_for_models(repository: Path) -> None:
    flags = ("--workers", "1", "--model-repository", repository, "--model-poll-seconds", "0")
    with (
        closing(Terminal()) as terminal,
        serving_in(terminal, *flags, ignores_hangup=True, stderr=subprocess.PIPE) as process,
    ):
        until_event(process, "serving")
        write_tiny_version(repository, 2)
        terminal.close()
        assert until_event(process, "model_swapped")["now"] == [2]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=END_SECONDS)
        assert process.returncode == 0


def until_imported(process: Popen[str], module: str) -> None:
    """Returns when the process, or one that it has started, has imported the module: its start has just begun."""
    assert process.stderr
    for line in process.stderr:
        if line.startswith("import time:") and line.rpartition("|")[2].strip() == module:
            return
    raise AssertionError(f"the process ended before it had imported {module}")


def beginning(*flags: str | Path) -> AbstractContextManager[Popen[str]]:
    """The server without a terminal; it and all that it starts say what they import."""
    variables = without_settings() | {"PYTHONPROFILEIMPORTTIME": "1"}
    command = ["env", "--default-signal=HUP", *server_command(*flags)]
    return started(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sighup_to_a_server_that_has_just_begun_is_ignored(workers: str, tiny_repository: Path) -> None:
    with beginning("--workers", workers, "--model-repository", tiny_repository) as process:
        until_imported(process, "click")
        process.send_signal(signal.SIGHUP)
        until_serving(process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=END_SECONDS)
        assert process.returncode == 0


def until_serving(process: Popen[str]) -> None:
    """Returns when the server answers, among lines about imports."""
    assert process.stderr
    assert any('"serving"' in line for line in process.stderr), "the server ended before it served"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_signals_to_a_worker_that_has_just_begun_are_ignored(number: signal.Signals, tiny_repository: Path) -> None:
    with beginning("--workers", "2", "--model-repository", tiny_repository) as process:
        until_imported(process, "numpy")  # which a supervisor does not import
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
        assert workers
        for worker in workers:
            os.kill(int(worker), number)
        until_serving(process)
        assert set(workers) <= {str(each) for each in session_of(process.pid)}


def test_sighup_while_tuning_has_just_begun_is_ignored(repository: Path) -> None:
    flags = ("--tune", "--workers", "1", "--inference-threads", "1", "--model-repository", repository)
    with beginning(*flags) as process:
        until_imported(process, "numpy")  # in the process that measures
        os.killpg(process.pid, signal.SIGHUP)
        until_serving(process)


def test_sigterm_to_a_server_that_has_just_begun_ends_it(tiny_repository: Path) -> None:
    with beginning("--workers", "1", "--model-repository", tiny_repository) as process:
        until_imported(process, "click")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=END_SECONDS)
        assert process.returncode == -signal.SIGTERM
