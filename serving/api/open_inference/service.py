"""The gRPC service of the Open Inference Protocol, version 2, for the clients of KServe, MLServer and Triton.

It shares the classifier and the port with mnist.v1. Handlers take and return bytes, so that a message that does not
parse is counted and gets INVALID_ARGUMENT (decision 0003).
"""

import asyncio
from functools import partial

from google.protobuf.message import Message

from protos.inference import open_inference_pb2 as protocol
from serving.api.access_log import AccessLog
from serving.api.engine.call import CANCELLED, OK, Call, Method
from serving.api.open_inference.codec import infer_response, parse_infer
from serving.api.open_inference.description import model_config, model_metadata, server_metadata
from serving.api.open_inference.operations import (
    NO_SETTINGS,
    NO_SHARED_MEMORY,
    NO_UNLOADING,
    OpenInferenceOperations,
)
from serving.api.open_inference.settings import LOG_SETTINGS, TRACE_SETTINGS
from serving.api.pending import PendingCall, deliver
from serving.api.request_ids import of_stream
from serving.api.rpc import RpcObserver, Unary
from serving.api.wire_format import parse_message
from serving.auth.api_keys import ADMIN, CLASSIFY
from serving.auth.authenticator import Authenticator
from serving.core.classifier import Classifier
from serving.errors import InvalidRequestError, NotSupportedError
from serving.logging import Logger
from serving.metrics.metrics import Metrics
from serving.traces.request_trace import Tracer

SERVICE = protocol.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
# Requests of one stream that are answered at the same time. Bounds what one caller can queue; further messages are not
# read, so HTTP/2 flow control stops the client.
STREAM_REQUESTS_IN_FLIGHT = 256
FINAL_RESPONSE = "triton_final_response"  # parameter of a response that is the last one of its request; here each is
_IS_FINAL = protocol.ModelInferResponse(
    parameters={FINAL_RESPONSE: protocol.InferParameter(bool_param=True)}
).SerializeToString()


