"""The Open Inference Protocol, version 2, over gRPC: what KServe's, MLServer's and Triton's clients speak.

The same classifier as mnist.v1, on the same port. Handlers take and give bytes, as in grpc_face.
"""

import time
from collections.abc import Awaitable, Callable

import grpc
import numpy as np

from protos.inference import open_inference_pb2 as protocol
from serving.api.access_log import AccessLog
from serving.api.open_inference.codec import InferRequest, ServedModel, infer_response, parse_infer
from serving.api.open_inference.description import (
    Tally,
    model_config,
    model_metadata,
    model_statistics,
    repository_index,
    server_metadata,
)
from serving.api.rpc import Call, Gate, Handler, RpcObserver, deadline
from serving.api.stage_times import encode_and_tell
from serving.api.wire_format import parse_message
from serving.auth.api_keys import ADMIN, CLASSIFY
from serving.core.classifier import Classifier, Predictions
from serving.core.model_reloader import ModelUpdates
from serving.errors import ModelRejectedError, NotReadyError, VersionRefusedError
from serving.logging import Logger
from serving.metrics.metrics import Metrics
from serving.models.onnx_session import PIXELS

_SCOPES = {"ModelInfer": CLASSIFY, "RepositoryModelLoad": ADMIN}

SERVICE = protocol.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name


class OpenInferenceFace:
    """The service inference.GRPCInferenceService over one classifier."""

    def __init__(
        self,
        classifier: Classifier,
        gate: Gate,
        metrics: Metrics,
        log: Logger,
        access_log: AccessLog | None,
        updates: ModelUpdates,
        look: Callable[[], Awaitable[None]] | None,
    ) -> None:
        """`look`: has all workers look for models, raising ModelRejectedError; None: the RPC for it is closed."""
        self._classifier = classifier
        self._metrics = metrics
        self._updates = updates
        self._look = look
        self._rpcs = RpcObserver(SERVICE, gate, metrics, log, access_log)
        self._answered, self._failed = Tally(), Tally()  # ModelInfer calls, for ModelStatistics

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers the methods."""
        answers: dict[str, Handler[bytes, bytes]] = {
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
        if self._look:
            answers["RepositoryModelLoad"] = self._repository_model_load
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            method: grpc.unary_unary_rpc_method_handler(
                self._rpcs.observed("unary", method, answer, _SCOPES.get(method))
            )
            for method, answer in answers.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def _model_infer(self, request: bytes, call: Call) -> bytes:
        begun, outcome = time.perf_counter_ns(), self._failed
        try:
            model = self._model()
            asked = parse_infer(request, model)
            predictions = await self._predictions(asked, call)
            response = encode_and_tell(
                call.context, predictions, lambda answer: infer_response(asked, model.name, answer)
            )
            outcome = self._answered
            return response
        finally:
            outcome.add(time.perf_counter_ns() - begun)

    async def _predictions(self, asked: InferRequest, call: Call) -> Predictions:
        until = min(deadline(call.context), time.monotonic() + asked.head.timeout_seconds)
        version = int(asked.head.model_version or 0)
        images = asked.images
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
        asked = parse_message(protocol.ModelReadyRequest, request)
        model = self._model_if_ready()
        if model is not None:
            model.check(asked.name, asked.version)
        return protocol.ModelReadyResponse(ready=model is not None).SerializeToString()

    async def _server_metadata(self, request: bytes, _: Call) -> bytes:
        parse_message(protocol.ServerMetadataRequest, request)
        return server_metadata().SerializeToString()

    async def _model_metadata(self, request: bytes, _: Call) -> bytes:
        asked = parse_message(protocol.ModelMetadataRequest, request)
        return model_metadata(self._checked(asked.name, asked.version)).SerializeToString()

    async def _model_config(self, request: bytes, _: Call) -> bytes:
        asked = parse_message(protocol.ModelConfigRequest, request)
        return model_config(self._checked(asked.name, asked.version)).SerializeToString()

    async def _model_statistics(self, request: bytes, _: Call) -> bytes:
        asked = parse_message(protocol.ModelStatisticsRequest, request)
        model = self._checked(asked.name, asked.version) if asked.name else self._model()
        return model_statistics(model, self._metrics, self._answered, self._failed).SerializeToString()

    async def _repository_index(self, request: bytes, _: Call) -> bytes:
        parse_message(protocol.RepositoryIndexRequest, request)
        refused = {version: each.reason for version, each in self._updates.refused.items()}
        return repository_index(self._model_if_ready(), refused).SerializeToString()

    async def _repository_model_load(self, request: bytes, _: Call) -> bytes:
        asked = parse_message(protocol.RepositoryModelLoadRequest, request)
        self._checked(asked.model_name, "")
        if self._look is None:
            raise RuntimeError("a closed RPC was called: this is a bug")
        try:
            await self._look()
        except ModelRejectedError as error:
            raise VersionRefusedError(str(error)) from error
        return protocol.RepositoryModelLoadResponse().SerializeToString()

    def _model(self) -> ServedModel:
        version, classifier = self._classifier.served().version, self._classifier
        return ServedModel(version.name, version.version, classifier.max_images_per_request, classifier.versions)

    def _model_if_ready(self) -> ServedModel | None:
        try:
            return self._model()
        except NotReadyError:
            return None

    def _checked(self, name: str, version: str) -> ServedModel:
        model = self._model()
        model.check(name, version)
        return model
