"""TLS with real certificates: who is let in, who is not, and files that change while the server runs."""

import datetime
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from structlog.testing import capture_logs

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.errors import ConfigError
from tests.support.authority import Authority, Settings
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


async def classify(port: int, credentials: grpc.ChannelCredentials | None) -> int:
    """The digit read, over a connection of its own and without the retries that our clients make."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    address = f"localhost:{port}"
    secure, plain = grpc.aio.secure_channel, grpc.aio.insecure_channel
    async with secure(address, credentials, options) if credentials else plain(address, options) as channel:
        request = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(7))])
        response = await DigitClassifierStub(channel).Classify(request, timeout=5)
    return int(response.predictions[0].digit)


async def is_refused(port: int, credentials: grpc.ChannelCredentials | None) -> bool:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await classify(port, credentials)
    return raised.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_client_that_trusts_the_authority_is_answered(start_server: StartServer, authority: Authority) -> None:
    async with start_server(**authority.issue("localhost")) as server:
        assert await classify(server.grpc_port, authority.trusting()) == 7


async def test_plain_text_is_not_answered(start_server: StartServer, authority: Authority) -> None:
    async with start_server(**authority.issue("localhost")) as server:
        assert await is_refused(server.grpc_port, None)


async def test_a_client_refuses_a_server_of_another_authority(
    start_server: StartServer, authority: Authority, tmp_path: Path
) -> None:
    async with start_server(**authority.issue("localhost")) as server:
        assert await is_refused(server.grpc_port, Authority(tmp_path / "theirs").trusting())


async def test_a_client_refuses_a_certificate_of_another_host(start_server: StartServer, authority: Authority) -> None:
    async with start_server(**authority.issue("elsewhere.example")) as server:
        assert await is_refused(server.grpc_port, authority.trusting())


async def test_a_client_refuses_an_expired_certificate(start_server: StartServer, authority: Authority) -> None:
    expired = datetime.datetime(2020, 1, 1)
    async with start_server(**authority.issue("localhost", expired)) as server:
        assert await is_refused(server.grpc_port, authority.trusting())


async def test_with_an_authority_for_clients_only_its_clients_are_let_in(
    start_server: StartServer, authority: Authority, tmp_path: Path
) -> None:
    clients, strangers = Authority(tmp_path / "clients"), Authority(tmp_path / "strangers")
    files = authority.issue("localhost")
    async with start_server(**files, tls_client_ca=clients.file) as server:
        assert await classify(server.grpc_port, authority.trusting(clients.issue("somebody"))) == 7
        assert await is_refused(server.grpc_port, authority.trusting())
        assert await is_refused(server.grpc_port, authority.trusting(strangers.issue("somebody")))
        expired = datetime.datetime(2020, 1, 1)
        assert await is_refused(server.grpc_port, authority.trusting(clients.issue("somebody", expired)))


async def test_new_files_are_used_by_the_next_connection_and_broken_ones_are_not(
    start_server: StartServer, authority: Authority
) -> None:
    async with start_server(**authority.issue("elsewhere.example")) as server:
        assert await is_refused(server.grpc_port, authority.trusting())
        files = authority.issue("localhost")
        assert await classify(server.grpc_port, authority.trusting()) == 7
        files["tls_certificate"].write_text("half of a certificate")
        assert await classify(server.grpc_port, authority.trusting()) == 7
        files["tls_certificate"].unlink()
        assert await classify(server.grpc_port, authority.trusting()) == 7


async def test_missing_file_is_logged_once_and_not_at_each_connection(
    start_server: StartServer, authority: Authority
) -> None:
    files = authority.issue("localhost")
    with capture_logs() as log:
        async with start_server(**files) as server:
            files["tls_key"].unlink()
            for _ in range(3):
                assert await classify(server.grpc_port, authority.trusting()) == 7
    assert [entry["event"] for entry in log].count("tls_files_not_read") == 1


def missing(files: Settings) -> None:
    files["tls_key"].unlink()


def no_pem(files: Settings) -> None:
    files["tls_certificate"].write_text("nothing")


@pytest.mark.parametrize("break_them", [missing, no_pem])
async def test_files_that_cannot_be_used_keep_the_server_from_starting(
    break_them: Callable[[Settings], None], start_server: StartServer, authority: Authority
) -> None:
    files = authority.issue("localhost")
    break_them(files)
    with pytest.raises(ConfigError, match="tls: "):
        async with start_server(**files):
            pass


async def test_a_key_of_another_certificate_keeps_the_server_from_starting(
    start_server: StartServer, authority: Authority, tmp_path: Path
) -> None:
    files = authority.issue("localhost") | {"tls_key": Authority(tmp_path / "other").issue("localhost")["tls_key"]}
    with pytest.raises(ConfigError, match="cannot be used"):
        async with start_server(**files):
            pass
