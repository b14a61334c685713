"""Whether this server should get traffic, told to gRPC health checks, to /readyz and to the metrics from one place."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio

from serving.metrics import Metrics


class Health:
    """Not ready until a model is warm, and again from the start of the drain."""

    def __init__(self, services: list[str], metrics: Metrics) -> None:
        self.is_ready = False
        self._services = ["", *services]  # the empty name stands for the whole server
        self._metrics = metrics
        self._servicer = health_aio.HealthServicer()

    def add_to(self, server: grpc.aio.Server) -> None:
        """Adds the standard grpc.health.v1 service, Check and Watch."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def set_ready(self, is_ready: bool) -> None:
        """Tells everyone, watchers included."""
        self.is_ready = is_ready
        self._metrics.ready.set(is_ready)
        status = health_pb2.HealthCheckResponse.SERVING if is_ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in self._services:
            await self._servicer.set(service, status)
