"""Chooses the engine and its limits. Both engines take the same methods.

Overload is refused by admission (serving.core.admission), with a status. grpc.aio also needs a limit in gRPC's own
threads, which end as CANCELLED what exceeds it (decision 0030).
"""

import asyncio
from collections.abc import Sequence
from typing import Literal, Protocol

import grpc

from serving.api.engine import grpc_core
from serving.api.engine.aio import AioEngine
from serving.api.engine.call import Method
from serving.api.engine.completion_queue import CompletionQueueEngine
from serving.api.engine.loop import CompletionQueueLoop
from serving.api.tls import TlsCredentials
from serving.host.descriptors import grpc_connections
from serving.logging import Logger

EngineName = Literal["completion-queue", "aio"]
LISTENERS = 8  # of grpc.aio, of all workers together
# Calls in flight on one connection. Further calls wait in the client, which sends the time that remains until the
# deadline only when it sends the call. So a burst on one connection is answered and not refused (decision 0030).
CONNECTION_CALLS = 128
# Calls that a listener of grpc.aio has received and not yet begun. gRPC's own threads end further ones as CANCELLED,
# which is many times cheaper than a refusal in a task of grpc.aio: under a flood of small calls Python would do nothing
# else. Cancelled calls keep their places until they are begun, so a smaller limit would cancel callers who do wait.
AIO_PENDING_CALLS = 512
# Time for a new connection to complete TLS and to send its HTTP/2 settings.
HANDSHAKE_MILLISECONDS = 10_000
# Time for calls in progress on a connection that has reached its maximum age. Bounded, because a call whose request
# message never arrives would never end.
AGE_GRACE_MILLISECONDS = 3_600_000
WINDOW_BYTES = 1 << 20  # how far a stream may be ahead of its reader (decision 0040)


class GrpcEngine(Protocol):
    """Answers calls on one port."""

    async def start(self, host: str, port: int, tls: TlsCredentials | None = None) -> None:
        """Listens on `host` and `port`, reserved by serving.api.listening_port. `tls`: None means plain text.

        Raises OSError when it cannot.
        """

    async def stop(self, grace_seconds: float) -> None:
        """Refuses new calls, waits up to `grace_seconds` for those in flight, then cancels them."""


def choose_engine(setting: str, loop: asyncio.AbstractEventLoop) -> tuple[EngineName, str]:
    """Returns the engine for `setting`: completion-queue, aio, or auto; and for aio as a fallback the reason.

    `loop`: on which the server will run.
    """
    if setting == "aio":
        return "aio", ""
    if setting == "auto" and not grpc_core.is_tested():
        return "aio", f"the faster engine was not tested with grpcio {grpc.__version__}"
    if setting == "auto" and not isinstance(loop, CompletionQueueLoop):
        return "aio", "the faster engine needs serving.api.engine.loop.CompletionQueueLoop as the event loop"
    return "completion-queue", ""


def make_engine(
    name: EngineName,
    methods: Sequence[Method],
    workers: int,
    max_request_bytes: int,
    max_connection_age_seconds: float,
    log: Logger,
    *,
    is_shared: bool = True,
) -> GrpcEngine:
    """Makes an engine, which start() starts. `workers`: processes that share the port.

    `is_shared`: several listeners can share it, as a Unix socket cannot be.
    """
    listeners = max(2, LISTENERS // workers) if name == "aio" and is_shared else 1  # decision 0005
    by_path = {method.path.encode(): method for method in methods}
    options = _options(listeners, max_request_bytes, max_connection_age_seconds)
    limits = ("grpc.server.max_pending_requests", "grpc.server.max_pending_requests_hard_limit")
    if name == "aio":
        return AioEngine(by_path, [*options, *((limit, AIO_PENDING_CALLS) for limit in limits)], listeners, log)
    # gRPC itself rejects none: a call that waits in it costs little, and each gets a status of ours.
    return CompletionQueueEngine(by_path, [*options, *((limit, 2**31 - 1) for limit in limits)])


def _options(listeners: int, max_request_bytes: int, max_connection_age_seconds: float) -> list[tuple[str, int]]:
    """Returns the channel arguments of one listener. `max_connection_age_seconds`: 0 means unlimited."""
    options = [
        ("grpc.max_receive_message_length", max_request_bytes),
        ("grpc.so_reuseport", 1),  # all listeners of all workers share the port
        ("grpc.max_concurrent_streams", CONNECTION_CALLS),
        # Off: it also counts calls that have ended and are not freed yet, and so refuses a client that keeps the limit.
        ("grpc.http.overload_protection", 0),
        ("grpc.max_allowed_incoming_connections", max(1, grpc_connections() // listeners)),
        # gRPC would grow a stream's window with the throughput, to tens of MiB, all of which a stream that reads no
        # response can leave in memory.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MILLISECONDS),
        ("grpc.http2.settings_timeout", HANDSHAKE_MILLISECONDS),
        # Clients ping to keep idle connections open through proxies. By default gRPC allows one ping in 5 minutes and
        # answers more with GOAWAY (too_many_pings).
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
    ]
    if max_connection_age_seconds:
        # SO_REUSEPORT spreads connections, not calls. A client that reconnects may reach a less busy worker; its calls
        # in progress end on the old connection.
        options.append(("grpc.max_connection_age_ms", round(max_connection_age_seconds * 1000)))
        options.append(("grpc.max_connection_age_grace_ms", AGE_GRACE_MILLISECONDS))
    return options
