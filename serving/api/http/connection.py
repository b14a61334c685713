"""One HTTP connection: uvicorn's protocol over httptools, with limits on what a client may send and leave undone.

uvicorn's command waits for a proxy in front to keep clients in bounds. Here the port itself does:

1. A request's line and headers must be there HEAD_SECONDS after their first byte, or after the connection's beginning,
   and may take MAX_HEAD_BYTES; the trailers of a chunked body, as much again.
2. A client that leaves cancels the request that is being answered.
3. A connection that stays idle is aborted: closing it would wait until the client has read its last response.
4. At most MAX_PIPELINED requests wait for the response of an earlier one, and nothing is read while one does.
5. There is a limit on connections. A new one beyond it ends the one that has kept the server waiting longest: for a
   request, for the rest of a body, or to read a response. Where every other one is being answered, the new one ends.
6. A request that offers another protocol is read as one that does not. httptools leaves off where its body begins, and
   the body would be read as the next request.
"""

import asyncio
import logging
import time
from collections.abc import Sized
from email.utils import formatdate
from functools import lru_cache
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

HEAD_SECONDS = 10.0
MAX_HEAD_BYTES = 64 * 1024
PIECE_BYTES = 2**14  # parsed at once
MAX_PIPELINED = 100  # requests that wait for the response of an earlier one
IDLE_SECONDS = 75.0  # longer than the minute after which load balancers usually close an idle connection themselves
EXTENSION = "connection"  # of the scope: this connection

# uvicorn's own lines would stand unstructured in the log, one for each malformed request of a scanner.
_SILENT = logging.Logger("serving.http", logging.CRITICAL)
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")  # browsers take a response for nothing but what it says it is


class HttpConnections:
    """Makes the connections of one listening server, for an ASGI application, and ends them."""

    def __init__(self, application: Any, most: int) -> None:
        """`most`: connections at a time."""
        self._most = most
        self._waiting: dict[HttpConnection, None] = {}  # for their clients; the one that has waited longest first
        self._config = Config(
            application, http="httptools", ws="none", lifespan="off", proxy_headers=False, access_log=False,
            log_config=None, timeout_keep_alive=round(IDLE_SECONDS),
        )  # fmt: skip
        self._config.load()
        self._state = ServerState()
        self._state.default_headers = [_NO_SNIFFING]  # for a connection that begins no request

    def make(self) -> "HttpConnection":
        """Returns the protocol of a new connection."""
        return HttpConnection(self._config, self._state, self)

    def note(self, connection: "HttpConnection", *, waits: bool) -> None:
        """Notes that a connection waits for its client from now on, or does not."""
        self._waiting.pop(connection, None)
        if waits:
            self._waiting[connection] = None

    def keep_limit(self) -> None:
        """Ends a connection where there are too many."""
        if len(self._state.connections) > self._most:
            longest = next(iter(self._waiting))  # the new one waits, too
            longest.transport.abort()
            self.forget(longest)  # it is lost only in the loop's next turn, and others may come before

    def forget(self, connection: "HttpConnection") -> None:
        """Forgets a connection that has ended."""
        self._state.connections.discard(connection)
        self._waiting.pop(connection, None)

    def shut_down(self) -> None:
        """Closes idle connections, and has the others close after their response."""
        for connection in list(self._state.connections):
            connection.shutdown()

    async def until_ended(self, grace_seconds: float) -> None:
        """Waits up to `grace_seconds` for the connections to close, and aborts the rest."""
        ends = time.monotonic() + grace_seconds
        while self._state.connections and time.monotonic() < ends:
            await asyncio.sleep(0.01)
        for connection in list(self._state.connections):
            connection.transport.abort()


