"""Clients whose certificate expires while they are connected, or that resume a TLS session afterwards."""

import datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc.experimental import session_cache
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from serving.process.standalone import Standalone
from tests.support.authority import Authority
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of

VALID_SECONDS = 4.0  # enough for the first calls; certificates know whole seconds alone
TRIES = 30  # with grpc.aio a client resumes its session only where it meets the same listener
REQUEST = digits_pb2.ClassifyRequest(images=[digits_pb2.Image(pixels=image_of(7))])
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
Statuses = set[grpc.StatusCode]


class Client:
    """Client with a certificate that soon expires, and with a cache of TLS sessions."""

    def __init__(self, server: Standalone, ours: Authority, clients: Authority) -> None:
        self.expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=VALID_SECONDS)
        self._credentials = ours.trusting(clients.issue("somebody", self.expires))
        self._cache: Any = session_cache.ssl_session_cache_lru(1)  # type: ignore[no-untyped-call]  # as grpc has it
        self._address = f"localhost:{server.grpc_port}"

    @property
    def has_expired(self) -> bool:
        return datetime.datetime.now(datetime.UTC) > self.expires + datetime.timedelta(seconds=1)

    def connect(self, *, resumes: bool = True) -> grpc.aio.Channel:
        """A connection of its own, by the session that the last one has left if it `resumes`."""
        options: list[tuple[str, Any]] = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        options += [("grpc.ssl_session_cache", self._cache)] if resumes else []
        return grpc.aio.secure_channel(self._address, self._credentials, options)


async def status_of(channel: grpc.aio.Channel) -> grpc.StatusCode:
    code: grpc.StatusCode = await DigitClassifierStub(channel).Classify(REQUEST, timeout=10).code()
    return code


@pytest.fixture
def clients(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "clients")


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


async def test_a_resumed_session_does_not_outlive_the_certificate(
    start_server: StartServer, ours: Authority, clients: Authority
) -> None:
    async with start_server(**ours.issue("localhost"), tls_client_ca=clients.file) as server:
        client = Client(server, ours, clients)
        async with client.connect() as channel:
            assert await status_of(channel) is grpc.StatusCode.OK
        while not client.has_expired:  # each try renews the session
            async with client.connect() as channel:
                await status_of(channel)
        found: Statuses = set()
        for _ in range(TRIES):
            async with client.connect() as channel:
                found.add(await status_of(channel))
        # UNAVAILABLE: not resumed, as is every connection without a session.
        assert UNAUTHENTICATED in found
        assert found <= {UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE}
        async with client.connect(resumes=False) as channel:
            assert await status_of(channel) is grpc.StatusCode.UNAVAILABLE


async def test_a_connection_gets_no_answer_once_the_certificate_has_expired(
    start_server: StartServer, ours: Authority, clients: Authority
) -> None:
    async with start_server(**ours.issue("localhost"), tls_client_ca=clients.file) as server:
        client = Client(server, ours, clients)
        async with client.connect() as channel:
            stream = DigitClassifierStub(channel).ClassifyStream(timeout=60)
            await stream.write(digits_pb2.ClassifyStreamRequest(id=1, request=REQUEST))
            assert (await stream.read()).response.predictions[0].digit == 7
            assert await status_of(channel) is grpc.StatusCode.OK
            while not client.has_expired:
                assert await status_of(channel) in {grpc.StatusCode.OK, UNAUTHENTICATED}
            assert await status_of(channel) is UNAUTHENTICATED

            await stream.write(digits_pb2.ClassifyStreamRequest(id=2, request=REQUEST))
            answer = await stream.read()
            assert (answer.id, answer.failure.code) == (2, UNAUTHENTICATED.value[0])
            assert await DigitClassifierStub(channel).ClassifyStream(timeout=10).code() is UNAUTHENTICATED
            assert await DigitClassifierStub(channel).GetModel(digits_pb2.GetModelRequest()).code() is UNAUTHENTICATED

            # These need no key, and a certificate as any other call.
            health: Any = health_pb2_grpc.HealthStub(channel)  # the stubs describe no attributes
            assert await health.Check(health_pb2.HealthCheckRequest()).code() is UNAUTHENTICATED
            assert await health.Watch(health_pb2.HealthCheckRequest()).code() is UNAUTHENTICATED
            reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]  # or an aio one
            listing = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            assert await reflection.ServerReflectionInfo(listing).code() is UNAUTHENTICATED