class OpenInferenceService:
    """Serves inference.GRPCInferenceService: inference, health, metadata, statistics, and reloading."""

    def __init__(
        self,
        operations: OpenInferenceOperations,
        classifier: Classifier,
        authenticator: Authenticator,
        metrics: Metrics,
        log: Logger,
        access_log: AccessLog | None,
        has_store: bool,
        tracer: Tracer | None,
    ) -> None:
        self._operations = operations
        self._classifier = classifier
        self._authenticator = authenticator
        self._rpcs = RpcObserver(SERVICE, authenticator, metrics, log, access_log, has_store, tracer)

    def methods(self) -> list[Method]:
        """Returns the methods."""
        unary: dict[str, Unary] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "RepositoryIndex": self._repository_index,
            "RepositoryModelUnload": _refusing(protocol.RepositoryModelUnloadRequest, NO_UNLOADING),
            "TraceSetting": self._trace_setting,
            "LogSettings": self._log_settings,
            **_shared_memory(),
        }
        administration: dict[str, Unary] = {}
        if self._operations.has_administration:  # otherwise gRPC answers UNIMPLEMENTED, as for any unknown method
            administration["RepositoryModelLoad"] = self._repository_model_load
        return [
            self._rpcs.direct(
                "ModelInfer", self._model_infer, CLASSIFY, self._classifier.check_room, self._operations.totals.add
            ),
            self._rpcs.bidi_stream("ModelStreamInfer", self._model_stream_infer, CLASSIFY),
            *(self._rpcs.unary(name, handler) for name, handler in unary.items()),
            *(self._rpcs.unary(name, handler, ADMIN) for name, handler in administration.items()),
        ]

    def _model_infer(self, request: bytes, call: Call) -> None:
        model = self._operations.model()
        message = parse_infer(request, model)
        encode = self._operations.encoder(partial(infer_response, message, model.name))
        result = PendingCall(call, encode, self._fail_infer)
        if isinstance(message.images, bytes):
            call.on_cancel = self._operations.begin(message, call.caller, result, call.deadline)
        else:  # pictures
            infer = partial(self._operations.infer, message, call.caller, call.deadline)
            call.run(deliver(infer, result))

    def _fail_infer(self, call: Call, error: Exception) -> None:
        self._rpcs.fail(call, error, "ModelInfer")

    async def _model_stream_infer(self, call: Call) -> None:
        """Answers requests in their order, as tritonclient expects. Ends when the client has sent all."""
        answers: asyncio.Queue[asyncio.Task[bytes] | None] = asyncio.Queue(STREAM_REQUESTS_IN_FLIGHT)

        async def write() -> None:
            while (answer := await answers.get()) is not None:
                await call.write(await answer)

        async with asyncio.TaskGroup() as tasks:  # waits for all at its end; a cancellation cancels all
            tasks.create_task(write())
            while (request := await call.read()) is not None:
                await answers.put(tasks.create_task(self._stream_response(request, call)))
            await answers.put(None)

    async def _stream_response(self, request: bytes, call: Call) -> bytes:
        """Answers one request of the stream, with an error message where it fails: the stream goes on either way."""
        began, is_answered = asyncio.get_running_loop().time(), False
        trace, code = self._rpcs.begin_part(call), CANCELLED
        try:
            # Again for each request: a stream may outlive the key, which can be revoked meanwhile.
            caller = self._authenticator.authenticate(call, CLASSIFY)
            model = self._operations.model()
            message = parse_infer(request, model)
            if call.caller.request_id:  # of a stream's requests the caller's own id names each
                caller = caller.of(of_stream(call.request_id, message.head.id))
            if trace is not None:
                caller = caller.traced(trace)
            predictions = await self._operations.infer(message, caller, call.deadline)
            response = self._operations.timed(partial(infer_response, message, model.name), predictions)
            if message.head.says_final:
                response += _IS_FINAL  # protobuf reads messages in a row as one
            is_answered, code = True, OK.name
            answer = protocol.ModelStreamInferResponse(infer_response=protocol.ModelInferResponse.FromString(response))
        except Exception as error:  # the border of one request within the stream
            status = self._rpcs.status(error, "ModelStreamInfer")
            code = status.code.name
            answer = protocol.ModelStreamInferResponse(error_message=status.message)
            answer.infer_response.id = _id(request)  # by which tritonclient tells which request failed
        finally:
            self._operations.totals.add(asyncio.get_running_loop().time() - began, is_answered)
            self._rpcs.end_part(trace, "ModelStreamInfer request", code)
        return answer.SerializeToString()

    async def _server_live(self, request: bytes, _: Call) -> bytes:
        parse_message(protocol.ServerLiveRequest, request)
        return protocol.ServerLiveResponse(live=True).SerializeToString()

    async def _server_ready(self, request: bytes, _: Call) -> bytes:
        parse_message(protocol.ServerReadyRequest, request)
        return protocol.ServerReadyResponse(ready=self._operations.model_if_ready() is not None).SerializeToString()

    async def _model_ready(self, request: bytes, _: Call) -> bytes:
        message = parse_message(protocol.ModelReadyRequest, request)
        is_ready = self._operations.is_ready(message.name, message.version)
        return protocol.ModelReadyResponse(ready=is_ready).SerializeToString()

    async def _server_metadata(self, request: bytes, _: Call) -> bytes:
        parse_message(protocol.ServerMetadataRequest, request)
        return server_metadata().SerializeToString()

    async def _model_metadata(self, request: bytes, _: Call) -> bytes:
        message = parse_message(protocol.ModelMetadataRequest, request)
        return model_metadata(self._operations.checked(message.name, message.version)).SerializeToString()

    async def _model_config(self, request: bytes, _: Call) -> bytes:
        message = parse_message(protocol.ModelConfigRequest, request)
        return model_config(self._operations.checked(message.name, message.version)).SerializeToString()

    async def _model_statistics(self, request: bytes, _: Call) -> bytes:
        message = parse_message(protocol.ModelStatisticsRequest, request)
        return (await self._operations.statistics(message.name, message.version)).SerializeToString()

    async def _repository_index(self, request: bytes, _: Call) -> bytes:
        message = parse_message(protocol.RepositoryIndexRequest, request)
        return self._operations.index(message.ready).SerializeToString()

    async def _repository_model_load(self, request: bytes, _: Call) -> bytes:
        message = parse_message(protocol.RepositoryModelLoadRequest, request)
        await self._operations.load(message.model_name, list(message.parameters))
        return protocol.RepositoryModelLoadResponse().SerializeToString()

    async def _trace_setting(self, request: bytes, _: Call) -> bytes:
        message = parse_message(protocol.TraceSettingRequest, request)
        if message.settings:
            raise NotSupportedError(NO_SETTINGS)
        value = protocol.TraceSettingResponse.SettingValue
        settings = {name: value(value=[text]) for name, text in TRACE_SETTINGS.items()}
        return protocol.TraceSettingResponse(settings=settings).SerializeToString()

    async def _log_settings(self, request: bytes, _: Call) -> bytes:
        message = parse_message(protocol.LogSettingsRequest, request)
        if message.settings:
            raise NotSupportedError(NO_SETTINGS)
        value, settings = protocol.LogSettingsResponse.SettingValue, {}
        for name, setting in LOG_SETTINGS.items():
            if isinstance(setting, bool):
                settings[name] = value(bool_param=setting)
            elif isinstance(setting, int):
                settings[name] = value(uint32_param=setting)
            else:
                settings[name] = value(string_param=setting)
        return protocol.LogSettingsResponse(settings=settings).SerializeToString()


def _shared_memory() -> dict[str, Unary]:
    """Returns the methods of shared memory, which there is none of: no regions, and none can be added."""
    methods: dict[str, Unary] = {}
    for kind in ("SystemSharedMemory", "CudaSharedMemory"):
        for action in ("Status", "Unregister"):
            messages = (getattr(protocol, f"{kind}{action}{part}") for part in ("Request", "Response"))
            methods[f"{kind}{action}"] = _nothing(*messages)
        methods[f"{kind}Register"] = _refusing(getattr(protocol, f"{kind}RegisterRequest"), NO_SHARED_MEMORY)
    return methods


def _nothing(request_type: type[Message], response_type: type[Message]) -> Unary:
    async def answer(request: bytes, _: Call) -> bytes:
        parse_message(request_type, request)
        return response_type().SerializeToString()

    return answer


def _refusing(request_type: type[Message], why: str) -> Unary:
    async def refuse(request: bytes, _: Call) -> bytes:
        parse_message(request_type, request)
        raise NotSupportedError(why)

    return refuse


def _id(request: bytes) -> str:
    """Returns the id of a request that failed; empty where it is no request at all."""
    try:
        return str(parse_message(protocol.ModelInferRequest, request).id)
    except InvalidRequestError:
        return ""
