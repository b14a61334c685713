"""A port belongs to one service, however close together two begin; on every address that it should."""

import asyncio

import pytest

from serving.api.listening_port import ReservedPort, bind_shared
from serving.errors import ConfigError


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_port_that_another_service_holds_is_refused_although_nobody_listens_yet(host: str) -> None:
    with ReservedPort(host, 0, "grpc_port") as free:
        port = free.port
    with ReservedPort(host, port, "grpc_port") as held:
        with pytest.raises(ConfigError, match=rf"http_port {port} on {host}: .*in use; another: --http-port"):
            ReservedPort(host, port, "http_port")
        with bind_shared(host, port) as worker:  # our own workers share it
            worker.listen()
        assert held.port == port
    with ReservedPort(host, port, "grpc_port"):
        pass  # it was given back


def test_a_port_that_another_program_listens_on_is_refused_even_where_it_would_share() -> None:
    with bind_shared("127.0.0.1", 0) as other:
        other.listen()
        with pytest.raises(ConfigError, match="in use"):
            ReservedPort("127.0.0.1", other.getsockname()[1], "grpc_port")


async def test_every_interface_of_ipv6_is_every_interface_of_ipv4_too() -> None:
    with bind_shared("::", 0) as listening:
        listening.listen()
        for host in ("127.0.0.1", "::1"):
            _, writer = await asyncio.open_connection(host, listening.getsockname()[1])
            writer.close()
            accepted, _ = listening.accept()
            accepted.close()


def test_a_host_of_another_machine_is_refused_with_what_to_change() -> None:
    with pytest.raises(ConfigError, match=r"grpc_port 50051 on 192\.0\.2\.1: .*; another: --grpc-port"):
        ReservedPort("192.0.2.1", 50051, "grpc_port")
    with pytest.raises(ConfigError, match=r"host no\.such\.host\.invalid: .*another: --host"):
        ReservedPort("no.such.host.invalid", 50051, "grpc_port")
