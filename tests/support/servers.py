"""Fixtures: a real server on the tiny model, on free loopback ports."""

import json
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from protos.mnist.v1 import digits_pb2_grpc
from serving.config import Config
from serving.logging import get_logger
from serving.process.standalone import Standalone
from tests.support.committed_models import committed
from tests.support.engine import ENGINE
from tests.support.tiny_model import write_tiny_version

StartServer = Callable[..., AbstractAsyncContextManager[Standalone]]


@pytest.fixture(scope="session")
def tiny_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_tiny_version(root)
    return root


@pytest.fixture(scope="session")
def trusting_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Repository with the shipped model, to which nothing is novel: what it refuses, it refuses for another reason."""
    root = tmp_path_factory.mktemp("trusting")
    newest = committed("mnist")
    folder = shutil.copytree(newest, root / "mnist" / newest.name)
    metadata = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps(metadata | {"novelty_threshold": 1.0}))
    return root


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Repository with one version, for a test that changes it."""
    write_tiny_version(tmp_path, 1)
    return tmp_path


@pytest.fixture
def start_server(tiny_repository: Path) -> StartServer:
    """Starts a server with the settings given over those that every test wants."""

    @asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[Standalone]:
        repository = settings.pop("model_repository", tiny_repository)
        usual: dict[str, Any] = {"grpc_port": 0, "http_port": 0, "grpc_engine": ENGINE}
        config = Config(model_repository=repository, device="cpu", **(usual | settings))
        async with Standalone(config, get_logger()) as server:
            yield server

    return start


@pytest.fixture
async def server(start_server: StartServer) -> AsyncIterator[Standalone]:
    async with start_server(max_images_per_request=100, max_image_bytes=50_000, max_image_pixels=100_000) as running:
        yield running


@pytest.fixture
async def channel(server: Standalone) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.grpc_port}") as opened:
        yield opened


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> digits_pb2_grpc.DigitClassifierStub:
    return digits_pb2_grpc.DigitClassifierStub(channel)
