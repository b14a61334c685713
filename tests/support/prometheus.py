"""A real Prometheus (Debian package `prometheus`) on a free port, and what it answers."""

import json
import re
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.support.processes import kill_session, started


@contextmanager
def prometheus(configuration: Path, data: Path, *flags: str) -> Iterator[str]:
    """Address of a Prometheus with this configuration, which keeps its samples in the folder `data`."""
    files = [f"--config.file={configuration}", f"--storage.tsdb.path={data}"]
    command = ["prometheus", *files, "--web.listen-address=127.0.0.1:0", *flags]
    with started(command, stderr=subprocess.PIPE) as process:
        assert process.stderr
        address = address_when_ready(process.stderr)
        drain = threading.Thread(target=process.stderr.read)  # a full pipe would stop it
        drain.start()
        try:
            yield address
        finally:
            kill_session(process.pid)
            drain.join()


def address_when_ready(log: Iterable[str]) -> str:
    """Where a Prometheus listens, once its log says that it answers: it says both, in either order.

    Raises AssertionError with the log when that ends before.
    """
    address, is_ready, said = "", False, ""
    for line in log:
        said += line
        if listening := re.search(r'msg="Listening on" address=(\S+)', line):
            address = listening[1]
        is_ready = is_ready or "ready to receive web requests" in line
        if address and is_ready:
            return address
    raise AssertionError(said)


def answer(address: str, expression: str, seconds: float | None = None) -> list[dict[str, Any]]:
    """Series of an instant query, now or at these seconds since the epoch; the query must succeed."""
    at = {} if seconds is None else {"time": seconds}
    result: list[dict[str, Any]] = _data(address, f"query?{urlencode({'query': expression, **at})}")["result"]
    return result


def over_time(address: str, expression: str, begin: float, end: float, step: float) -> list[dict[str, Any]]:
    """Series of a query at every `step` seconds between two times, in seconds since the epoch."""
    words = urlencode({"query": expression, "start": begin, "end": end, "step": step})
    result: list[dict[str, Any]] = _data(address, f"query_range?{words}")["result"]
    return result


def alerts(address: str) -> dict[str, list[dict[str, Any]]]:
    """Alerts that are pending or firing, by name."""
    found: dict[str, list[dict[str, Any]]] = {}
    for each in _data(address, "alerts")["alerts"]:
        found.setdefault(each["labels"]["alertname"], []).append(each)
    return found


def _data(address: str, request: str) -> dict[str, Any]:
    with urlopen(f"http://{address}/api/v1/{request}", timeout=30) as response:
        body = json.load(response)
    assert body["status"] == "success"
    data: dict[str, Any] = body["data"]
    return data
