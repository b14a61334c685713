"""Calls that come by HTTP: reads their bodies within limits, authenticates, counts, times and logs them.

They have gRPC's keys, admission, statuses and metrics; what differs is the form alone.
"""

import asyncio
import math
import time
import zlib
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from serving.api.access_log import AccessLog
from serving.api.http.application import Endpoint, error_response
from serving.api.http.packing import SHORTEST, packed
from serving.api.status import INTERNAL_REASON, ErrorStatus, error_status
from serving.auth.api_keys import Caller
from serving.auth.authenticator import Authenticator
from serving.core.admission import Admission
from serving.logging import Logger
from serving.metrics.metrics import Metrics

BODY_SECONDS = 10.0  # for a body to arrive: a client that sends a byte a minute must not hold its place
ANSWER_SECONDS = 30.0  # deadline of a call: HTTP has none of its own
MAX_BYTES_HELD = 64 * 2**20  # of bodies that are being read or answered, of all clients together
DISCARDED_FACTOR = 8  # times the longest body: so much of a longer one is read, so that its client sees the response
# HTTP statuses of gRPC codes, as google.rpc.Code maps them.
HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    "INTERNAL": 500,
}
_WINDOW = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}

# Answers a call: its request, body and caller. What it raises becomes an error.
Handler = Callable[[Request, bytes, Caller], Awaitable[Response]]
# Makes the response for an error: its HTTP status, gRPC code and message, and headers.
ErrorResponse = Callable[[int, str, str, dict[str, str]], Response]


class RefusedError(Exception):
    """Refusal of a request for what HTTP alone knows: an HTTP status, the code that gRPC would use, a message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class HttpCalls:
    """Makes endpoints of handlers."""

    def __init__(
        self,
        authenticator: Authenticator,
        metrics: Metrics,
        log: Logger,
        access_log: AccessLog | None,
        longest: int,
        is_closed: bool,
    ) -> None:
        """`longest`: body of any call, in bytes. `is_closed`: refuses every call.

        It is closed where gRPC requires TLS, which the HTTP port does not offer: plain text would bypass it.
        """
        self._authenticator = authenticator
        self._metrics = metrics
        self._log = log
        self._access_log = access_log
        self._is_closed = is_closed
        # Bytes are counted by client address, not by connection: one client can open many connections.
        self._bodies = Admission(max(MAX_BYTES_HELD, 2 * longest))

    def endpoint(
        self,
        name: str,
        handler: Handler,
        scope: str | None,
        longest_body: Callable[[Request], int],
        to_error: ErrorResponse = error_response,
    ) -> Endpoint:
        """Makes the endpoint of a handler.

        `name`: label of the metrics. `scope`: what the key must permit. `longest_body`: of a request, in bytes,
        packed and unpacked.
        """
        if self._is_closed:
            return _refuse
        seconds = self._metrics.http_seconds.labels(name)

        async def answer(request: Request) -> Response:
            origin, begun = _Origin(request), time.perf_counter()
            code, body = "CANCELLED", bytearray()  # unless a response or a status is reached
            try:
                longest = longest_body(request)
                caller = self._authenticator.authenticate(origin, scope)
                await self._read(request, body, longest)
                response = await handler(request, _unpacked(request, body, longest), caller)
                code = "OK"
            except RefusedError as error:
                code = error.code
                response = to_error(error.status, code, str(error), {})
            except ClientDisconnect:
                return Response(status_code=499)  # nobody reads it
            except Exception as error:  # the border of a call
                status = error_status(error)
                code = status.code.name
                self._count_rejected(name, status, error)
                response = to_error(HTTP_STATUS[code], code, status.message, _headers(status))
            finally:
                if body:  # exactly what _read() admitted, also where it gave up half-way
                    self._bodies.release(_host(request), len(body))
                elapsed = time.perf_counter() - begun
                self._metrics.http_requests.labels(name, code).inc()
                seconds.observe(elapsed)
                if self._access_log:
                    self._access_log.add(f"HTTP {name}", code, elapsed, origin.peer())
            return response if len(response.body) < SHORTEST else await packed(request, response)

        return answer

    def _count_rejected(self, name: str, status: ErrorStatus, error: Exception) -> None:
        self._metrics.rejected.labels(status.reason).inc()
        if status.reason == INTERNAL_REASON:
            self._log.error("rpc_failed", method=f"HTTP {name}", exc_info=error)

    async def _read(self, request: Request, body: bytearray, longest: int) -> None:
        """Reads the body into `body`, the only copy of it. Raises RefusedError or ClientDisconnect."""
        host, length = _host(request), int(header(request, b"content-length", "0"))  # the parser has checked it
        is_too_long = length > longest
        if length > longest * DISCARDED_FACTOR:
            raise _too_long(longest)
        discarded = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                has_more = True
                while has_more:
                    message = await request.receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    chunk, has_more = message.get("body", b""), message.get("more_body", False)
                    if is_too_long or len(body) + len(chunk) > longest:
                        is_too_long, discarded = True, discarded + len(chunk)
                        if discarded > longest * DISCARDED_FACTOR:
                            break
                    elif chunk and not self._bodies.admit(host, len(chunk)):
                        raise RefusedError(429, "RESOURCE_EXHAUSTED", "too many bodies are being read; try again soon")
                    else:
                        body += chunk
        except TimeoutError:
            late = f"the body did not come within {BODY_SECONDS:g} seconds"
            raise RefusedError(408, "DEADLINE_EXCEEDED", late) from None
        if is_too_long:
            raise _too_long(longest)


class _Origin:
    """Origin of a request, as the authenticator sees it."""

    def __init__(self, request: Request) -> None:
        self._request = request

    def peer(self) -> str:
        """Returns the client's address, under which its share of the queue is counted."""
        client = self._request.scope["client"]
        return f"http:{client[0]}:{client[1]}" if client else "http:unix"

    def invocation_metadata(self) -> list[tuple[str, str | bytes]]:
        """Returns the headers that may carry a key."""
        headers = self._request.scope["headers"]
        return [(name.decode(), value.decode("latin-1")) for name, value in headers if name in _KEY_HEADERS]


