"""The completion-queue engine: gRPC calls as callbacks on the event loop, from grpcio's own core.

1. A unary call is three events: the call, its message, and its end. No task and no future is made for it; one batch
   sends the response's headers, message and status.
2. A stream's method runs as a task, which reads and writes with futures.
3. The loop's thread reads and writes the connections while it polls the queue (this package's `__init__.py` says how),
   and runs everything of ours.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import grpc

from serving.api.engine import grpc_core
from serving.api.engine.call import OK, Call, Metadata, Method
from serving.api.engine.loop import CompletionQueueLoop
from serving.api.listening_port import address
from serving.api.tls import TlsCredentials
from serving.core.batch_queue import NO_DEADLINE

# Calls that gRPC may hand over before we ask for more. Those that it has not handed over when the server ends get
# CANCELLED from gRPC itself, and no status of ours.
REQUESTED_CALLS = 256
# Before it ends, the server holds calls that arrive until none has arrived for this time. Callers who wait for a status
# send no further call, and so none reaches gRPC after its end, which it would answer as CANCELLED.
QUIET_SECONDS = 0.02
MAX_UNQUIET_SECONDS = 0.2  # callers who do not wait delay the end no further
_FOREVER = 9e18  # seconds since the epoch: the deadline of a call without one


class CompletionQueueEngine:
    """One gRPC server on the running loop's completion queue."""

    def __init__(self, methods: Mapping[bytes, Method], options: list[tuple[str, int]]) -> None:
        """`methods`: by path. `options`: gRPC's channel arguments."""
        self._methods = methods
        self._options = options
        self._server: Any = None
        self._takes_calls = False
        self._has_ended: asyncio.Future[None] | None = None
        self._held: list[tuple[_QueueCall, Method]] | None = None  # calls to begin once the server has begun to end

    async def start(self, host: str, port: int, tls: TlsCredentials | None = None) -> None:
        """Listens on `host` and `port`. `tls`: None means plain text. Raises OSError when it cannot."""
        loop = asyncio.get_running_loop()
        if not isinstance(loop, CompletionQueueLoop):
            raise OSError(None, "needs serving.api.engine.loop.CompletionQueueLoop as the event loop")
        await loop.open_queue()
        self._queue = loop.queue
        server = grpc_core.Server(self._options, False)
        server.register_completion_queue(self._queue)
        credentials = [grpc_core.server_credentials(tls.for_listener())] if tls else []
        if not server.add_http2_port(address(host, port).encode(), *credentials):
            raise OSError(None, "cannot be bound")
        loop.start_server(server)
        self._server, self._takes_calls = server, True
        self._has_ended = loop.create_future()
        for _ in range(REQUESTED_CALLS):
            server.request_call(self._queue, self._queue, self._arrive)

    async def stop(self, grace_seconds: float) -> None:
        """Takes no new calls, waits up to `grace_seconds` for those in flight, then cancels them.

        A second call does the same: the first may have been cancelled.
        """
        if self._has_ended is None or self._has_ended.done():
            return
        if self._takes_calls:
            held = self._held = self._held or []
            await self._until_quiet(held)
        if self._takes_calls:  # still: no other stop() has come here meanwhile
            self._takes_calls = False
            self._server.shutdown(self._queue, self._note_end)
            held, self._held = self._held or [], None
            for call, method in held:
                _begin(call, method)
        await asyncio.wait({self._has_ended}, timeout=grace_seconds)
        if not self._has_ended.done():
            self._server.cancel_all_calls()
            await asyncio.wait({self._has_ended})

    async def _until_quiet(self, held: list["tuple[_QueueCall, Method]"]) -> None:
        ends, before = time.monotonic() + MAX_UNQUIET_SECONDS, -1
        while len(held) != before and time.monotonic() < ends:
            before = len(held)
            await asyncio.sleep(QUIET_SECONDS)

    def _note_end(self, _: Any) -> None:
        if self._has_ended:
            self._has_ended.set_result(None)

    def _arrive(self, event: Any) -> None:
        """Begins a call that gRPC hands over, and asks for another."""
        if not event.success:  # the server has ended
            return
        details = event.call_details
        if self._takes_calls:
            self._server.request_call(self._queue, self._queue, self._arrive)
        call = _QueueCall(event.call, details.deadline, event.invocation_metadata)
        method = self._methods.get(details.method)
        if method is None:
            call.finish(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        elif self._held is not None:
            self._held.append((call, method))
        else:
            _begin(call, method)


def _begin(call: "_QueueCall", method: Method) -> None:
    """Begins a method: a stream at once, another when its message is there."""
    method.arrive(call)
    if call.is_over:  # refused
        return
    call.watch()
    if method.kind == "bidi_stream":
        method.begin(call, b"")
    else:
        call.receive(method)


class _QueueCall(Call):
    """A call of gRPC's core."""

    __slots__ = ("_core", "_has_begun_to_send", "_metadata", "_method", "_reading", "_writing")

    def __init__(self, core: Any, until: float, metadata: Any) -> None:
        super().__init__(NO_DEADLINE if until > _FOREVER else time.monotonic() + until - time.time())
        self._core = core
        self._metadata = metadata
        self._has_begun_to_send = False
        self._method: Method | None = None
        self._reading: asyncio.Future[bytes | None] | None = None
        self._writing: asyncio.Future[None] | None = None

    def peer(self) -> str:
        peer: bytes = self._core.peer()
        return peer.decode()

    def invocation_metadata(self) -> Metadata:
        metadata: Metadata = self._metadata
        return metadata

    def peer_certificate(self) -> bytes | None:
        return grpc_core.peer_certificate(self._core)

    def watch(self) -> None:
        """Gets the call's end, which may come at any time."""
        self._core.start_server_batch((grpc_core.receive_close(),), self._note_close)

    def _note_close(self, event: Any) -> None:
        if event.batch_operations[0].cancelled():
            self.cancelled()
        elif not self.is_over:  # the status of _note_message has reached the client
            self._end(grpc.StatusCode.INVALID_ARGUMENT)
        for waiting in (self._reading, self._writing):
            if waiting is not None and not waiting.done():
                waiting.cancel()

    def receive(self, method: Method) -> None:
        """Begins the method once the message is there."""
        self._method = method
        self._core.start_server_batch((grpc_core.receive_message(),), self._note_message)

    def _note_message(self, event: Any) -> None:
        message: bytes | None = event.batch_operations[0].message()
        if self._method is None or self.is_over:
            return
        if message is not None:
            self._method.begin(self, message)
        elif event.success:
            # It sent none, or the client left, or the deadline passed: _note_close sees which, and counts the call.
            self._send(grpc.StatusCode.INVALID_ARGUMENT, "the call ended before its message", None)
        else:  # too long, or not to be decompressed: gRPC has sent a status of its own
            self.finish(grpc.StatusCode.INVALID_ARGUMENT)

    async def read(self) -> bytes | None:
        if self.is_over:
            return None
        self._reading = asyncio.get_running_loop().create_future()
        self._core.start_server_batch((grpc_core.receive_message(),), self._note_read)
        return await self._reading

    def _note_read(self, event: Any) -> None:
        message: bytes | None = event.batch_operations[0].message()
        if self._reading is not None and not self._reading.done():
            self._reading.set_result(message)

    async def write(self, message: bytes) -> None:
        if self.is_over:
            return
        self._writing = asyncio.get_running_loop().create_future()
        self._core.start_server_batch((*self._headers(), grpc_core.send_message(message)), self._note_write)
        await self._writing

    def _note_write(self, _: Any) -> None:
        if self._writing is not None and not self._writing.done():
            self._writing.set_result(None)

    def _headers(self) -> tuple[Any, ...]:
        """Returns what must be sent first, unless it has been."""
        if self._has_begun_to_send:
            return ()
        self._has_begun_to_send = True
        return (grpc_core.SEND_NO_METADATA,)

    def _send(self, code: grpc.StatusCode, details: str, message: bytes | None) -> None:
        if code is OK and not self.trailing_metadata:
            status = grpc_core.SEND_OK
        else:
            status = grpc_core.send_status(code, details, self.trailing_metadata)
        body = () if message is None else (grpc_core.send_message(message),)
        self._core.start_server_batch((*self._headers(), *body, status), _note_sent)


def _note_sent(_: Any) -> None:
    """Does nothing: gRPC frees the call."""
