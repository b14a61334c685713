"""The server as a process of its own on the tiny model, and what the kernel says it holds: so an attack has a price."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from tests.support.processes import server_command, started, without_settings
from tests.support.tiny_model import tiny_graph, write_tiny_version

END_SECONDS = 120.0  # patience: the machine may be busy


class ServerProcess:
    """A server that answers, and what it holds now. Its log is read all the time, so that it never waits for us."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._is_serving = threading.Event()
        self._has_logged = threading.Condition()
        self._reader = threading.Thread(target=self._read_log)
        self.log: list[str] = []
        self.grpc_port = 0  # known once it serves
        self.http_port = 0

    def start(self) -> None:
        """Returns when it answers calls. Raises RuntimeError when it does not: no test may take that for a finding."""
        self._reader.start()
        if not self._is_serving.wait(END_SECONDS) or not self.grpc_port:
            raise RuntimeError("the server did not start:\n" + "".join(self.log))

    def end(self, seconds: float = END_SECONDS) -> int:
        """Drains it; its exit status. Raises TimeoutExpired when it does not end, and then it is killed."""
        if self.is_alive:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(seconds)
        finally:
            self._process.kill()
            self._reader.join()

    def wait_until_logged(self, event: str, times: int) -> None:
        """Returns when it has logged this event so often. Raises RuntimeError when it does not."""

        def is_logged() -> bool:
            return sum(f'"{event}"' in line for line in self.log) >= times

        with self._has_logged:
            if not self._has_logged.wait_for(is_logged, END_SECONDS):
                raise RuntimeError(f"the server did not log {event} {times} times:\n" + "".join(self.log))

    @property
    def is_alive(self) -> bool:
        """Whether the process has not ended."""
        return self._process.poll() is None

    def resident_bytes(self) -> int:
        """Memory that it has now."""
        return self._status("VmRSS")

    def peak_bytes(self) -> int:
        """Most memory that it has had since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """The peak is from now on what it has now."""
        (self._folder / "clear_refs").write_text("5")

    def descriptors(self) -> int:
        """Open files and sockets."""
        return len(os.listdir(self._folder / "fd"))  # noqa: PTH208  # half the time of iterdir, and thousands of them

    def worker_pids(self) -> list[int]:
        """Process ids of its workers, where it has several."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text(encoding="ascii")
        return [int(pid) for pid in children.split()]

    def stacks_logged(self) -> list[str]:
        """Log lines that hold a stack: what the server takes for a fault of its own."""
        return [line for line in self.log if "Traceback" in line]

    @property
    def _folder(self) -> Path:
        return Path(f"/proc/{self._process.pid}")

    def _status(self, name: str) -> int:
        lines = (self._folder / "status").read_text().splitlines()
        [line] = [line for line in lines if line.startswith(f"{name}:")]
        return int(line.split()[1]) * 1024

    def _read_log(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            with self._has_logged:
                self.log.append(line)
                self._has_logged.notify_all()
            if not self.grpc_port and '"serving"' in line:
                event = json.loads(line)
                self.grpc_port, self.http_port = (int(event[at].rsplit(":", 1)[1]) for at in ("grpc", "http"))
                self._is_serving.set()
        self._is_serving.set()


@contextmanager
def server_process(repository: Path, *flags: str, most_descriptors: int = 0) -> Iterator[ServerProcess]:
    """A server with one worker until the block ends. `most_descriptors`: as `ulimit -n` would set it."""
    command = server_command("--workers", "1", "--device", "cpu", "--model-repository", repository, *flags)
    options: dict[str, Any] = {"env": without_settings(), "stderr": subprocess.PIPE}
    with started(command, most_descriptors=most_descriptors, **options) as process:
        server = ServerProcess(process)
        try:
            server.start()
            yield server
        finally:
            server.end()


def write_sturdy_version(root: Path) -> None:
    """The tiny model without its traps: no pixel makes it raise or run on, so an INTERNAL is the server's own."""
    model = onnx.load_model_from_string(tiny_graph())
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(256, np.float32), "zero_for_any_level"))
    for node in model.graph.node:
        if node.op_type == "Gather" and node.input[0] == "only_zero":
            node.input[0] = "zero_for_any_level"
    for tensor in model.graph.initializer:
        if tensor.name == "endless":
            tensor.CopyFrom(numpy_helper.from_array(np.array(0, np.int64), "endless"))
    write_tiny_version(root, graph=model.SerializeToString())
