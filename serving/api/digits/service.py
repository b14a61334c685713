"""The gRPC service mnist.v1.DigitClassifier.

Handlers take and return bytes. With generated deserialisers grpc itself would end a call whose message does not parse,
neither counted nor as INVALID_ARGUMENT (decision 0003).
"""

import asyncio
from functools import partial

import numpy as np

from protos.mnist.v1 import digits_pb2
from serving.api.access_log import AccessLog
from serving.api.digits.codec import parse_request, request_id_bytes, response_bytes, stream_response_bytes
from serving.api.digits.operations import DigitOperations
from serving.api.digits.read_codec import parse_read, reading_bytes
from serving.api.engine.call import CANCELLED, OK, Call, Method
from serving.api.pending import Encode, PendingCall, deliver
from serving.api.request_ids import of_stream
from serving.api.rpc import RpcObserver
from serving.api.stage_times import encode_with_stage_times
from serving.api.wire_format import parse_message
from serving.auth.api_keys import CLASSIFY
from serving.auth.authenticator import Authenticator
from serving.core.classifier import Classifier
from serving.core.reader import Reader
from serving.core.registry import Registry
from serving.errors import InvalidRequestError
from serving.logging import Logger
from serving.metrics.metrics import Metrics
from serving.predictions import Predictions
from serving.traces.request_trace import Tracer
from serving.version_policy import LARGEST_VERSION

SERVICE = digits_pb2.DESCRIPTOR.services_by_name["DigitClassifier"].full_name
# Requests of one stream that are answered at the same time. Bounds what one caller can queue; further messages are not
# read, so HTTP/2 flow control stops the client.
STREAM_REQUESTS_IN_FLIGHT = 256


