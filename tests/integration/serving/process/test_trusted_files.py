"""Files of keys and of TLS: warned of where they are open to others, and kept for workers that replace others."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.auth.api_keys import new_secret, table
from serving.config import Config
from serving.logging import get_logger
from serving.process.supervisor import Supervisor
from serving.process.trusted_files import warn_of_permissions
from tests.support.authority import Authority
from tests.support.engine import ENGINE
from tests.support.processes import until_ended
from tests.support.tiny_model import image_of

Break = Callable[[Path], None]


def removed(path: Path) -> None:
    path.unlink()


def with_a_mistake(path: Path) -> None:
    path.write_text("half a [")


class Trusting:
    """A supervisor of two workers with a file of keys and with TLS."""

    def __init__(self, supervisor: Supervisor, authority: Authority) -> None:
        self.supervisor = supervisor
        self._credentials = authority.trusting()

    async def status(self, secret: str) -> grpc.StatusCode:
        """How a call with this key ends, over a connection of its own."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        request = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(7))])
        address = f"localhost:{self.supervisor.grpc_port}"
        async with grpc.aio.secure_channel(address, self._credentials, options) as channel:
            metadata = [("x-api-key", secret)]
            call = DigitClassifierStub(channel).Classify(request, metadata=metadata, timeout=60, wait_for_ready=True)
            code: grpc.StatusCode = await call.code()
            return code

    async def kill_all(self) -> None:
        """Ends all workers: the next call is answered by one that has replaced them."""
        pids = self.supervisor.worker_pids
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        await asyncio.gather(*map(until_ended, pids))


@asynccontextmanager
async def trusting(repository: Path, keys: Path, authority: Authority) -> AsyncIterator[Trusting]:
    settings: dict[str, Any] = {"device": "cpu", "grpc_engine": ENGINE, "grpc_port": 0, "http_port": 0}
    config = Config(model_repository=repository, api_keys=keys, **(settings | authority.issue("localhost")))
    async with Supervisor(config, get_logger(), workers=2) as supervisor:
        yield Trusting(supervisor, authority)


def write_key(path: Path) -> str:
    secret = new_secret()
    path.write_text(table("somebody", secret, ["classify"], 0))
    return secret


@pytest.mark.parametrize("break_it", [removed, with_a_mistake])
async def test_a_worker_that_dies_is_replaced_though_no_file_can_be_used(
    break_it: Break, tiny_repository: Path, tmp_path: Path
) -> None:
    keys, authority = tmp_path / "keys.toml", Authority(tmp_path / "ours")
    secret = write_key(keys)
    async with trusting(tiny_repository, keys, authority) as service:
        for path in (keys, authority.certificate, authority.key):
            break_it(path)
        await service.kill_all()
        assert await service.status(secret) is grpc.StatusCode.OK
        assert await service.status(new_secret()) is grpc.StatusCode.UNAUTHENTICATED


async def test_what_was_revoked_before_the_mistake_stays_revoked_in_a_new_worker(
    tiny_repository: Path, tmp_path: Path
) -> None:
    keys, authority = tmp_path / "keys.toml", Authority(tmp_path / "ours")
    revoked = write_key(keys)
    with capture_logs() as log:
        async with trusting(tiny_repository, keys, authority) as service:
            secret = write_key(keys)
            while "api_keys_read" not in [entry["event"] for entry in log]:  # by the supervisor, within a second
                assert await service.status(secret) in {grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED}
            with_a_mistake(keys)
            await service.kill_all()
            assert await service.status(secret) is grpc.StatusCode.OK
            assert await service.status(revoked) is grpc.StatusCode.UNAUTHENTICATED


@given(mode=st.integers(0, 0o777))
def test_only_files_that_others_may_change_and_a_private_key_that_all_may_read_are_warned_of(mode: int) -> None:
    with TemporaryDirectory() as folder, capture_logs() as log:
        names = ("keys.toml", "certificate.pem", "key.pem", "clients.pem", "model.pub")
        keys, certificate, key, clients, model = paths = [Path(folder) / name for name in names]
        for path in paths:
            path.touch()
            path.chmod(mode)
        config = Config(
            api_keys=keys, tls_certificate=certificate, tls_key=key, tls_client_ca=clients, model_public_key=model
        )
        warn_of_permissions(config, get_logger())
    named = {entry["file"] for entry in log if entry["event"] == "file_open_to_others"}
    assert named == {str(path) for path in paths if mode & 0o022 or (path == key and mode & 0o004)}


async def test_files_that_are_open_to_others_are_named_once_at_the_start(tiny_repository: Path, tmp_path: Path) -> None:
    keys, authority = tmp_path / "keys.toml", Authority(tmp_path / "ours")
    write_key(keys)
    keys.chmod(0o660)
    with capture_logs() as log:
        async with trusting(tiny_repository, keys, authority):
            pass
    assert [entry["file"] for entry in log if entry["event"] == "file_open_to_others"] == [
        str(keys),
        str(authority.key),
    ]
