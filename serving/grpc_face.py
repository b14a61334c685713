"""The gRPC side of mnist.v1: turns messages into calls of the classifier and back, and counts every call.

Handlers take and give bytes, so that a message that does not parse is answered and counted here, as INVALID_ARGUMENT.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

import grpc

from protos.mnist.v1 import digits_pb2
from serving.classifier import Classifier
from serving.classify_codec import parse_message, parse_request, request_images, response_bytes
from serving.error_status import REASONS, ErrorStatus, error_status
from serving.errors import InvalidRequestError
from serving.logs import Logger
from serving.metrics import Metrics

SERVICE = digits_pb2.DESCRIPTOR.services_by_name["DigitClassifier"].full_name
# Of one stream, answered at the same time: bounds what one caller can pile up; the rest waits in its connection.
STREAM_REQUESTS_IN_FLIGHT = 256

R = TypeVar("R")
T = TypeVar("T")
Context = grpc.aio.ServicerContext[bytes, bytes]
Handler = Callable[[R, Context], Awaitable[T]]


class GrpcFace:
    """The service mnist.v1.DigitClassifier over one classifier."""

    def __init__(self, classifier: Classifier, metrics: Metrics, log: Logger, access_log: bool) -> None:
        self._classifier = classifier
        self._metrics = metrics
        self._log = log
        self._access_log = access_log
        # Made before they are needed: a series that appears with its first event hides that event from rate().
        self._rejected = {reason: metrics.rejected.labels(reason) for reason in REASONS}

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers the three methods."""
        unary, bidirectional = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Classify": unary(self._observed("unary", "Classify", self._classify)),
            "ClassifyStream": bidirectional(self._observed("bidi_stream", "ClassifyStream", self._classify_stream)),
            "GetModel": unary(self._observed("unary", "GetModel", self._get_model)),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def _classify(self, request: bytes, context: Context) -> bytes:
        images, version = parse_request(request, self._classifier.max_images_per_request)
        return response_bytes(await self._classifier.classify(images, version, _deadline(context)))

    async def _get_model(self, request: bytes, _: Context) -> bytes:
        parse_message(digits_pb2.GetModelRequest, request)
        version = self._classifier.served.version
        return digits_pb2.GetModelResponse(
            name=version.name,
            version=version.version,
            created=version.created,
            test_accuracy=version.test_accuracy,
            novelty_threshold=version.novelty_threshold,
            device=version.model.device,
            max_images_per_request=self._classifier.max_images_per_request,
            max_image_bytes=self._classifier.limits.max_bytes,
            max_image_pixels=self._classifier.limits.max_pixels,
            model_sha256=version.sha256,
        ).SerializeToString()

    async def _classify_stream(self, requests: AsyncIterator[bytes], context: Context) -> None:
        room = asyncio.Semaphore(STREAM_REQUESTS_IN_FLIGHT)
        one_writer = asyncio.Lock()  # grpc.aio allows one write at a time

        async def answer(message: digits_pb2.ClassifyStreamRequest) -> None:
            response = await self._stream_response(message, context)
            async with one_writer:
                with suppress(grpc.aio.BaseError):  # the caller has gone: there is nobody to tell
                    await context.write(response.SerializeToString())
            room.release()

        garbled: InvalidRequestError | None = None
        async with asyncio.TaskGroup() as answers:
            async for request in requests:
                try:
                    message = parse_message(digits_pb2.ClassifyStreamRequest, request)
                except InvalidRequestError as error:  # without an id nothing can be answered: what came before still is
                    garbled = error
                    break
                await room.acquire()
                answers.create_task(answer(message))
        if garbled:
            raise garbled

    async def _stream_response(
        self, message: digits_pb2.ClassifyStreamRequest, context: Context
    ) -> digits_pb2.ClassifyStreamResponse:
        """One request's answer, or its failure: the stream goes on either way."""
        try:
            images, version = request_images(message.request, self._classifier.max_images_per_request)
            answer = response_bytes(await self._classifier.classify(images, version, _deadline(context)))
            response = digits_pb2.ClassifyResponse.FromString(answer)
            return digits_pb2.ClassifyStreamResponse(id=message.id, response=response)
        except Exception as error:  # the border of one request within the stream
            status = self._status(error, "ClassifyStream")
            failure = digits_pb2.Failure(code=status.code.value[0], message=status.message)
            return digits_pb2.ClassifyStreamResponse(id=message.id, failure=failure)

    def _observed(self, kind: str, method: str, answer: "Handler[R, T]") -> "Handler[R, T]":
        """`answer`, counted and timed, and what it raises turned into a status."""
        rpc = _Rpc(self._metrics, kind, method)

        async def handle(request: R, context: Context) -> T:
            begun = time.perf_counter()
            rpc.started.inc()
            code = grpc.StatusCode.OK
            try:
                return await answer(request, context)
            except asyncio.CancelledError:
                code = _code_of_cancellation(context)
                raise
            except Exception as error:  # the border of the RPC
                status = self._status(error, method)
                code = status.code
                await context.abort(status.code, status.message)
            finally:
                elapsed = time.perf_counter() - begun
                rpc.handled[code].inc()
                rpc.seconds.observe(elapsed)
                if self._access_log:
                    self._log.info("rpc", method=method, code=code.name, seconds=round(elapsed, 6), peer=context.peer())

        return handle

    def _status(self, error: Exception, method: str) -> ErrorStatus:
        """The status for `error`, counted; what is a fault of ours is logged with its stack."""
        status = error_status(error)
        self._rejected[status.reason].inc()
        if status.code is grpc.StatusCode.INTERNAL:
            self._log.error("rpc_failed", method=method, exc_info=error)
        return status


class _Rpc:
    """One method's counters, looked up once."""

    def __init__(self, metrics: Metrics, kind: str, method: str) -> None:
        labels = (kind, SERVICE, method)
        self.started = metrics.started.labels(*labels)
        self.seconds = metrics.handling_seconds.labels(*labels)
        self.handled = {code: metrics.handled.labels(*labels, code.name) for code in grpc.StatusCode}


def _deadline(context: Context) -> float:
    """The caller's deadline in time.monotonic() seconds, infinity when it set none."""
    remaining = context.time_remaining()
    return float("inf") if remaining is None else time.monotonic() + remaining


def _code_of_cancellation(context: Context) -> grpc.StatusCode:
    remaining = context.time_remaining()
    is_late = remaining is not None and remaining <= 0
    return grpc.StatusCode.DEADLINE_EXCEEDED if is_late else grpc.StatusCode.CANCELLED
