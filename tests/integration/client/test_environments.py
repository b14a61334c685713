"""The client where others install it: from its wheel, alone, and in the environment and process of tritonclient."""

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from serving.config import Config
from serving.logging import get_logger
from serving.process.standalone import Standalone
from tests.support.engine import ENGINE
from tests.support.processes import started_on_loop

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("client_program.py")
PICTURE = ROOT / "samples/photo-8.jpg"
TRITONCLIENT = Path(sys.prefix) / "tritonclient/bin/python"
NEEDED = ("grpcio", "numpy", "protobuf")
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address() -> AsyncIterator[str]:
    config = Config(model_repository=ROOT / "models", device="cpu", grpc_engine=ENGINE, grpc_port=0, http_port=0)
    async with Standalone(config, get_logger()) as server:
        yield f"127.0.0.1:{server.grpc_port}"


async def output_of(*command: str | Path, folder: Path = ROOT, **variables: str) -> str:
    """Standard output of a command that must succeed, without the variables that would show it our own packages."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "MNIST_"))}
    options: dict[str, Any] = {"cwd": folder, "env": environment | variables, "stdout": asyncio.subprocess.PIPE}
    async with started_on_loop(command, **options) as process:
        output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


def check(seen: dict[str, Any]) -> None:
    """The program got what it should from each kind of call."""
    assert seen["blocking"] == {
        "digit": 8,
        "digits": [8] * 130,
        "model": "mnist",
        "read": "8",
        "explained": 8,
        "pixels": [28, 28],
        "importance": [28, 28],
        "kinds": [*["convolution", "max_pooling"] * 3, "dense", "dense"],
        "bad picture": "INVALID_ARGUMENT",
        "late": "DEADLINE_EXCEEDED",
        "bad image": "1: CallError",
        "closed": ["CANCELLED", "CANCELLED"],
    }
    assert seen["asyncio"] == {"tasks": [8] * 100, "many": [8] * 130, "read": "8", "explained": 8, "model": "mnist"}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("first", ["tritonclient.grpc mnist_digits", "mnist_digits tritonclient.grpc"])
async def test_it_lives_in_one_process_with_tritonclient_and_its_older_protobuf(address: str, first: str) -> None:
    assert TRITONCLIENT.exists(), f"{TRITONCLIENT} is missing: `make .venv/tritonclient.installed` makes it"
    command: list[str | Path] = [TRITONCLIENT, "-W", "error", PROGRAM, address, PICTURE, *first.split()]
    seen = json.loads(await output_of(*command, PYTHONPATH=str(ROOT / "client")))
    check(seen)
    assert seen["triton"] == 8


@pytest.mark.asyncio(loop_scope="module")
async def test_its_wheel_classifies_from_an_empty_environment(address: str, tmp_path: Path) -> None:
    source, environment = tmp_path / "client", tmp_path / "environment"
    shutil.copytree(ROOT / "client", source, ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
    lock = (ROOT / "requirements/serving.txt").read_text()
    locked = re.findall(rf"^(?:{'|'.join(NEEDED)}|typing-extensions)==(?:.*\\\n)+.*\n", lock, re.MULTILINE)
    (tmp_path / "locked.txt").write_text("".join(locked))
    await output_of(sys.executable, "-m", "venv", "--without-pip", environment)
    python = environment / "bin/python"
    await output_of(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", tmp_path, source)
    await output_of(*PIP, "--python", python, "install", "--require-hashes", "-r", tmp_path / "locked.txt")
    [wheel] = tmp_path.glob("*.whl")
    await output_of(*PIP, "--python", python, "install", "--no-index", wheel)

    command = (environment / "bin/mnist-digits", "classify", "--json", "--address", address, PICTURE)
    assert json.loads(await output_of(*command, folder=tmp_path))["digit"] == 8
    check(json.loads(await output_of(python, "-W", "error", PROGRAM, address, PICTURE, folder=tmp_path)))

    [metadata] = environment.glob("lib/*/site-packages/mnist_digits_client-*.dist-info")
    distribution = Distribution.at(metadata)
    assert sorted(re.split(r"[>=]", need)[0] for need in distribution.requires or []) == sorted(NEEDED)
    files = {str(file) for file in distribution.files or []}
    assert {"mnist_digits/py.typed", "mnist_digits/digits.binpb", "mnist_digits/proto.pyi"} <= files
