"""Several grpc.aio servers on one port, in one process: what accepts calls. Knows no method and no message.

A grpc.aio server has one accept outstanding at a time, and each takes a round trip between its threads and the loop:
with small calls that is what bounds it, not the processor. Several servers accept side by side; the kernel spreads
connections over them (SO_REUSEPORT). Decision note 0005 has the figures.
"""

import asyncio
from collections.abc import Callable

import grpc

from serving.listening_port import address
from serving.tls import TlsCredentials

LISTENERS = 8  # of all workers together
# Received by a listener and not yet begun. What comes beyond is turned away by gRPC's own threads, as CANCELLED: many
# times cheaper than in Python, which would do nothing else under a flood of small calls (decision 0030).
PENDING_CALLS = 512


class GrpcListeners:
    """Starts, and stops together, servers that `register` has given the same handlers."""

    def __init__(
        self,
        register: Callable[[grpc.aio.Server], None],
        listeners: int,
        max_request_bytes: int,
        max_connection_age_seconds: float,
    ) -> None:
        self._register = register
        self._listeners = listeners
        self._options = [
            ("grpc.max_receive_message_length", max_request_bytes),
            ("grpc.so_reuseport", 1),
            ("grpc.server.max_pending_requests", PENDING_CALLS),
            ("grpc.server.max_pending_requests_hard_limit", PENDING_CALLS),
            # Clients behind proxies that end idle connections ping; by default one in five minutes is too many.
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ]
        if max_connection_age_seconds:
            # The client connects anew, perhaps to another worker; calls in progress end where they began.
            self._options.append(("grpc.max_connection_age_ms", round(max_connection_age_seconds * 1000)))
        self._servers: list[grpc.aio.Server] = []

    async def start(self, host: str, port: int, tls: TlsCredentials | None = None) -> None:
        """Listens on `host` and `port`, which is reserved (serving.listening_port). Raises OSError when it cannot.

        `tls`: None is plain text.
        """
        for _ in range(self._listeners):
            server = grpc.aio.server(options=self._options)
            self._register(server)
            try:
                if tls:
                    server.add_secure_port(address(host, port), tls.for_listener())  # each listener needs its own
                else:
                    server.add_insecure_port(address(host, port))
            except RuntimeError as error:  # grpc's only word for it
                raise OSError(None, "cannot be bound") from error
            await server.start()
            self._servers.append(server)

    async def stop(self, grace_seconds: float) -> None:
        """Refuses new calls, waits for those in flight up to the grace, then ends them."""
        await asyncio.gather(*(server.stop(grace_seconds) for server in self._servers))
