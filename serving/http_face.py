"""The HTTP side: metrics for Prometheus, liveness and readiness for orchestrators."""

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from serving.health import Health
from serving.metrics import Metrics


def http_application(metrics: Metrics, health: Health) -> web.Application:
    """The application behind the HTTP port."""

    async def expose_metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(metrics.registry), headers={"Content-Type": content_type})

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="alive\n")

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(text="ready\n") if health.is_ready else web.Response(text="not ready\n", status=503)

    application = web.Application(client_max_size=1024)  # nothing here takes a body
    application.router.add_get("/metrics", expose_metrics)
    application.router.add_get("/livez", livez)
    application.router.add_get("/readyz", readyz)
    return application
