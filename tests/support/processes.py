"""Processes that a test starts: each is ended with its block, and so is every process that it has started itself."""

import asyncio
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from tests.support.engine import ENGINE

ROOT = Path(__file__).parents[2]
END_SECONDS = 60.0
LOG_LINE_BYTES = 2**20  # the longest line that asyncio reads at once
_IN_OPEN = 0x20  # of inotify


def server_command(*flags: str | Path) -> list[str]:
    """`python -m serving` on free ports and the tests' engine, with a log of JSON lines."""
    ports = ["--grpc-port", "0", "--http-port", "0"]
    return [sys.executable, "-m", "serving", *ports, "--log-format", "json", "--grpc-engine", ENGINE, *map(str, flags)]


def without_settings() -> dict[str, str]:
    """The environment of this process less the variables MNIST_*, which set flags."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MNIST_")}


@contextmanager
def started(
    command: Sequence[str | Path], *, ignores_interrupt: bool = False, most_descriptors: int = 0, **options: Any
) -> Iterator["subprocess.Popen[str]"]:
    """Process in a session of its own; the whole session is killed when the block ends. Its pipes hold text.

    `ignores_interrupt`: SIGINT is ignored at the start, as a shell without job control starts background jobs.
    `most_descriptors`: the limit that `ulimit -n` sets; 0: none. `options`: those of subprocess.Popen.
    """
    words = [*_prepared(ignores_interrupt, most_descriptors), *command]
    process = subprocess.Popen(words, text=True, errors="replace", **_with_defaults(options))
    try:
        yield process
    finally:
        kill_session(process.pid)
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()


@asynccontextmanager
async def started_on_loop(command: Sequence[str | Path], **options: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    """Process whose pipes, of bytes, the event loop reads; its session is killed when the block ends."""
    words = [*_prepared(), *command]
    process = await asyncio.create_subprocess_exec(*words, limit=LOG_LINE_BYTES, **_with_defaults(options))
    try:
        yield process
    finally:
        kill_session(process.pid)
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # or its pipe warns when it is collected


def completed(
    command: Sequence[str | Path], *, text: str | None = None, seconds: float = 120.0, **options: Any
) -> "subprocess.CompletedProcess[str]":
    """Runs a program to its end and returns its status and output, as subprocess.run does; leaves no process.

    `text`: its standard input. Raises subprocess.TimeoutExpired after `seconds`.
    """
    pipes = {"stdin": subprocess.PIPE if text is not None else subprocess.DEVNULL} | dict.fromkeys(
        ("stdout", "stderr"), subprocess.PIPE
    )
    with started(command, **pipes | options) as process:
        output, errors = process.communicate(text, timeout=seconds)
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def kill_session(leader: int) -> None:
    """Kills all processes of the session that this process has begun, those included that have lost their parent."""
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def session_of(leader: int) -> list[int]:
    """Processes of the session that this process has begun, itself included, that have not ended."""
    found = []
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


@contextmanager
def opening_of(path: Path) -> Iterator[Callable[[], None]]:
    """Yields a function that returns when any process has opened the file since. Raises AssertionError if none does."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    assert descriptor >= 0, os.strerror(ctypes.get_errno())
    try:
        assert libc.inotify_add_watch(descriptor, os.fsencode(path), _IN_OPEN) >= 0, os.strerror(ctypes.get_errno())

        def until_opened() -> None:
            assert select.select([descriptor], [], [], END_SECONDS)[0], f"nobody opened {path}"

        yield until_opened
    finally:
        os.close(descriptor)


async def until_ended(pid: int) -> None:
    """Returns when the process is gone. Raises TimeoutError when it is not after END_SECONDS."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop.add_reader(descriptor, ended.set)
    try:
        async with asyncio.timeout(END_SECONDS):
            await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _with_defaults(options: dict[str, Any]) -> dict[str, Any]:
    return {"cwd": ROOT, "start_new_session": True} | options


def _prepared(ignores_interrupt: bool = False, most_descriptors: int = 0) -> list[str]:
    """Words before a command, by which it inherits neither this process's handling of SIGINT nor its limit.

    Not preexec_fn: Python warns of it in a process with threads, which gRPC starts.
    """
    words = ["env", "--ignore-signal=INT" if ignores_interrupt else "--default-signal=INT"]
    return words + (["sh", "-c", f'ulimit -n {most_descriptors}; exec "$@"', "sh"] if most_descriptors else [])
