"""A port belongs to one service, however close together two begin; on every address that it should."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from serving.api.listening_port import ReservedPath, ReservedPort, bind_shared
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


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short path: a socket's has 107 bytes at most."""
    with TemporaryDirectory(prefix="digits") as name:
        yield Path(name)


def test_path_of_a_unix_socket_belongs_to_one_service_although_nobody_listens_yet(folder: Path) -> None:
    host, link = f"unix:{folder}/socket", folder / "link"
    link.symlink_to(folder)
    with ReservedPath(host):
        for other in (host, f"unix:{link}/socket"):
            with pytest.raises(ConfigError, match="in use; another: --host"):
                ReservedPath(other)
        with bind_shared(host, 0) as listening:
            listening.listen()
    assert not (folder / "socket").exists()
    with ReservedPath(host):
        pass  # it was given back


def test_socket_is_replaced_only_where_nobody_listens(folder: Path) -> None:
    path = folder / "socket"
    with bind_shared(f"unix:{path}", 0) as other:
        other.listen()
        with pytest.raises(ConfigError, match="in use; another: --host"):
            ReservedPath(f"unix:{path}")
        assert path.exists()
    with ReservedPath(f"unix:{path}"):
        assert not path.exists()


def test_path_that_can_be_no_socket_is_refused_and_left_as_it_is(folder: Path) -> None:
    (folder / "file").write_text("mine")
    for name, why in (
        ("file", "there is a file that is no socket"),
        ("no/socket", "No such file or directory"),
        ("x" * 200, "AF_UNIX path too long"),
    ):
        with pytest.raises(ConfigError, match=rf"host unix:{folder}/{name}: {why}; another: --host"):
            ReservedPath(f"unix:{folder}/{name}")
    assert (folder / "file").read_text() == "mine"


def test_a_host_of_another_machine_is_refused_with_what_to_change() -> None:
    with pytest.raises(ConfigError, match=r"grpc_port 50051 on 192\.0\.2\.1: .*; another: --grpc-port"):
        ReservedPort("192.0.2.1", 50051, "grpc_port")
    with pytest.raises(ConfigError, match=r"host no\.such\.host\.invalid: .*another: --host"):
        ReservedPort("no.such.host.invalid", 50051, "grpc_port")