class DigitService:
    """Serves Classify, ClassifyStream, Read, Explain, GetModel and Feedback."""

    def __init__(
        self,
        operations: DigitOperations,
        classifier: Classifier,
        reader: Reader,
        registry: Registry,
        authenticator: Authenticator,
        metrics: Metrics,
        log: Logger,
        access_log: AccessLog | None,
        has_store: bool,
        tracer: Tracer | None,
    ) -> None:
        self._operations = operations
        self._classifier = classifier
        self._reader = reader
        self._registry = registry
        self._authenticator = authenticator
        self._rpcs = RpcObserver(SERVICE, authenticator, metrics, log, access_log, has_store, tracer)

    def methods(self) -> list[Method]:
        """Returns the methods."""
        rpcs = self._rpcs
        return [
            rpcs.direct("Classify", self._classify, CLASSIFY, self._classifier.check_room),
            rpcs.bidi_stream("ClassifyStream", self._classify_stream, CLASSIFY),
            rpcs.unary("Read", self._read, CLASSIFY, self._classifier.check_room),
            rpcs.unary("Explain", self._explain, CLASSIFY),
            rpcs.unary("GetModel", self._get_model),
            rpcs.unary("Feedback", self._feedback, CLASSIFY),
        ]

    def _classify(self, request: bytes, call: Call) -> None:
        images, version = parse_request(request, self._classifier.max_images_per_request)
        encode: Encode = response_bytes
        if self._operations.takes_feedback:
            encode = partial(_with_id, call.request_id)
        result = PendingCall(call, encode, self._fail_classify)
        if isinstance(images, np.ndarray):
            admitted = self._classifier.begin(images, call.caller, result, version, call.deadline)
            call.on_cancel = admitted.release
        else:  # pictures
            classify = partial(self._classifier.classify, images, call.caller, version, call.deadline)
            call.run(deliver(classify, result))

    def _fail_classify(self, call: Call, error: Exception) -> None:
        self._rpcs.fail(call, error, "Classify")

    async def _read(self, request: bytes, call: Call) -> bytes:
        picture, layout, version = parse_read(request)
        reading = await self._reader.read(picture, call.caller, layout, version, call.deadline)
        encode = reading_bytes
        if self._operations.takes_feedback:
            encode = partial(reading_bytes, request_id=call.request_id)
        return encode_with_stage_times(call, encode, reading)

    async def _explain(self, request: bytes, call: Call) -> bytes:
        return await self._operations.explain(request, call.caller, call.deadline)

    async def _feedback(self, request: bytes, call: Call) -> bytes:
        return await self._operations.feedback(request, call.caller, call.deadline)

    async def _get_model(self, request: bytes, _: Call) -> bytes:
        message = parse_message(digits_pb2.GetModelRequest, request)
        served, limits = self._registry.served(message.model_version), self._classifier.pictures.limits
        model = served.model
        return digits_pb2.GetModelResponse(
            name=model.name,
            version=model.version,
            created=model.created,
            test_accuracy=model.test_accuracy,
            novelty_threshold=model.novelty_threshold,
            device=model.session.device,
            max_images_per_request=self._classifier.max_images_per_request,
            max_image_bytes=limits.max_bytes,
            max_image_pixels=limits.max_pixels,
            model_sha256=model.sha256,
            precision=model.precision,
            inference_threads=model.session.threads,
            max_batch_size=served.batcher.max_batch_size,
            is_tuned=served.is_tuned,
            takes_feedback=self._operations.takes_feedback,
            served_versions=self._registry.versions,
            refused_versions=[
                digits_pb2.RefusedVersion(
                    version=version if version <= LARGEST_VERSION else 0, check=refused.check, reason=refused.reason
                )
                for version, refused in self._registry.reported().items()
            ],
        ).SerializeToString()

    async def _classify_stream(self, call: Call) -> None:
        """Answers requests as they complete, in any order. Ends when the client has sent all and all are answered."""
        room = asyncio.Semaphore(STREAM_REQUESTS_IN_FLIGHT)
        write_lock = asyncio.Lock()  # a call allows one write at a time

        async def answer(message: digits_pb2.ClassifyStreamRequest) -> None:
            response = await self._stream_response(message, call)
            del message  # its pixels need not wait until a slow client reads the response
            async with write_lock:
                await call.write(response)
            room.release()

        garbled: InvalidRequestError | None = None
        async with asyncio.TaskGroup() as responses:  # waits for all at its end; a cancellation cancels all
            while (request := await call.read()) is not None:
                try:
                    message = parse_message(digits_pb2.ClassifyStreamRequest, request)
                except (
                    InvalidRequestError
                ) as error:  # it has no id to answer; the requests before it are still answered
                    garbled = error
                    break
                await room.acquire()  # before the next message is read
                responses.create_task(answer(message))
        if garbled:  # now, as an exception inside the group would cancel the others
            raise garbled

    async def _stream_response(self, message: digits_pb2.ClassifyStreamRequest, call: Call) -> bytes:
        """Answers one request of the stream, with a Failure where it fails: the stream goes on either way."""
        trace, code = self._rpcs.begin_part(call), CANCELLED
        try:
            # Again for each request: a stream may outlive the key, which can be revoked meanwhile.
            caller = self._authenticator.authenticate(call, CLASSIFY)
            if call.caller.request_id:  # where there is a store
                caller = caller.of(of_stream(call.request_id, message.id))
            if trace is not None:
                caller = caller.traced(trace)
            response = await self._operations.classify(message.request, caller, call.deadline)
            code = OK.name
            return stream_response_bytes(message.id, response)
        except Exception as error:  # the border of one request within the stream
            status = self._rpcs.status(error, "ClassifyStream")
            code = status.code.name
            failure = digits_pb2.Failure(code=status.code.value[0], message=status.message)
            return digits_pb2.ClassifyStreamResponse(id=message.id, failure=failure).SerializeToString()
        finally:
            self._rpcs.end_part(trace, "ClassifyStream request", code)


def _with_id(request_id: str, predictions: Predictions) -> bytes:
    return response_bytes(predictions) + request_id_bytes(request_id)
