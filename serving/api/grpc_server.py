"""The gRPC server: several grpc.aio servers on one port, in one process. It knows no method and no message.

A grpc.aio server has one accept outstanding at a time, and each takes a round trip between its threads and the loop:
with small calls that is what bounds it, not the processor. Several servers accept side by side; the kernel spreads
connections over them (SO_REUSEPORT). Decision note 0005 has the figures.
"""

import asyncio
from collections.abc import Callable
from resource import RLIMIT_NOFILE, getrlimit

import grpc

from serving.api.listening_port import address
from serving.api.tls import TlsCredentials
from serving.logging import Logger

LISTENERS = 8  # of all workers together
# Of one connection, in flight: what it asks beyond waits in the client, which tells the time that is left when it
# sends. So a burst on one connection is answered and not turned away (decision 0030).
CONNECTION_CALLS = 128
# Received by a listener and not yet begun. What comes beyond is turned away by gRPC's own threads, as CANCELLED: many
# times cheaper than in Python, which would do nothing else under a flood of small calls. Calls that were cancelled keep
# their places until they are taken in, so that fewer places would cost the patient theirs (decision 0030).
PENDING_CALLS = 512
# For a connection to say something that is HTTP/2, and for TLS.
HANDSHAKE_MILLISECONDS = 10_000
# After a connection has come of age, for its calls in progress to end: those that never got their message never would.
AGE_GRACE_MILLISECONDS = 3_600_000
LONGEST_PAUSE_SECONDS = 1.0  # between two tries to listen again


class GrpcServer:
    """Starts, and stops together, servers that `register` has given the same handlers.

    One that grpc.aio gives up is replaced: its accepting loop ends at a method's path that is no UTF-8.
    """

    def __init__(
        self,
        register: Callable[[grpc.aio.Server], None],
        listeners: int,
        max_request_bytes: int,
        max_connection_age_seconds: float,
        log: Logger,
    ) -> None:
        self._log = log
        self._register = register
        self._listeners = listeners
        self._options = [
            ("grpc.max_receive_message_length", max_request_bytes),
            ("grpc.so_reuseport", 1),
            ("grpc.max_concurrent_streams", CONNECTION_CALLS),
            # It counts calls that have ended and not been freed, and so refuses a client that keeps the limit.
            ("grpc.http.overload_protection", 0),
            ("grpc.server.max_pending_requests", PENDING_CALLS),
            ("grpc.server.max_pending_requests_hard_limit", PENDING_CALLS),
            # Half of the descriptors that there may be, so that connections leave some to the rest of the process.
            ("grpc.max_allowed_incoming_connections", max(1, getrlimit(RLIMIT_NOFILE)[0] // 2 // listeners)),
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_MILLISECONDS),
            ("grpc.http2.settings_timeout", HANDSHAKE_MILLISECONDS),
            # Clients behind proxies that end idle connections ping; by default one in five minutes is too many.
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ]
        if max_connection_age_seconds:
            # The client connects anew, perhaps to another worker; calls in progress end where they began.
            self._options.append(("grpc.max_connection_age_ms", round(max_connection_age_seconds * 1000)))
            self._options.append(("grpc.max_connection_age_grace_ms", AGE_GRACE_MILLISECONDS))
        self._servers: set[grpc.aio.Server] = set()
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self, host: str, port: int, tls: TlsCredentials | None = None) -> None:
        """Listens on `host` and `port`, which is reserved (serving.api.listening_port). Raises OSError when it cannot.

        `tls`: None is plain text.
        """
        for _ in range(self._listeners):
            server = await self._listen(host, port, tls)
            self._keepers.append(asyncio.create_task(self._keep(server, host, port, tls)))

    async def _listen(self, host: str, port: int, tls: TlsCredentials | None) -> grpc.aio.Server:
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
        self._servers.add(server)
        return server

    async def _keep(self, server: grpc.aio.Server, host: str, port: int, tls: TlsCredentials | None) -> None:
        """Puts another listener in the place of one that ended by itself, again and again."""
        while True:
            # As a task: to cancel the wait itself would cancel what stop() waits for, too.
            ended = asyncio.ensure_future(server.wait_for_termination())
            await asyncio.wait({ended})
            self._servers.discard(server)
            self._log.error("listener_ended", port=port, why=repr(None if ended.cancelled() else ended.exception()))
            while server not in self._servers:
                try:
                    server = await self._listen(host, port, tls)
                    self._log.info("listener_replaced", port=port)
                except Exception as error:  # the border of a loop: the others listen meanwhile
                    self._log.error("listener_not_replaced", why=str(error))
                    await asyncio.sleep(LONGEST_PAUSE_SECONDS)

    async def stop(self, grace_seconds: float) -> None:
        """Refuses new calls, waits for those in flight up to the grace, then ends them."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await asyncio.gather(*(server.stop(grace_seconds) for server in self._servers))
