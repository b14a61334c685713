"""Whether this server should get traffic, told to gRPC health checks, to /readyz and to the metrics from one place.

The servicer of grpc_health writes to a watcher while it holds the lock that a change waits for: one watcher that reads
nothing would keep the server from ever draining. So the two methods of grpc.health.v1 stand here.
"""

import asyncio

import grpc
from grpc_health.v1 import health_pb2

from serving.api.wire_format import parse_message
from serving.errors import InvalidRequestError
from serving.metrics.metrics import Metrics

SERVICE = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
Context = grpc.aio.ServicerContext[bytes, bytes]
Answer = health_pb2.HealthCheckResponse


class Health:
    """Not ready until a model is warm, and again from the start of the drain."""

    def __init__(self, services: list[str], metrics: Metrics) -> None:
        self.is_ready = False
        self._services = {"", *services}  # the empty name stands for the whole server
        self._metrics = metrics
        self._changed = asyncio.Event()  # replaced at each change

    def add_to(self, server: grpc.aio.Server) -> None:
        """Adds the standard grpc.health.v1 service, Check and Watch."""
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Check": grpc.unary_unary_rpc_method_handler(self._check),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    def set_ready(self, is_ready: bool) -> None:
        """Tells everyone, watchers included."""
        self.is_ready = is_ready
        self._metrics.ready.set(is_ready)
        self._changed.set()
        self._changed = asyncio.Event()

    async def _check(self, request: bytes, context: Context) -> bytes:
        name = _asked(request, context)
        if name is None:
            return b""
        if name not in self._services:
            context.set_code(grpc.StatusCode.NOT_FOUND)
            return b""
        return self._answer(name).SerializeToString()

    async def _watch(self, request: bytes, context: Context) -> None:
        name, told = _asked(request, context), None
        while name is not None:
            changed = self._changed  # before the status is read: a change in between is seen
            answer = self._answer(name)
            if answer != told:
                await context.write(answer.SerializeToString())
                told = answer
            await changed.wait()

    def _answer(self, name: str) -> Answer:
        if name not in self._services:
            return Answer(status=Answer.SERVICE_UNKNOWN)
        return Answer(status=Answer.SERVING if self.is_ready else Answer.NOT_SERVING)


def _asked(request: bytes, context: Context) -> str | None:
    """The service that is asked about; None, and the status set, where the bytes are no question."""
    try:
        return str(parse_message(health_pb2.HealthCheckRequest, request).service)
    except InvalidRequestError as error:
        context.set_code(grpc.StatusCode.INVALID_ARGUMENT)
        context.set_details(str(error))
        return None
