"""The standard health service grpc.health.v1, and the one readiness that /readyz and the metrics show too.

The servicer of the package grpc_health is not used: it writes to a watcher while it holds the lock that a change of
status needs, so one watcher that reads nothing would keep the server from draining. Here each watcher waits alone.
"""

import asyncio

import grpc
from grpc_health.v1 import health_pb2

from serving.api.wire_format import parse_message
from serving.errors import InvalidRequestError
from serving.metrics.metrics import Metrics

SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
Context = grpc.aio.ServicerContext[bytes, bytes]
Response = health_pb2.HealthCheckResponse


class Health:
    """Readiness of this server: False until a model is warm, and again from the start of the drain."""

    def __init__(self, services: list[str], metrics: Metrics) -> None:
        """`services`: full names of the services that may be checked; all share one status."""
        self.is_ready = False
        self._services = {"", *services}  # the empty name stands for the whole server
        self._metrics = metrics
        self._changed = asyncio.Event()  # set and replaced at each change: wakes all watchers at once

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers Check and Watch of grpc.health.v1.Health, without authentication: orchestrators have no keys."""
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Check": grpc.unary_unary_rpc_method_handler(self._check),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    def set_ready(self, is_ready: bool) -> None:
        """Changes the readiness, in the metrics and for watchers too."""
        self.is_ready = is_ready
        self._metrics.ready.set(is_ready)
        self._changed.set()  # the old one, for those who wait; later watchers wait for the new one
        self._changed = asyncio.Event()

    async def _check(self, request: bytes, context: Context) -> bytes:
        name = _requested_service(request, context)
        if name is None:
            return b""
        if name not in self._services:
            # The protocol's rule: Check ends with NOT_FOUND for an unknown service; Watch sends SERVICE_UNKNOWN.
            context.set_code(grpc.StatusCode.NOT_FOUND)
            return b""  # grpc sends no message with a status that is not OK
        return self._response(name).SerializeToString()

    async def _watch(self, request: bytes, context: Context) -> None:
        name, last_sent = _requested_service(request, context), None
        while name is not None:  # until the client cancels or the server stops
            changed = self._changed  # taken before the status is read: a change during the write is not missed
            response = self._response(name)
            if response != last_sent:
                await context.write(response.SerializeToString())  # waits for this client's flow control alone
                last_sent = response
            await changed.wait()

    def _response(self, name: str) -> Response:
        if name not in self._services:
            return Response(status=Response.SERVICE_UNKNOWN)
        return Response(status=Response.SERVING if self.is_ready else Response.NOT_SERVING)


def _requested_service(request: bytes, context: Context) -> str | None:
    """Returns the service's name; None, with the call's status set, for bytes that are no HealthCheckRequest."""
    try:
        return str(parse_message(health_pb2.HealthCheckRequest, request).service)
    except InvalidRequestError as error:
        context.set_code(grpc.StatusCode.INVALID_ARGUMENT)
        context.set_details(str(error))
        return None
