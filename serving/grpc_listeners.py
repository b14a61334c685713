"""Several grpc.aio servers on one port, in one process: what accepts calls. Knows no method and no message.

A grpc.aio server has one accept outstanding at a time, and each takes a round trip between its threads and the loop:
with small calls that is what bounds it, not the processor. Several servers accept side by side; the kernel spreads
connections over them (SO_REUSEPORT). Decision note 0005 has the figures.
"""

import asyncio
import socket
from collections.abc import Callable

import grpc

LISTENERS = 8


class GrpcListeners:
    """Starts, and stops together, servers that `register` has given the same handlers."""

    def __init__(self, register: Callable[[grpc.aio.Server], None], max_request_bytes: int) -> None:
        self._register = register
        self._options = [
            ("grpc.max_receive_message_length", max_request_bytes),
            ("grpc.so_reuseport", 1),
            # Clients behind proxies that end idle connections ping; by default one in five minutes is too many.
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ]
        self._servers: list[grpc.aio.Server] = []

    async def start(self, host: str, port: int) -> int:
        """Listens on `host` and `port` (0: any free one) and returns the port. Raises OSError when it cannot."""
        _check_free(host, port)
        for _ in range(LISTENERS):
            server = grpc.aio.server(options=self._options)
            self._register(server)
            try:
                port = server.add_insecure_port(address(host, port))
            except RuntimeError as error:  # grpc's only word for it
                raise OSError(None, "cannot be bound") from error
            await server.start()
            self._servers.append(server)
        return port

    async def stop(self, grace_seconds: float) -> None:
        """Refuses new calls, waits for those in flight up to the grace, then ends them."""
        await asyncio.gather(*(server.stop(grace_seconds) for server in self._servers))


def address(host: str, port: int) -> str:
    """HOST:PORT, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check_free(host: str, port: int) -> None:
    """Raises OSError where another program listens: with SO_REUSEPORT it would silently share the calls."""
    family, kind, protocol, _, bound = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port just left is free
        probe.bind(bound)
