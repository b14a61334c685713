"""The HTTP server: listens, and answers /metrics, /livez and /readyz for the whole service, beside the routes given."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp

from serving.api.http.application import Application, Route
from serving.api.http.browsers import BrowserGuard
from serving.api.http.connection import HttpConnections
from serving.api.http.packing import packed
from serving.api.listening_port import bind_shared
from serving.config import Config
from serving.host.descriptors import http_connections
from serving.logging import Logger
from serving.setting_values import is_unix

SHUTDOWN_SECONDS = 1.0  # for responses to be written; all were made before
GRPC_HEADERS = ("grpc-status", "grpc-message")  # that a page must see to call by gRPC-Web
BACKLOG = 1024  # connections that wait to be accepted
ACCEPTED_AT_ONCE = 16  # each has a descriptor before the limit on connections can be kept
Address = tuple[str, int]  # host and port; port 0: any free one
# Collects the metrics of the whole service, as they are now.
Collect = Callable[[], Awaitable[Sequence[Metric]]]


class HttpServer:
    """Answers on the HTTP port, and on that of /metrics where it has one, from start() to close()."""

    def __init__(
        self, config: Config, collect: Collect, is_ready: Callable[[], bool], routes: Sequence[Route], log: Logger
    ) -> None:
        """`collect`, `is_ready`: of the whole service, which may be several processes."""
        self._address, self._metrics_address = config.http_address, config.metrics_at
        metrics = metrics_routes(collect)
        all_routes = [*routes, *health_routes(is_ready), *([] if self._metrics_address else metrics)]
        answering = [(self._address, _for_browsers(Application(all_routes, log), config.cors_origins))]
        if self._metrics_address:
            answering.append((self._metrics_address, Application(metrics, log)))
        most = max(1, http_connections() // len(answering))
        self._connections = [
            HttpConnections(_guarded(application, host, config), most) for (host, _), application in answering
        ]
        self._servers: list[asyncio.Server] = []

    async def start(self) -> None:
        """Listens on the ports of the configuration, which serving.api.listening_port has reserved."""
        await self._listen(self._connections[0], self._address)
        if self._metrics_address:
            await self._listen(self._connections[1], self._metrics_address)

    def stop_listening(self) -> None:
        """Takes no new connections, and ends those that are there after their next response: other processes listen."""
        for server in self._servers:
            server.close()
        for connections in self._connections:
            connections.shut_down()

    async def close(self) -> None:
        """Stops listening and closes connections. Does nothing when it was never started."""
        self.stop_listening()
        await asyncio.gather(*(each.until_ended(SHUTDOWN_SECONDS) for each in self._connections))

    async def _listen(self, connections: HttpConnections, address: Address) -> None:
        listening = bind_shared(*address)
        loop = asyncio.get_running_loop()
        # To asyncio the backlog is also how many connections it accepts before it goes on with anything else.
        self._servers.append(await loop.create_server(connections.make, sock=listening, backlog=ACCEPTED_AT_ONCE))
        listening.listen(BACKLOG)


def _guarded(application: ASGIApp, host: str, config: Config) -> ASGIApp:
    """Refuses what a page of another origin may make a browser send; no browser reaches a Unix socket."""
    return application if is_unix(host) else BrowserGuard(application, host, config.http_names, config.cors_origins)


def _for_browsers(application: ASGIApp, origins: Sequence[str]) -> ASGIApp:
    """Lets pages of `origins` call the application from a browser (CORS); of none: as it is."""
    if not origins:
        return application
    return CORSMiddleware(
        application,
        allow_origins=origins,
        allow_methods=("GET", "POST", "PUT"),
        allow_headers=("*",),
        expose_headers=("Inference-Header-Content-Length", "Retry-After", "X-Request-Id", *GRPC_HEADERS),
    )


def metrics_routes(collect: Collect) -> list[Route]:
    """Returns the route /metrics."""

    one_at_a_time = asyncio.Lock()

    async def expose_metrics(request: Request) -> Response:
        try:
            encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        except (TypeError, ValueError):  # raised for a version in Accept that is no number
            encode, content_type = choose_encoder("")
        async with one_at_a_time:
            await asyncio.sleep(0)  # lets waiting calls run between scrapes, however many there are
            body = encode(_Collected(await collect()))
        return await packed(request, Response(body, headers={"Content-Type": content_type}))

    return [Route("GET", "/metrics", expose_metrics)]


def health_routes(is_ready: Callable[[], bool]) -> list[Route]:
    """Returns the routes /livez (always 200) and /readyz (200 or 503)."""

    async def livez(_: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(_: Request) -> Response:
        return PlainTextResponse("ready\n") if is_ready() else PlainTextResponse("not ready\n", 503)

    return [Route("GET", "/livez", livez), Route("GET", "/readyz", readyz)]


class _Collected:
    """Collected metrics in the form of a registry, which the encoders expect."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families
