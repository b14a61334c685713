"""The grpc.aio engine: calls as tasks, for releases of grpcio with which the other engine was not tested.

1. A grpc.aio server has one accept outstanding at a time, and each accept takes a round trip between its threads and
   the event loop. With small calls that is the limit, not the processor. So several servers ("listeners") accept at
   the same time; the kernel spreads connections over them (SO_REUSEPORT). Decision 0005 has the figures.
2. A listener whose accepting loop ends by itself is replaced; the others go on meanwhile.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, cast

import grpc

from serving.api.engine.call import CERTIFICATE, OK, Call, Metadata, Method
from serving.api.listening_port import address
from serving.api.tls import TlsCredentials
from serving.core.batch_queue import NO_DEADLINE
from serving.logging import Logger

# When no call has begun for this time, gRPC holds none that it has received and not begun: stopping would cancel those.
QUIET_SECONDS = 0.05
MAX_UNQUIET_SECONDS = 1.0  # clients that call again and again do not delay the end further
RETRY_SECONDS = 1.0  # between two attempts to listen again
Context = grpc.aio.ServicerContext[bytes, bytes]
# How a unary call ended: its status, the status's details, and the message.
_Outcome = tuple[grpc.StatusCode, str, bytes | None]


class AioEngine:
    """Several listeners on one port, started and stopped together, each with the same methods."""

    def __init__(
        self, methods: Mapping[bytes, Method], options: list[tuple[str, int]], listeners: int, log: Logger
    ) -> None:
        """`methods`: by path. `options`: gRPC's channel arguments."""
        self._methods = methods.values()
        self._begun = 0  # calls
        self._options = options
        self._listeners = listeners
        self._log = log
        self._servers: set[grpc.aio.Server] = set()
        self._keepers: list[asyncio.Task[None]] = []

    async def start(self, host: str, port: int, tls: TlsCredentials | None = None) -> None:
        """Listens on `host` and `port`. `tls`: None means plain text. Raises OSError when it cannot."""
        for _ in range(self._listeners):
            server = await self._listen(host, port, tls)
            self._keepers.append(asyncio.create_task(self._keep(server, host, port, tls)))

    async def _listen(self, host: str, port: int, tls: TlsCredentials | None) -> grpc.aio.Server:
        """Starts one listener. Raises OSError when the port cannot be bound."""
        server = grpc.aio.server(options=self._options)
        server.add_generic_rpc_handlers(self._handlers())
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
        if not self._servers:
            return
        await self._until_quiet()
        for keeper in self._keepers:  # first: a keeper would replace the listeners that are stopped below
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await asyncio.gather(*(server.stop(grace_seconds) for server in self._servers))
        self._servers = set()  # not before: a stop that is cancelled may be repeated

    async def _until_quiet(self) -> None:
        """Returns when no call has begun for QUIET_SECONDS: all that arrived have been refused."""
        ends, before = time.monotonic() + MAX_UNQUIET_SECONDS, -1
        while self._begun != before and time.monotonic() < ends:
            before = self._begun
            await asyncio.sleep(QUIET_SECONDS)

    def _handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        """Returns the methods in the form that grpc.aio calls, a handler for each service."""
        makers: dict[str, Any] = {
            "unary": grpc.unary_unary_rpc_method_handler,
            "server_stream": grpc.unary_stream_rpc_method_handler,
            "bidi_stream": grpc.stream_stream_rpc_method_handler,
        }
        services: dict[str, dict[str, Any]] = {}
        for method in self._methods:
            services.setdefault(method.service, {})[method.name] = makers[method.kind](self._handler(method))
        return tuple(grpc.method_handlers_generic_handler(name, handlers) for name, handlers in services.items())

    def _handler(self, method: Method) -> Any:
        async def handle(request: Any, context: Context) -> bytes | None:
            self._begun += 1
            call = _AioCall(context)
            try:
                method.arrive(call)
                if not call.is_over:
                    method.begin(call, request if isinstance(request, bytes) else b"")
                del request  # it need not wait for the response
                code, details, message = await call.ended
            except asyncio.CancelledError:  # the client left, the deadline passed, or the server stops
                call.cancelled()
                raise
            context.set_trailing_metadata(call.trailing_metadata)
            if code is not OK:
                await _abort(context, code, details, call.trailing_metadata)
            return message

        return handle


class _AioCall(Call):
    """A call of grpc.aio. `ended` is done when the method has ended it."""

    __slots__ = ("_context", "ended")

    def __init__(self, context: Context) -> None:
        remaining = context.time_remaining()
        super().__init__(NO_DEADLINE if remaining is None else time.monotonic() + remaining)
        self._context = context
        self.ended: asyncio.Future[_Outcome] = asyncio.get_running_loop().create_future()

    def peer(self) -> str:
        return self._context.peer()

    def invocation_metadata(self) -> Metadata:
        return cast(Metadata, self._context.invocation_metadata() or ())

    def peer_certificate(self) -> bytes | None:
        shown = self._context.auth_context().get(CERTIFICATE)
        return next(iter(shown)) if shown else None

    async def read(self) -> bytes | None:
        message: object = await self._context.read()  # or EOF, of which the types say nothing
        return message if isinstance(message, bytes) else None

    async def write(self, message: bytes) -> None:
        try:
            await self._context.write(message)
        except grpc.aio.BaseError:  # the client has left
            return

    def _send(self, code: grpc.StatusCode, details: str, message: bytes | None) -> None:
        if not self.ended.done():  # done: cancelled with its task, which has not noted that yet
            self.ended.set_result((code, details, message))


async def _abort(context: Context, code: grpc.StatusCode, details: str, trailing: tuple[tuple[str, str], ...]) -> None:
    """Ends the call with a status and nothing before it: clients do not retry a call that received anything else."""
    try:
        await context.abort(code, details, trailing)
    except grpc.aio.InternalError as gone:  # the caller left meanwhile; raised as it is, grpc would log a stack for it
        raise asyncio.CancelledError from gone
