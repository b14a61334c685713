"""The gRPC service of the Open Inference Protocol, version 2, for the clients of KServe, MLServer and Triton.

It shares the classifier and the port with mnist.v1. Handlers take and return bytes, so that a message that does not
parse is counted and gets INVALID_ARGUMENT (decision 0003).
"""

import time
from collections.abc import Awaitable, Callable
from functools import partial

import numpy as np

from protos.inference import open_inference_pb2 as protocol
from serving.api.access_log import AccessLog
from serving.api.engine.call import Call, Method
from serving.api.open_inference.codec import AcceptedModel, infer_response, parse_infer
from serving.api.open_inference.description import (
    CallTotals,
    model_config,
    model_metadata,
    model_statistics,
    repository_index,
    server_metadata,
)
from serving.api.pending import PendingCall, deliver
from serving.api.rpc import RpcObserver, Unary
from serving.api.wire_format import parse_message
from serving.auth.api_keys import ADMIN, CLASSIFY
from serving.auth.authenticator import Authenticator
from serving.core.classifier import Classifier
from serving.core.registry import Registry
from serving.errors import ModelRejectedError, NotReadyError, VersionRefusedError
from serving.logging import Logger
from serving.metrics.metrics import Metrics
from serving.predictions import PIXELS

SERVICE = protocol.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
_SCOPES = {"RepositoryModelLoad": ADMIN}  # the other methods need no scope


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
        self._accepted = AcceptedModel("", 0, 0)  # the last one that _model() returned

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
        }
        if self._reload:  # otherwise gRPC answers UNIMPLEMENTED, as for any unknown method
            unary["RepositoryModelLoad"] = self._repository_model_load
        return [
            self._rpcs.direct(
                "ModelInfer", self._model_infer, CLASSIFY, self._classifier.check_room, self._count_infer
            ),
            *(self._rpcs.unary(name, handler, _SCOPES.get(name)) for name, handler in unary.items()),
        ]

    def _model_infer(self, request: bytes, call: Call) -> None:
        model = self._model()
        message = parse_infer(request, model)
        # The earlier of the gRPC deadline (tritonclient's client_timeout) and the parameter `timeout`.
        until = min(call.deadline, time.monotonic() + message.head.timeout_seconds)
        version = int(message.head.model_version or 0)  # a served one: parse_infer() has checked it
        images = message.images
        result = PendingCall(call, partial(infer_response, message, model.name), self._fail_infer)
        if isinstance(images, bytes):
            pixels = np.frombuffer(images, np.uint8).reshape(-1, PIXELS)
            call.on_cancel = self._classifier.begin(pixels, call.caller, result, version, until).release
        else:  # pictures
            classify = partial(self._classifier.classify, images, call.caller, version, until)
            call.run(deliver(classify, result))

    def _fail_infer(self, call: Call, error: Exception) -> None:
        self._rpcs.fail(call, error, "ModelInfer")

    def _count_infer(self, seconds: float, is_answered: bool) -> None:
        (self._answered if is_answered else self._failed).add(round(seconds * 1e9))

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
        model, versions, last = self._registry.served().model, self._registry.versions, self._accepted
        if last.versions is not versions or last.name != model.name:  # the registry makes a new tuple at each change
            most = self._classifier.max_images_per_request
            self._accepted = AcceptedModel(model.name, model.version, most, versions)
        return self._accepted

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
