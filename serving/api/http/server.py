"""The HTTP server: /metrics, /livez and /readyz, the digit routes of /v1, and the web page."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder

from serving.api.http.digits import DigitRoutes, Forward, closed_routes
from serving.api.http.page import page_routes
from serving.config import Config
from serving.errors import ConfigError

# For responses to be written; all were made before. aiohttp waits for it twice: for handlers, then for connections.
SHUTDOWN_SECONDS = 1.0
Address = tuple[str, int]  # host and port; port 0: any free one
# Collects the metrics of the whole service, as they are now.
Collect = Callable[[], Awaitable[Sequence[Metric]]]


class HttpServer:
    """Answers on the HTTP port, and on that of /metrics where it has one, from start() to close()."""

    def __init__(self, config: Config, collect: Collect, is_ready: Callable[[], bool], forward: Forward) -> None:
        """`forward`: passes a request to a serving process and returns its response."""
        self._address, self._metrics_address = config.http_address, config.metrics_at
        metrics = metrics_routes(collect)
        routes = [*health_routes(is_ready), *digit_routes(config, forward), *page_routes()]
        self._runner = _runner([*routes, *([] if self._metrics_address else metrics)])
        self._metrics_runner = _runner(metrics) if self._metrics_address else None

    async def start(self) -> tuple[int, int]:
        """Listens. Returns the HTTP port and that of /metrics. Raises ConfigError when a port cannot be bound."""
        port = await _listen(self._runner, self._address, "http_port", "--http-port")
        if not (self._metrics_runner and self._metrics_address):
            return port, port
        return port, await _listen(self._metrics_runner, self._metrics_address, "metrics_address", "--metrics-address")

    async def close(self) -> None:
        """Stops listening and closes connections. Does nothing when it was never started."""
        await self._runner.cleanup()
        if self._metrics_runner:
            await self._metrics_runner.cleanup()


def _runner(routes: Sequence[web.RouteDef]) -> web.AppRunner:
    application = web.Application(client_max_size=1024)  # for request.read(); digit routes stream, with their own limit
    application.add_routes(routes)
    return web.AppRunner(
        application,
        access_log=None,
        logger=_faults_only(),
        handler_cancellation=True,  # off by default; on, a client that leaves cancels its request
        auto_decompress=False,  # a compressed body of megabytes could hold gigabytes
        shutdown_timeout=SHUTDOWN_SECONDS,
    )


def _faults_only() -> logging.Logger:
    """Returns a logger for aiohttp without stack traces of malformed requests, which scanners send all day."""
    logger = logging.getLogger("serving.http")
    logger.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError)))
    return logger


async def _listen(runner: web.AppRunner, address: Address, setting: str, flag: str) -> int:
    host, port = address
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise ConfigError(f"{setting} {port} on {host}: {error.strerror}; another: {flag}") from error
    return int(runner.addresses[0][1])


def metrics_routes(collect: Collect) -> list[web.RouteDef]:
    """Returns the route /metrics."""

    one_at_a_time = asyncio.Lock()

    async def expose_metrics(request: web.Request) -> web.Response:
        try:
            encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        except (TypeError, ValueError):  # raised for a version in Accept that is no number
            encode, content_type = choose_encoder("")
        async with one_at_a_time:
            await asyncio.sleep(0)  # lets waiting calls run between scrapes, however many there are
            body = encode(_Collected(await collect()))
        return web.Response(body=body, headers={"Content-Type": content_type})

    return [web.get("/metrics", expose_metrics)]


def health_routes(is_ready: Callable[[], bool]) -> list[web.RouteDef]:
    """Returns the routes /livez (always 200) and /readyz (200 or 503)."""

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(text="ready\n") if is_ready() else web.Response(text="not ready\n", status=503)

    return [web.get("/livez", livez), web.get("/readyz", readyz)]


def digit_routes(config: Config, forward: Forward) -> list[web.RouteDef]:
    """Returns the routes of /v1. They refuse every request where gRPC requires TLS: plain text would bypass it."""
    return closed_routes() if config.tls_certificate else DigitRoutes(forward, config.max_image_bytes).routes()


class _Collected:
    """Collected metrics in the form of a registry, which the encoders expect."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families
