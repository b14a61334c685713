"""The gRPC server: several grpc.aio servers that share one port, in one process. It knows no method and no message.

1. A grpc.aio server has one accept outstanding at a time, and each accept takes a round trip between its threads and
   the event loop. With small calls that is the limit, not the processor. So several servers ("listeners") accept at
   the same time; the kernel spreads connections over them (SO_REUSEPORT). Decision 0005 has the figures.
2. A listener whose accepting loop ends by itself is replaced; the others go on meanwhile.
3. Overload is refused in two places: gRPC's own threads cancel what exceeds the limits below, and admission
   (serving.core.admission) refuses the rest with a status. Decision 0030 has the figures.
"""

import asyncio
from collections.abc import Callable
from resource import RLIMIT_NOFILE, getrlimit

import grpc

from serving.api.listening_port import address
from serving.api.tls import TlsCredentials
from serving.logging import Logger

LISTENERS = 8  # of all workers together
# Calls in flight on one connection. Further calls wait in the client, which sends the time that remains until the
# deadline only when it sends the call. So a burst on one connection is answered and not refused (decision 0030).
CONNECTION_CALLS = 128
# Calls that a listener has received and not yet begun. gRPC's own threads end further ones as CANCELLED, which is many
# times cheaper than a refusal in Python: under a flood of small calls Python would do nothing else. Cancelled calls
# keep their places until they are begun, so a smaller limit would cancel callers who do wait (decision 0030).
PENDING_CALLS = 512
# Time for a new connection to complete TLS and to send its HTTP/2 settings.
HANDSHAKE_MILLISECONDS = 10_000
# Time for calls in progress on a connection that has reached its maximum age. Bounded, because a call whose request
# message never arrives would never end.
AGE_GRACE_MILLISECONDS = 3_600_000
WINDOW_BYTES = 1 << 20  # how far a stream may be ahead of its reader (decision 0040)
RETRY_SECONDS = 1.0  # between two attempts to listen again


class GrpcServer:
    """Several listeners on one port, started and stopped together, each with the same handlers."""

    def __init__(
        self,
        register: Callable[[grpc.aio.Server], None],
        listeners: int,
        max_request_bytes: int,
        max_connection_age_seconds: float,
        log: Logger,
    ) -> None:
        """`register` adds every service to a listener. `max_connection_age_seconds`: 0 means unlimited."""
        self._log = log
        self._register = register
        self._listeners = listeners
        self._options = [
            ("grpc.max_receive_message_length", max_request_bytes),
            ("grpc.so_reuseport", 1),  # all listeners of all workers share the port
            ("grpc.max_concurrent_streams", CONNECTION_CALLS),
            # Off: it also counts calls that have ended and are not freed yet, and so refuses a client that keeps the
            # limit.
            ("grpc.http.overload_protection", 0),
            ("grpc.server.max_pending_requests", PENDING_CALLS),
            ("grpc.server.max_pending_requests_hard_limit", PENDING_CALLS),
            # Half of the process's file descriptors, divided among the listeners: model files, HTTP and workers need
            # some.
            ("grpc.max_allowed_incoming_connections", max(1, getrlimit(RLIMIT_NOFILE)[0] // 2 // listeners)),
            # gRPC would grow a stream's window with the throughput, to tens of MiB, all of which a stream that reads no
            # response can leave in memory.
            ("grpc.http2.bdp_probe", 0),
            ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_MILLISECONDS),
            ("grpc.http2.settings_timeout", HANDSHAKE_MILLISECONDS),
            # Clients ping to keep idle connections open through proxies. By default gRPC allows one ping in 5 minutes
            # and answers more with GOAWAY (too_many_pings).
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
        ]
        if max_connection_age_seconds:
            # SO_REUSEPORT spreads connections, not calls. A client that reconnects may reach a less busy worker; its
            # calls in progress end on the old connection.
            self._options.append(("grpc.max_connection_age_ms", round(max_connection_age_seconds * 1000)))
            self._options.append(("grpc.max_connection_age_grace_ms", AGE_GRACE_MILLISECONDS))
        self._servers: set[grpc.aio.Server] = set()
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self, host: str, port: int, tls: TlsCredentials | None = None) -> None:
        """Listens on `host` and `port`. Raises OSError when it cannot.

        `port` has been reserved by serving.api.listening_port. `tls`: None means plain text.
        """
        for _ in range(self._listeners):
            server = await self._listen(host, port, tls)
            self._keepers.append(asyncio.create_task(self._keep(server, host, port, tls)))

    async def _listen(self, host: str, port: int, tls: TlsCredentials | None) -> grpc.aio.Server:
        """Starts one listener. Raises OSError when the port cannot be bound."""
        server = grpc.aio.server(options=self._options)
        self._register(server)
        try:
            if tls:
                server.add_secure_port(address(host, port), tls.for_listener())  # each listener needs its own
            else:
                server.add_insecure_port(address(host, port))
        except RuntimeError as error:  # grpc's only error for it, without an errno
            raise OSError(None, "cannot be bound") from error
        await server.start()
        self._servers.add(server)
        return server

    async def _keep(self, server: grpc.aio.Server, host: str, port: int, tls: TlsCredentials | None) -> None:
        """Replaces a listener whenever it ends by itself.

        grpc.aio ends its accepting loop at a method path that is not UTF-8: one bad call would stop one listener.
        """
        while True:
            # A task of its own, and asyncio.wait, which does not cancel it: grpc.aio shares one future between this
            # wait and stop(), and cancelling it here would cancel it there.
            ended = asyncio.ensure_future(server.wait_for_termination())
            await asyncio.wait({ended})
            self._servers.discard(server)
            self._log.error("listener_ended", port=port, why=repr(None if ended.cancelled() else ended.exception()))
            while server not in self._servers:
                try:
                    server = await self._listen(host, port, tls)
                    self._log.info("listener_replaced", port=port)
                except Exception as error:  # the border of a loop: the other listeners go on
                    self._log.error("listener_not_replaced", why=str(error))
                    await asyncio.sleep(RETRY_SECONDS)

    async def stop(self, grace_seconds: float) -> None:
        """Refuses new calls, waits up to `grace_seconds` for those in flight, then cancels them."""
        for keeper in self._keepers:  # first: a keeper would replace the listeners that are stopped below
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await asyncio.gather(*(server.stop(grace_seconds) for server in self._servers))
