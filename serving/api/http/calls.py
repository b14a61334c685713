"""Calls that come by HTTP: reads their bodies within limits, authenticates, counts, times and logs them.

They have gRPC's keys, admission and statuses; what differs is the form alone.
"""

import math
import time
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from serving.api.access_log import AccessLog
from serving.api.http.application import ID_KEY, ROUTE_KEY, Endpoint, error_response
from serving.api.http.bodies import Bodies, RefusedError
from serving.api.http.packing import SHORTEST, packed
from serving.api.status import INTERNAL_REASON, ErrorStatus, error_status
from serving.auth.api_keys import NOBODY, Caller
from serving.auth.authenticator import Authenticator
from serving.logging import Logger
from serving.metrics.metrics import Metrics
from serving.traces.request_trace import TRACEPARENT, RequestTrace, Tracer

CLIENT_LEFT = 499  # status of a response that nobody reads, as nginx has it
ANSWER_SECONDS = 30.0  # deadline of a call: HTTP has none of its own
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

# Answers a call: its request, body and caller. What it raises becomes an error.
Handler = Callable[[Request, bytes, Caller], Awaitable[Response]]
# Makes the response for an error: its HTTP status, gRPC code and message, and headers.
ErrorResponse = Callable[[int, str, str, dict[str, str]], Response]


class HttpCalls:
    """Makes endpoints of handlers."""

    def __init__(
        self,
        authenticator: Authenticator,
        metrics: Metrics,
        log: Logger,
        access_log: AccessLog | None,
        has_store: bool,
        tracer: Tracer | None,
        bodies: Bodies,
        is_closed: bool,
    ) -> None:
        """`has_store`: callers carry their request's id. `tracer`: gets the calls that are sampled; None: none is.

        `is_closed`: refuses every call.

        It is closed where gRPC requires TLS, which the HTTP port does not offer: plain text would bypass it.
        """
        self._authenticator = authenticator
        self._metrics = metrics
        self._log = log
        self._access_log = access_log
        self._has_store = has_store
        self._tracer = tracer
        self._is_closed = is_closed
        self._bodies = bodies

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
            return refuse_plain_text
        seconds = self._metrics.http_seconds.labels(name)

        async def answer(request: Request) -> Response:
            origin, begun = Origin(request), time.perf_counter()
            code, body, caller = "CANCELLED", bytearray(), NOBODY  # unless a response or a status is reached
            http_status, trace = CLIENT_LEFT, self._begin_trace(request, begun) if self._tracer else None
            try:
                longest = longest_body(request)
                caller = self._authenticator.authenticate(origin, scope)
                if self._has_store:
                    caller = caller.of(request.scope[ID_KEY])
                if trace is not None:
                    caller = caller.traced(trace)
                await self._bodies.read(request, body, longest)
                response = await handler(request, await self._bodies.unpack(request, body, longest), caller)
                code, http_status = "OK", response.status_code
            except RefusedError as error:
                code, http_status = error.code, error.status
                response = to_error(error.status, code, str(error), {})
            except ClientDisconnect:
                return Response(status_code=CLIENT_LEFT)  # nobody reads it
            except Exception as error:  # the border of a call
                status = error_status(error)
                code = status.code.name
                self._count_rejected(name, status, error)
                http_status = HTTP_STATUS[code]
                response = to_error(http_status, code, status.message, _headers(status))
            finally:
                self._bodies.release(request, body)
                elapsed = time.perf_counter() - begun
                self._metrics.http_requests.labels(name, code).inc()
                seconds.observe(elapsed)
                key = caller.key
                if key:
                    self._metrics.key_calls.labels(key.name, code).inc()
                if trace is not None:
                    self._end_trace(trace, request, http_status)
                    seconds.exemplify(elapsed, trace.trace_id)
                if self._access_log:
                    name_of_key, trace_id = key.name if key else "", trace.trace_id if trace else ""
                    ids = request.scope[ID_KEY], name_of_key, trace_id
                    self._access_log.add(f"HTTP {name}", code, elapsed, origin.peer(), *ids)
            return response if len(response.body) < SHORTEST else await packed(request, response)

        return answer

    def _begin_trace(self, request: Request, begun: float) -> RequestTrace | None:
        headers = request.scope["headers"]
        given = ((TRACEPARENT, str(value, "latin-1")) for name, value in headers if name == _TRACE_HEADER)
        return self._tracer.begin(given, begun) if self._tracer else None

    def _end_trace(self, trace: RequestTrace, request: Request, status: int) -> None:
        if self._tracer:
            scope = request.scope
            path = scope["path"]
            route = scope.get(ROUTE_KEY, path.rstrip("/"))
            self._tracer.end_http(trace, scope["method"], route, path, status, scope[ID_KEY])

    def _count_rejected(self, name: str, status: ErrorStatus, error: Exception) -> None:
        self._metrics.rejected.labels(status.reason).inc()
        if status.reason == INTERNAL_REASON:
            self._log.error("rpc_failed", method=f"HTTP {name}", exc_info=error)


class Origin:
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

    def peer_certificate(self) -> None:
        """Returns None: the HTTP port has no TLS."""


_KEY_HEADERS = (b"authorization", b"x-api-key")
_TRACE_HEADER = TRACEPARENT.encode()


def _headers(status: ErrorStatus) -> dict[str, str]:
    headers = {}
    if status.retry_after_seconds is not None:
        headers["Retry-After"] = str(max(1, math.ceil(status.retry_after_seconds)))  # whole seconds, by RFC 9110
    if status.code.name == "UNAUTHENTICATED":
        headers["WWW-Authenticate"] = "Bearer"  # which RFC 9110 requires with 401
    return headers


async def refuse_plain_text(_: Request) -> Response:
    """Refuses a call: an endpoint of a server whose gRPC port requires TLS."""
    message = "this server takes calls by TLS alone, and so by gRPC alone"
    return error_response(403, "PERMISSION_DENIED", message)
