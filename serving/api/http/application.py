"""The ASGI application of the HTTP port: finds the endpoint of a request and sends its response.

Starlette's classes for requests and responses, without its own application: its router and the layers around it do
nothing for a request here, and would be paid for by each.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import compile_path
from starlette.types import Receive, Scope, Send

from serving.api.http.connection import EXTENSION, HttpConnection
from serving.api.request_ids import REQUEST_ID, given_id, new_id
from serving.logging import Logger
from serving.traces.request_trace import TRACEPARENT

ID_KEY = "request_id"  # of the scope: the request's id
ROUTE_KEY = "route"  # of the scope: the path with its parameters in braces, where it has any
WRITE_SECONDS = 30.0  # for a client that sends more to read the response before
Endpoint = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint. `path`: with parameters in braces, `/v2/models/{name}`; the request's `path_params` holds them."""

    method: str
    path: str
    endpoint: Endpoint


class Application:
    """Answers requests by routes. A path may end with a slash; GET answers HEAD as well."""

    def __init__(self, routes: Sequence[Route], log: Logger) -> None:
        self._log = log
        self._exact: dict[str, dict[str, Endpoint]] = {}
        self._patterns: dict[str, tuple[re.Pattern[str], dict[str, Endpoint]]] = {}
        for route in routes:
            if "{" in route.path:
                pattern = compile_path(route.path)[0]
                self._patterns.setdefault(route.path, (pattern, {}))[1][route.method] = route.endpoint
            else:
                self._exact.setdefault(route.path, {})[route.method] = route.endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request. An exception of an endpoint is logged, and answered with 500."""
        connection: HttpConnection = scope["extensions"][EXTENSION]
        connection.answering = asyncio.current_task()
        scope[ID_KEY] = _request_id(scope)
        request = Request(scope, receive, send)
        try:
            try:
                response = await self._endpoint(request)(request)
            except Exception as error:  # the border of a request
                self._log.error("http_failed", path=scope["path"][:100], exc_info=error)
                response = error_response(500, "INTERNAL", "internal error; the server's log has the details")
            if connection.flow.write_paused:  # by an earlier response: this one is written at once
                async with asyncio.timeout(WRITE_SECONDS):
                    await connection.flow.drain()
            response.raw_headers.append((_ID_HEADER, scope[ID_KEY].encode()))
            await response(scope, receive, send)
        except TimeoutError:
            connection.transport.abort()  # not close(), which would wait until the buffer is written
        except asyncio.CancelledError:
            if not connection.is_lost:
                raise
        finally:
            connection.answering = None

    def _endpoint(self, request: Request) -> Endpoint:
        path, method = request.scope["path"], request.scope["method"]
        methods = self._methods(request, path)
        if methods is None and len(path) > 1 and path.endswith("/"):
            methods = self._methods(request, path[:-1])
        if methods is None:
            return _not_found
        endpoint = methods.get("GET" if method == "HEAD" else method)
        return endpoint or _not_allowed(sorted(methods))

    def _methods(self, request: Request, path: str) -> dict[str, Endpoint] | None:
        """Returns the endpoints of a path by method, and sets the request's path parameters. None: no such path."""
        methods = self._exact.get(path)
        if methods is not None:
            return methods
        for route, (pattern, endpoints) in self._patterns.items():
            if match := pattern.match(path):
                request.scope["path_params"] = match.groupdict()
                request.scope[ROUTE_KEY] = route
                return endpoints
        return None


_ID_HEADER = REQUEST_ID.encode()
_ID_HEADERS = (_ID_HEADER, TRACEPARENT.encode())


def _request_id(scope: Scope) -> str:
    """Returns the id that the client gave, or a new one."""
    given = [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"] if name in _ID_HEADERS]
    return (given and given_id(given)) or new_id()


def json_response(document: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Makes a response of what json.dumps() takes."""
    return Response(json.dumps(document).encode(), status, headers, "application/json")


def error_response(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    """Makes the response for a failure. `code`: the name of the status that gRPC would have."""
    return json_response({"code": code, "message": message}, status, headers)


def refusal(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    """Makes the response for a request that reaches no endpoint, in the forms of all: the Open Inference Protocol's
    clients read `error`.
    """
    return json_response({"code": code, "message": message, "error": message}, status, headers)


async def _not_found(request: Request) -> Response:
    path = ascii(request.scope["path"][:100])
    return refusal(404, "NOT_FOUND", f"nothing is at {path}; /openapi.json describes what there is")


def _not_allowed(methods: Sequence[str]) -> Endpoint:
    allowed = ", ".join(methods)

    async def refuse(request: Request) -> Response:
        message = f"{request.scope['path'][:100]!a} takes {allowed}"
        return refusal(405, "UNIMPLEMENTED", message, {"Allow": allowed})

    return refuse