class HttpConnection(HttpToolsProtocol):
    """A connection of a client."""

    def __init__(self, config: Config, state: ServerState, all_connections: HttpConnections) -> None:
        super().__init__(config, state, {})
        self._all = all_connections
        self.logger = _SILENT
        self.access_log = False
        self.is_lost = False
        self.answering: asyncio.Task[Any] | None = None  # the request that is being answered; the application sets it
        self._head_timer: asyncio.TimerHandle | None = None
        self._is_in_head = True
        self._head_bytes = 0
        self._unparsed_bytes = 0  # since a request or a piece of a body: of trailers and of chunks' extensions
        self._write_timer: asyncio.TimerHandle | None = None
        self._refusals: list[tuple[int, str]] = []  # one at most, to be sent after the responses to earlier requests
        self.parser = self._new_parser()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Waits for the first request."""
        super().connection_made(transport)
        self.flow = _Flow(transport, self.pipeline)
        self._head_timer = self.loop.call_later(HEAD_SECONDS, transport.abort)
        self._all.note(self, waits=True)
        self._all.keep_limit()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancels the request that is being answered."""
        self.is_lost = True
        self._stop_head_timer()
        self._stop_write_timer()
        super().connection_lost(exc)
        self._all.forget(self)
        if self.answering is not None:
            self.answering.cancel()

    def data_received(self, data: bytes) -> None:
        """Parses what has come, piece by piece: of the piece in which a head begins, its bytes are not counted."""
        for start in range(0, len(data), PIECE_BYTES):
            if self._refusals or (start and self.transport.is_closing()):
                return
            self._parse(data[start : start + PIECE_BYTES])

    def _parse(self, data: bytes) -> None:
        if self._is_in_head:
            self._head_bytes += len(data)
        self._unparsed_bytes += len(data)
        super().data_received(data)
        if self._refusals:
            return
        if not self._is_in_head:
            self._stop_head_timer()
        elif self._head_bytes > MAX_HEAD_BYTES:
            if not self.transport.is_closing():
                self._refuse(431, "the head of the request is too long")
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)
        answered = self.cycle is not None and self.cycle.response_complete
        if answered and self.timeout_keep_alive_task is None:  # uvicorn has stopped it, for what may be no request
            self.timeout_keep_alive_task = self.loop.call_later(IDLE_SECONDS, self.timeout_keep_alive_handler)
        if not self._is_in_head and self._unparsed_bytes > MAX_HEAD_BYTES + len(data):
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Begins a request."""
        super().on_message_begin()
        self._is_in_head = True
        self.scope["extensions"] = {EXTENSION: self}  # type: ignore[dict-item]  # of ours
        self.server_state.default_headers = [(b"date", _date(int(time.time()))), _NO_SNIFFING]

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a header or a trailer. Raises ValueError where they are too long: uvicorn answers 400."""
        if self._is_in_head:
            super().on_header(name, value)
        else:  # a trailer: it must not stand for a header (RFC 9110, 6.5.1)
            self._head_bytes += len(name) + len(value)
            if self._head_bytes > MAX_HEAD_BYTES:
                raise ValueError("trailers are too long")

    def on_headers_complete(self) -> None:
        """Hands the request to the application."""
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise ValueError("no proxy")
            return  # _Parser repeats the head without the offer
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError("too many requests at once")
        self._stop_head_timer()
        self._is_in_head, self._head_bytes, self._unparsed_bytes = False, 0, 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Takes a piece of a body."""
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Ends a body."""
        self._unparsed_bytes = 0
        if not self.parser.should_upgrade():
            super().on_message_complete()
            self._note_waiting()

    def decline_upgrade(self, rest: bytes) -> None:
        """Reads a request that offers another protocol as one that does not: it has a body as any other."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (method, self.url, version)]
        for name, value in self.headers:
            if name == b"connection":
                value = b",".join(each for each in value.split(b",") if each.strip().lower() != b"upgrade")
            if name != b"upgrade":
                lines.append(name + b": " + value)
        self.parser = self._new_parser()
        self.parser.feed_data(b"\r\n".join([*lines, b"", b""]) + rest)

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP, and closes."""
        self._refuse(400, msg)

    def _refuse(self, status: int, message: str) -> None:
        """Answers after the requests before this one, and closes."""
        is_answering = self.pipeline or not (self.cycle is None or self.cycle.response_complete or self.cycle.more_body)
        if not is_answering:
            self._send_refusal(status, message)
            return
        self._refusals.append((status, message))
        self._stop_head_timer()
        if self.pipeline and self.cycle.more_body:  # its own body is broken: it never begins
            self.pipeline.popleft()

    def _send_refusal(self, status: int, message: str) -> None:
        lines = [name + b": " + value for name, value in self.server_state.default_headers]
        lines += [b"content-type: text/plain; charset=utf-8", b"content-length: %d" % len(message)]
        self.transport.write(
            STATUS_LINE[status] + b"\r\n".join([*lines, b"connection: close", b"", message.encode("ascii")])
        )
        self.transport.close()
        self._abort_unread()

    def on_response_complete(self) -> None:
        """Goes on with the next request, or waits for it."""
        is_last = not self.pipeline
        super().on_response_complete()
        if self._refusals and is_last and not self.transport.is_closing():
            self._send_refusal(*self._refusals[0])
        self._note_waiting()
        if self.transport.is_closing():
            self._abort_unread()

    def pause_writing(self) -> None:
        """Gives the client some time to read."""
        super().pause_writing()
        self._note_waiting()
        self._abort_unread()

    def resume_writing(self) -> None:
        """Goes on writing."""
        self._stop_write_timer()
        super().resume_writing()
        self._note_waiting()

    def _note_waiting(self) -> None:
        """Notes whether the client has to go on: to send a request or the rest of a body, or to read."""
        if not self.is_lost:
            cycle = self.cycle
            is_at_rest = not self.pipeline and (cycle is None or cycle.response_complete or cycle.more_body)
            self._all.note(self, waits=is_at_rest or self.flow.write_paused)

    def _abort_unread(self) -> None:
        """Aborts later, unless the client reads what is written. close() would wait for that without an end."""
        if self._write_timer is None and self.transport.get_write_buffer_size():
            self._write_timer = self.loop.call_later(IDLE_SECONDS, self.transport.abort)

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _new_parser(self) -> "_Parser":
        parser = _Parser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        parser.connection = self
        return parser

    def timeout_keep_alive_handler(self) -> None:
        """Aborts the idle connection."""
        self.transport.abort()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _Parser(httptools.HttpRequestParser):
    """Parser that knows of no other protocol."""

    connection: HttpConnection

    def feed_data(self, data: Any) -> None:
        try:
            super().feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.connection.decline_upgrade(data[upgrade.args[0] :])


class _Flow(FlowControl):
    """Reads nothing while a request waits for the response of an earlier one."""

    def __init__(self, transport: asyncio.Transport, pipeline: Sized) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        if not self._pipeline:
            super().resume_reading()


@lru_cache(maxsize=1)  # made once a second and not for each response
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()