_KEY_HEADERS = (b"authorization", b"x-api-key")


def header(request: Request, name: bytes, default: str) -> str:
    """Returns a header as Starlette does, in a quarter of its time."""
    for key, value in request.scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return default


def _host(request: Request) -> str:
    client = request.scope["client"]
    return str(client[0]) if client else ""


def _too_long(longest: int) -> RefusedError:
    return RefusedError(413, "INVALID_ARGUMENT", f"the body is longer than {longest} bytes")


def _unpacked(request: Request, body: bytearray, longest: int) -> bytes:
    """Returns the body without its Content-Encoding, gzip or deflate. Raises RefusedError."""
    encoding = header(request, b"content-encoding", "identity").lower()
    if encoding == "identity":
        return bytes(body)
    if encoding not in _WINDOW:
        raise RefusedError(415, "INVALID_ARGUMENT", "the body's Content-Encoding may be gzip or deflate, or none")
    unpacker = zlib.decompressobj(_WINDOW[encoding])
    try:
        content = unpacker.decompress(body, longest + 1)  # bounded: a body of megabytes could hold gigabytes
    except zlib.error as error:
        raise RefusedError(400, "INVALID_ARGUMENT", f"the body is no {encoding}: {error}") from error
    if len(content) > longest:
        raise _too_long(longest)
    if not unpacker.eof or unpacker.unused_data:
        raise RefusedError(400, "INVALID_ARGUMENT", f"the body's {encoding} is cut off, or something follows it")
    return content


def _headers(status: ErrorStatus) -> dict[str, str]:
    headers = {}
    if status.retry_after_seconds is not None:
        headers["Retry-After"] = str(max(1, math.ceil(status.retry_after_seconds)))  # whole seconds, by RFC 9110
    if status.code.name == "UNAUTHENTICATED":
        headers["WWW-Authenticate"] = "Bearer"  # which RFC 9110 requires with 401
    return headers


async def _refuse(_: Request) -> Response:
    message = "this server takes calls by TLS alone, and so by gRPC alone"
    return error_response(403, "PERMISSION_DENIED", message)
