"""The gRPC service of the Open Inference Protocol, version 2, for the clients of KServe, MLServer and Triton.

It shares the classifier and the port with mnist.v1. Handlers take and return bytes, so that a message that does not
parse is counted and gets INVALID_ARGUMENT (decision 0003).
"""

import time
from collections.abc import Awaitable, Callable
from functools import partial

import grpc
import numpy as np

from protos.inference import open_inference_pb2 as protocol
from serving.api.access_log import AccessLog
from serving.api.open_inference.codec import AcceptedModel, InferRequest, infer_response, parse_infer
from serving.api.open_inference.description import (
    CallTotals,
    model_config,
    model_metadata,
    model_statistics,
    repository_index,
    server_metadata,
)
from serving.api.rpc import Call, Handler, RpcObserver, deadline
from serving.api.stage_times import encode_with_stage_times
from serving.api.wire_format import parse_message
from serving.auth.api_keys import ADMIN, CLASSIFY
from serving.auth.authenticator import Authenticator
from serving.core.classifier import Classifier
from serving.core.registry import Registry
from serving.errors import ModelRejectedError, NotReadyError, VersionRefusedError
from serving.logging import Logger
from serving.metrics.metrics import Metrics
from serving.predictions import PIXELS, Predictions

SERVICE = protocol.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
_SCOPES = {"ModelInfer": CLASSIFY, "RepositoryModelLoad": ADMIN}  # the other methods need no scope


class OpenInferenceService:
    """Serves inference.GRPCInferenceService: inference, health, metadata, statistics, and reloading."""

    def __init__(
        self,
        classifier: Classifier,
        registry: Registry,
        authenticator: Authenticator,
        metrics: Metrics,
        log: Logger,
        access_log: AccessLog | None,
        reload: Callable[[], Awaitable[None]] | None,
    ) -> None:
        """`reload`: reloads models in all workers, or raises ModelRejectedError; None: no RepositoryModelLoad."""
        self._classifier = classifier
        self._registry = registry
        self._metrics = metrics
        self._reload = reload
        self._rpcs = RpcObserver(SERVICE, authenticator, metrics, log, access_log)
        self._answered, self._failed = CallTotals(), CallTotals()  # ModelInfer calls, in this worker

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers the methods."""
        methods: dict[str, Handler[bytes, bytes]] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._model_infer,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "RepositoryIndex": self._repository_index,
        }
        if self._reload:  # otherwise gRPC answers UNIMPLEMENTED, as for any unknown method
            methods["RepositoryModelLoad"] = self._repository_model_load
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            method: grpc.unary_unary_rpc_method_handler(
                self._rpcs.observed("unary", method, handler, _SCOPES.get(method))
            )
            for method, handler in methods.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def _model_infer(self, request: bytes, call: Call) -> bytes:
        begun, outcome = time.perf_counter_ns(), self._failed  # unless a response is reached
        try:
            model = self._model()
            message = parse_infer(request, model)
            predictions = await self._classify(message, call)
            response = encode_with_stage_times(call.context, partial(infer_response, message, model.name), predictions)
            outcome = self._answered
            return response
        finally:
            outcome.add(time.perf_counter_ns() - begun)

    async def _classify(self, message: InferRequest, call: Call) -> Predictions:
        # The earlier of the gRPC deadline (tritonclient's client_timeout) and the parameter `timeout`.
        until = min(deadline(call.context), time.monotonic() + message.head.timeout_seconds)
        version = int(message.head.model_version or 0)  # a served one: parse_infer() has checked it
        images = message.images
        if isinstance(images, bytes):
            pixels = np.frombuffer(images, np.uint8).reshape(-1, PIXELS)
            return await self._classifier.classify(pixels, call.caller, version, until)
        return await self._classifier.classify(images, call.caller, version, until)

    async def _server_live(self, request: bytes, _: Call) -> bytes:
        parse_message(protocol.ServerLiveRequest, request)
        return protocol.ServerLiveResponse(live=True).SerializeToString()

    async def _server_ready(self, request: bytes, _: Call) -> bytes:
        parse_message(protocol.ServerReadyRequest, request)
        return protocol.ServerReadyResponse(ready=self._model_if_ready() is not None).SerializeToString()

    async def _model_ready(self, request: bytes, _: Call) -> bytes:
        message = parse_message(protocol.ModelReadyRequest, request)
        model = self._model_if_ready()
        if model is not None:
            # An unknown model is NOT_FOUND, as in KServe and MLServer; Triton would send ready=false (decision 0020).
            model.check(message.name, message.version)
        return protocol.ModelReadyResponse(ready=model is not None).SerializeToString()

    async def _server_metadata(self, request: bytes, _: Call) -> bytes:
        parse_message(protocol.ServerMetadataRequest, request)
        return server_metadata().SerializeToString()

    async def _model_metadata(self, request: bytes, _: Call) -> bytes:
        message = parse_message(protocol.ModelMetadataRequest, request)
        return model_metadata(self._checked(message.name, message.version)).SerializeToString()

    async def _model_config(self, request: bytes, _: Call) -> bytes:
        message = parse_message(protocol.ModelConfigRequest, request)
        return model_config(self._checked(message.name, message.version)).SerializeToString()

    async def _model_statistics(self, request: bytes, _: Call) -> bytes:
        message = parse_message(protocol.ModelStatisticsRequest, request)
        model = self._checked(message.name, message.version) if message.name else self._model()
        return model_statistics(model, self._metrics, self._answered, self._failed).SerializeToString()

    async def _repository_index(self, request: bytes, _: Call) -> bytes:
        parse_message(protocol.RepositoryIndexRequest, request)
        refused = {version: each.reason for version, each in self._registry.refused.items()}
        return repository_index(self._model_if_ready(), refused).SerializeToString()

    async def _repository_model_load(self, request: bytes, _: Call) -> bytes:
        message = parse_message(protocol.RepositoryModelLoadRequest, request)
        self._checked(message.model_name, "")
        if self._reload is None:
            raise RuntimeError("an RPC that is not registered was called: this is a bug")
        try:
            await self._reload()
        except ModelRejectedError as error:
            raise VersionRefusedError(str(error)) from error
        return protocol.RepositoryModelLoadResponse().SerializeToString()

    def _model(self) -> AcceptedModel:
        """Returns the model that answers now. Raises NotReadyError."""
        model, registry = self._registry.served().model, self._registry
        return AcceptedModel(model.name, model.version, self._classifier.max_images_per_request, registry.versions)

    def _model_if_ready(self) -> AcceptedModel | None:
        try:
            return self._model()
        except NotReadyError:
            return None

    def _checked(self, name: str, version: str) -> AcceptedModel:
        """Returns the model. Raises NotReadyError, UnknownModelError or UnknownVersionError."""
        model = self._model()
        model.check(name, version)
        return model
