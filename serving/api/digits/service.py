"""The gRPC side of mnist.v1: turns messages into calls of the classifier and back.

Handlers take and give bytes, so that a message that does not parse is answered and counted here, as INVALID_ARGUMENT.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import grpc

from protos.mnist.v1 import digits_pb2
from serving.api.access_log import AccessLog
from serving.api.digits.codec import parse_request, request_images, response_bytes
from serving.api.digits.explain_codec import explanation_bytes, parse_explain
from serving.api.rpc import Call, Gate, RpcObserver, deadline
from serving.api.stage_times import encode_and_tell
from serving.api.wire_format import parse_message
from serving.auth.api_keys import CLASSIFY
from serving.core.classifier import Classifier
from serving.core.explainer import Explainer
from serving.core.model_reloader import ModelUpdates
from serving.errors import InvalidRequestError
from serving.logging import Logger
from serving.metrics.metrics import Metrics

SERVICE = digits_pb2.DESCRIPTOR.services_by_name["DigitClassifier"].full_name
# Of one stream, answered at the same time: bounds what one caller can pile up; the rest waits in its connection.
STREAM_REQUESTS_IN_FLIGHT = 256


class GrpcFace:
    """The service mnist.v1.DigitClassifier over one classifier."""

    def __init__(
        self,
        classifier: Classifier,
        gate: Gate,
        metrics: Metrics,
        log: Logger,
        access_log: AccessLog | None,
        explainer: Explainer,
        updates: ModelUpdates,
    ) -> None:
        self._classifier = classifier
        self._explainer = explainer
        self._gate = gate
        self._updates = updates
        self._rpcs = RpcObserver(SERVICE, gate, metrics, log, access_log)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers the four methods."""
        unary, bidirectional = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        observed = self._rpcs.observed
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            "Classify": unary(observed("unary", "Classify", self._classify, CLASSIFY)),
            "ClassifyStream": bidirectional(observed("bidi_stream", "ClassifyStream", self._classify_stream, CLASSIFY)),
            "Explain": unary(observed("unary", "Explain", self._explain, CLASSIFY)),
            "GetModel": unary(observed("unary", "GetModel", self._get_model)),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def _classify(self, request: bytes, call: Call) -> bytes:
        images, version = parse_request(request, self._classifier.max_images_per_request)
        predictions = await self._classifier.classify(images, call.caller, version, deadline(call.context))
        return encode_and_tell(call.context, predictions, response_bytes)

    async def _explain(self, request: bytes, call: Call) -> bytes:
        image, asked = parse_explain(request)
        made = await self._explainer.explain(image, call.caller, asked.model_version, deadline(call.context))
        return explanation_bytes(made, with_kernels=not asked.without_kernels)

    async def _get_model(self, request: bytes, _: Call) -> bytes:
        asked = parse_message(digits_pb2.GetModelRequest, request)
        served = self._classifier.served(asked.model_version)
        version = served.version
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
            precision=version.precision,
            inference_threads=version.model.threads,
            max_batch_size=served.batcher.max_batch_size,
            is_tuned=served.is_tuned,
            served_versions=self._classifier.versions,
            refused_versions=[
                digits_pb2.RefusedVersion(version=refused, check=each.check, reason=each.reason)
                for refused, each in sorted(self._updates.refused.items())
            ],
        ).SerializeToString()

    async def _classify_stream(self, requests: AsyncIterator[bytes], call: Call) -> None:
        room = asyncio.Semaphore(STREAM_REQUESTS_IN_FLIGHT)
        one_writer = asyncio.Lock()  # grpc.aio allows one write at a time

        async def answer(message: digits_pb2.ClassifyStreamRequest) -> None:
            response = await self._stream_response(message, call)
            del message  # or it would be kept as long as nobody reads the answer
            async with one_writer:
                with suppress(grpc.aio.BaseError):  # the caller has gone: there is nobody to tell
                    await call.context.write(response.SerializeToString())
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
        self, message: digits_pb2.ClassifyStreamRequest, call: Call
    ) -> digits_pb2.ClassifyStreamResponse:
        """One request's answer, or its failure: the stream goes on either way."""
        try:
            images, version = request_images(message.request, self._classifier.max_images_per_request)
            caller = self._gate.caller(call.context, CLASSIFY)  # streams last, and keys are taken away
            answer = response_bytes(await self._classifier.classify(images, caller, version, deadline(call.context)))
            response = digits_pb2.ClassifyResponse.FromString(answer)
            return digits_pb2.ClassifyStreamResponse(id=message.id, response=response)
        except Exception as error:  # the border of one request within the stream
            status = self._rpcs.status(error, "ClassifyStream")
            failure = digits_pb2.Failure(code=status.code.value[0], message=status.message)
            return digits_pb2.ClassifyStreamResponse(id=message.id, failure=failure)
