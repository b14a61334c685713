"""Programs that play a Ray cluster in a network of their own."""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.own_network import in_own_network, why_not, write_hosts
from tests.support.processes import completed, without_settings


def played(folder: Path, *command: str | Path, seconds: float = 400.0) -> dict[str, Any]:
    """Runs `python -m` with these words in a network of its own. Returns the JSON of the last line that it prints."""
    if reason := why_not():
        pytest.skip(f"no network of its own: {reason}")
    hosts = folder / "hosts"
    write_hosts(hosts, f"{socket.gethostname()} localhost", ["127.0.0.1"])
    proxies = {name for name in os.environ if name.lower().endswith("_proxy")}  # they are not in that network
    variables = {name: text for name, text in without_settings().items() if name not in proxies}
    # No report to Ray's makers, and no processes for tasks before there are any.
    quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_enable_worker_prestart": "0", "RAY_prestart_worker_first_driver": "0"}
    words = in_own_network(hosts, sys.executable, "-m", *command)
    done = completed(words, seconds=seconds, env=variables | quiet)
    assert done.returncode == 0, done.stderr[-4000:]
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(seen))
    return seen
