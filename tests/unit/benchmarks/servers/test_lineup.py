"""Servers of the comparison are started so that they can be suspended while others are measured."""

from dataclasses import fields
from pathlib import Path

import pytest

from benchmarks.servers.lineup import SERVERS, Deployment, our_python
from serving.config import Config, variable

DEPLOYMENT = Deployment(our_python(), Path("model.onnx"), Path("models"), Path("folder"))


@pytest.mark.parametrize("name", [name for name, server in SERVERS.items() if server.peer is None])
def test_the_watchdog_of_our_servers_is_off(name: str) -> None:
    (setting,) = (each for each in fields(Config) if each.name == "inference_timeout_seconds")
    assert SERVERS[name].environment(DEPLOYMENT)[variable(setting)] == "0"
