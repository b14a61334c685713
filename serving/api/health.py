"""The standard health service grpc.health.v1, and the one readiness that /readyz and the metrics show too.

The servicer of the package grpc_health is not used: it writes to a watcher while it holds the lock that a change of
status needs, so one watcher that reads nothing would keep the server from draining. Here each watcher waits alone.
"""

import asyncio

import grpc
from grpc_health.v1 import health_pb2

from serving.api.engine.call import Call, Method
from serving.api.wire_format import parse_message
from serving.errors import InvalidRequestError
from serving.metrics.metrics import Metrics

SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
Response = health_pb2.HealthCheckResponse


class Health:
    """Readiness of this server: False until a model is warm, and again from the start of the drain."""

    def __init__(self, services: list[str], metrics: Metrics) -> None:
        """`services`: full names of the services that may be checked; all share one status."""
        self.is_ready = False
        self._services = {"", *services}  # the empty name stands for the whole server
        self._metrics = metrics
        self._changed = asyncio.Event()  # set and replaced at each change: wakes all watchers at once

    def methods(self) -> list[Method]:
        """Returns Check, List and Watch, without authentication: orchestrators have no keys."""
        return [
            Method(SERVICE, "Check", "unary", self._check),
            Method(SERVICE, "List", "unary", self._list),
            Method(SERVICE, "Watch", "server_stream", self._begin_watch),
        ]

    def set_ready(self, is_ready: bool) -> None:
        """Changes the readiness, in the metrics and for watchers too."""
        self.is_ready = is_ready
        self._metrics.ready.set(is_ready)
        self._changed.set()  # the old one, for those who wait; later watchers wait for the new one
        self._changed = asyncio.Event()

    def _check(self, call: Call, request: bytes) -> None:
        name = _requested_service(call, request)
        if name is None:
            return
        if name in self._services:
            call.respond(self._response(name).SerializeToString())
        else:  # the protocol's rule: Check ends with NOT_FOUND for an unknown service; Watch sends SERVICE_UNKNOWN
            call.finish(grpc.StatusCode.NOT_FOUND)

    def _list(self, call: Call, _: bytes) -> None:
        statuses = {name: self._response(name) for name in self._services}
        # The types of this package are older than List.
        response = health_pb2.HealthListResponse(statuses=statuses)  # type: ignore[attr-defined]
        call.respond(response.SerializeToString())

    def _begin_watch(self, call: Call, request: bytes) -> None:
        name = _requested_service(call, request)
        if name is not None:
            call.run(self._watch(call, name))

    async def _watch(self, call: Call, name: str) -> None:
        last_sent = None
        while True:  # until the client cancels or the server stops
            changed = self._changed  # taken before the status is read: a change during the write is not missed
            response = self._response(name)
            if response != last_sent:
                await call.write(response.SerializeToString())  # waits for this client's flow control alone
                last_sent = response
            await changed.wait()

    def _response(self, name: str) -> Response:
        if name not in self._services:
            return Response(status=Response.SERVICE_UNKNOWN)
        return Response(status=Response.SERVING if self.is_ready else Response.NOT_SERVING)


def _requested_service(call: Call, request: bytes) -> str | None:
    """Returns the service's name; None, with the call ended, for bytes that are no HealthCheckRequest."""
    try:
        return str(parse_message(health_pb2.HealthCheckRequest, request).service)
    except InvalidRequestError as error:
        call.finish(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return None
