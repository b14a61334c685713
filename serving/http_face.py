"""The HTTP side: metrics for Prometheus, liveness and readiness for orchestrators."""

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web
from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder

from serving.errors import ConfigError

Collect = Callable[[], Awaitable[Sequence[Metric]]]


class HttpFace:
    """Answers on the HTTP port from start() to close()."""

    def __init__(self, host: str, port: int, collect: Collect, is_ready: Callable[[], bool]) -> None:
        self._host = host
        self._port = port
        self._runner = web.AppRunner(http_application(collect, is_ready), access_log=None)

    async def start(self) -> int:
        """Listens, and returns the port. Raises ConfigError when it cannot."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError as error:
            raise ConfigError(
                f"http_port {self._port} on {self._host}: {error.strerror}; another: --http-port"
            ) from error
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Ends it. Harmless when it was never started."""
        await self._runner.cleanup()


def http_application(collect: Collect, is_ready: Callable[[], bool]) -> web.Application:
    """The application behind the HTTP port. `collect` gives the metrics of the whole service, as they are now."""

    async def expose_metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(_Collected(await collect())), headers={"Content-Type": content_type})

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(text="ready\n") if is_ready() else web.Response(text="not ready\n", status=503)

    application = web.Application(client_max_size=1024)  # nothing here takes a body
    application.router.add_get("/metrics", expose_metrics)
    application.router.add_get("/livez", livez)
    application.router.add_get("/readyz", readyz)
    return application


class _Collected:
    """What the encoders want of a registry."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families
