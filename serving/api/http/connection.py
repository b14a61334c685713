"""One HTTP connection: uvicorn's protocol over httptools, with limits on what a client may send and leave undone.

uvicorn's command waits for a proxy in front to keep clients in bounds. Here the port itself does:

1. A request's line and headers must be there HEAD_SECONDS after their first byte, or after the connection's beginning,
   and may take MAX_HEAD_BYTES; the trailers of a chunked body, as much again.
2. A client that leaves cancels the request that is being answered.
3. A connection that stays idle is aborted: closing it would wait until the client has read its last response.
"""

import asyncio
import logging
import time
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

HEAD_SECONDS = 10.0
MAX_HEAD_BYTES = 64 * 1024
IDLE_SECONDS = 75.0  # longer than the minute after which load balancers usually close an idle connection themselves
EXTENSION = "connection"  # of the scope: this connection

# uvicorn's own lines would stand unstructured in the log, one for each malformed request of a scanner.
_SILENT = logging.Logger("serving.http", logging.CRITICAL)
_TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class HttpConnections:
    """Makes the connections of one listening server, for an ASGI application, and ends them."""

    def __init__(self, application: Any) -> None:
        self._config = Config(
            application, http="httptools", ws="none", lifespan="off", proxy_headers=False, access_log=False,
            log_config=None, timeout_keep_alive=round(IDLE_SECONDS),
        )  # fmt: skip
        self._config.load()
        self._state = ServerState()

    def make(self) -> "HttpConnection":
        """Returns the protocol of a new connection."""
        return HttpConnection(self._config, self._state, {})

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

    def __init__(self, config: Config, state: ServerState, application_state: dict[str, Any]) -> None:
        super().__init__(config, state, application_state)
        self.logger = _SILENT
        self.access_log = False
        self.is_lost = False
        self.answering: asyncio.Task[Any] | None = None  # the request that is being answered; the application sets it
        self._head_timer: asyncio.TimerHandle | None = None
        self._is_in_head = True
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Waits for the first request."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancels the request that is being answered."""
        self.is_lost = True
        self._stop_head_timer()
        super().connection_lost(exc)
        if self.answering is not None:
            self.answering.cancel()

    def data_received(self, data: bytes) -> None:
        """Parses what has come."""
        if self._is_in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if not self._is_in_head:
            self._stop_head_timer()
        elif self._head_bytes > MAX_HEAD_BYTES:
            if not self.transport.is_closing():
                self.transport.write(_TOO_LONG)
                self.transport.close()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)
        answered = self.cycle is not None and self.cycle.response_complete
        if answered and self.timeout_keep_alive_task is None:  # uvicorn has stopped it, for what may be no request
            self.timeout_keep_alive_task = self.loop.call_later(IDLE_SECONDS, self.timeout_keep_alive_handler)

    def on_message_begin(self) -> None:
        """Begins a request."""
        super().on_message_begin()
        self._is_in_head = True
        self.scope["extensions"] = {EXTENSION: self}  # type: ignore[dict-item]  # of ours
        self.server_state.default_headers = [(b"date", _date(int(time.time())))]

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes a header or a trailer. Raises ValueError where they are too long: uvicorn answers 400."""
        super().on_header(name, value)
        if not self._is_in_head:
            self._head_bytes += len(name) + len(value)
            if self._head_bytes > MAX_HEAD_BYTES:
                raise ValueError("trailers are too long")

    def on_headers_complete(self) -> None:
        """Hands the request to the application."""
        self._is_in_head, self._head_bytes = False, 0
        super().on_headers_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Aborts the idle connection."""
        self.transport.abort()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


@lru_cache(maxsize=1)  # made once a second and not for each response
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()
