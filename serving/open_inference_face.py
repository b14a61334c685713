"""The Open Inference Protocol, version 2, over gRPC: what KServe's, MLServer's and Triton's clients speak.

The same classifier as mnist.v1, on the same port. Handlers take and give bytes, as in grpc_face.
"""

import time

import grpc

from protos.inference import open_inference_pb2 as protocol
from serving import __version__
from serving.classifier import Classifier, Predictions
from serving.errors import NotReadyError
from serving.logs import Logger
from serving.metrics import Metrics
from serving.observed_rpc import Context, Handler, RpcObserver, deadline
from serving.onnx_model import INPUT, PIXELS
from serving.open_inference_answer import OUTPUTS
from serving.open_inference_codec import InferRequest, ServedModel, infer_response, parse_infer
from serving.wire import parse_message

SERVICE = protocol.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
SERVER_NAME = "mnist-digits"
EXTENSIONS = ["classification", "parameters"]
PLATFORM = "onnxruntime_onnx"


class OpenInferenceFace:
    """The service inference.GRPCInferenceService over one classifier."""

    def __init__(self, classifier: Classifier, metrics: Metrics, log: Logger, access_log: bool) -> None:
        self._classifier = classifier
        self._rpcs = RpcObserver(SERVICE, metrics, log, access_log)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Registers the methods."""
        answers: dict[str, Handler[bytes, bytes]] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelInfer": self._model_infer,
        }
        handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
            method: grpc.unary_unary_rpc_method_handler(self._rpcs.observed("unary", method, answer))
            for method, answer in answers.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))

    async def _model_infer(self, request: bytes, context: Context) -> bytes:
        model = self._model()
        asked = parse_infer(request, model)
        return infer_response(asked, model.name, await self._predictions(asked, context))

    async def _predictions(self, asked: InferRequest, context: Context) -> Predictions:
        until = min(deadline(context), time.monotonic() + asked.head.timeout_seconds)
        version = int(asked.head.model_version or 0)
        if isinstance(asked.images, bytes):
            return await self._classifier.classify_joined(asked.images, version, until)
        return await self._classifier.classify(asked.images, version, until)

    async def _server_live(self, request: bytes, _: Context) -> bytes:
        parse_message(protocol.ServerLiveRequest, request)
        return protocol.ServerLiveResponse(live=True).SerializeToString()

    async def _server_ready(self, request: bytes, _: Context) -> bytes:
        parse_message(protocol.ServerReadyRequest, request)
        return protocol.ServerReadyResponse(ready=self._is_ready()).SerializeToString()

    async def _model_ready(self, request: bytes, _: Context) -> bytes:
        asked = parse_message(protocol.ModelReadyRequest, request)
        is_ready = self._is_ready()
        if is_ready:
            self._model().check(asked.name, asked.version)
        return protocol.ModelReadyResponse(ready=is_ready).SerializeToString()

    async def _server_metadata(self, request: bytes, _: Context) -> bytes:
        parse_message(protocol.ServerMetadataRequest, request)
        return protocol.ServerMetadataResponse(
            name=SERVER_NAME, version=__version__, extensions=EXTENSIONS
        ).SerializeToString()

    async def _model_metadata(self, request: bytes, _: Context) -> bytes:
        asked = parse_message(protocol.ModelMetadataRequest, request)
        model = self._model()
        model.check(asked.name, asked.version)
        tensor = protocol.ModelMetadataResponse.TensorMetadata
        return protocol.ModelMetadataResponse(
            name=model.name,
            versions=[str(model.version)],
            platform=PLATFORM,
            inputs=[tensor(name=INPUT[0], datatype="UINT8", shape=[-1, PIXELS])],
            outputs=[
                tensor(name=name, datatype=output.datatype, shape=[-1, *output.row_shape])
                for name, output in OUTPUTS.items()
            ],
        ).SerializeToString()

    def _model(self) -> ServedModel:
        version = self._classifier.served.version
        return ServedModel(version.name, version.version, self._classifier.max_images_per_request)

    def _is_ready(self) -> bool:
        try:
            return bool(self._classifier.served)
        except NotReadyError:
            return False
