"""A server with a store, and its callers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.process.standalone import Standalone
from tests.support.feedback import stub_of
from tests.support.servers import StartServer
from tests.support.web import Web, web


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def server(start_server: StartServer, store: Path) -> AsyncIterator[Standalone]:
    async with start_server(store=store) as running:
        yield running


@pytest.fixture
async def stub(server: Standalone) -> AsyncIterator[DigitClassifierStub]:
    async with stub_of(server.grpc_port) as opened:
        yield opened


@pytest.fixture
async def caller(server: Standalone) -> AsyncIterator[Web]:
    async with web(server.http_port) as opened:
        yield opened
