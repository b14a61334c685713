"""Puts the parts together, starts them in order and drains them in reverse: the only place that constructs things."""

import asyncio
import platform
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import grpc
from aiohttp import web
from prometheus_client import CollectorRegistry

from serving import __version__, grpc_face, open_inference_face
from serving.admission import Admission
from serving.batcher import Batcher
from serving.classifier import Classifier, Served
from serving.config import Config
from serving.cpu_quota import usable_cpus
from serving.errors import ConfigError
from serving.grpc_face import GrpcFace
from serving.grpc_listeners import GrpcListeners
from serving.health import Health
from serving.http_face import http_application
from serving.image.decode import ImageLimits
from serving.logs import Logger
from serving.metrics import Metrics
from serving.model_repository import ModelRepository, ModelVersion
from serving.onnx_model import RUNTIME_VERSION, OnnxModel, available_providers
from serving.open_inference_face import OpenInferenceFace
from serving.reflection import add_reflection

FLUSH_SECONDS = 1.0  # for answers already computed to leave, once nothing is in flight


class Server:
    """One serving process: `async with Server(config, log) as server:` serves until the block ends, then drains."""

    def __init__(self, config: Config, log: Logger) -> None:
        self._config = config
        self._log = log
        self.metrics = Metrics(CollectorRegistry())
        self._health = Health([grpc_face.SERVICE, open_inference_face.SERVICE], self.metrics)
        self._admission = Admission(config.queue_capacity_images)
        self._decoders = ThreadPoolExecutor(config.decode_threads, thread_name_prefix="decode")
        self._classifier = Classifier(
            self._admission,
            ImageLimits(config.max_image_bytes, config.max_image_pixels),
            config.max_images_per_request,
            self._decoders,
            self.metrics,
        )
        parts = (self._classifier, self.metrics, log, config.access_log)
        self._faces = (GrpcFace(*parts), OpenInferenceFace(*parts))
        self._batcher: Batcher | None = None
        self._http: web.AppRunner | None = None
        self._grpc = GrpcListeners(self._register, config.max_request_bytes)
        self.grpc_port = 0  # known once started
        self.http_port = 0

    @property
    def images_in_flight(self) -> int:
        """Images admitted and not yet answered."""
        return self._admission.held

    async def __aenter__(self) -> "Server":
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._drain()
        await self._stop()

    async def _start(self) -> None:
        """HTTP first, so that liveness and metrics can be seen while the model loads; traffic last."""
        await self._start_http()
        await self._start_grpc()
        version = await asyncio.to_thread(self._load)  # liveness is answered meanwhile
        self._batcher = Batcher(
            version.model.run, self.metrics, self._config.max_batch_size, self._config.max_queue_delay_seconds
        )
        self._batcher.start()
        self._classifier.serve(Served(version, self._batcher))
        await self._health.set_ready(True)

    async def _drain(self) -> None:
        """Tells everyone to go elsewhere, refuses new work, and waits for the admitted."""
        self._log.info("draining", images_in_flight=self.images_in_flight)
        await self._health.set_ready(False)
        self._classifier.refuse("the server is shutting down")
        try:
            async with asyncio.timeout(self._config.drain_grace_seconds):
                await self._admission.wait_until_empty()
        except TimeoutError:
            self._log.warning("drain_incomplete", images_in_flight=self.images_in_flight)

    async def _stop(self) -> None:
        """Ends what was started, traffic first, metrics last."""
        await self._grpc.stop(FLUSH_SECONDS)
        if self._batcher:
            await self._batcher.close()
        self._decoders.shutdown(wait=False, cancel_futures=True)
        if self._http:
            await self._http.cleanup()
        self._log.info("stopped")

    async def _start_http(self) -> None:
        self._http = web.AppRunner(http_application(self.metrics, self._health), access_log=None)
        await self._http.setup()
        site = web.TCPSite(self._http, self._config.host, self._config.http_port)
        try:
            await site.start()
        except OSError as error:
            raise ConfigError(
                f"http_port {self._config.http_port} on {self._config.host}: {error.strerror}; another: --http-port"
            ) from error
        self.http_port = self._http.addresses[0][1]

    async def _start_grpc(self) -> None:
        host, port = self._config.host, self._config.grpc_port
        await self._health.set_ready(False)  # before anybody can ask
        try:
            self.grpc_port = await self._grpc.start(host, port)
        except OSError as error:
            raise ConfigError(f"grpc_port {port} on {host}: {error.strerror}; another: --grpc-port") from error

    def _register(self, listener: grpc.aio.Server) -> None:
        """Gives a listener everything that is served."""
        for face in self._faces:
            face.add_to(listener)
        self._health.add_to(listener)
        if self._config.reflection:
            add_reflection(listener)

    def _load(self) -> ModelVersion:
        threads = self._config.inference_threads or usable_cpus()
        loaded = ModelRepository(self._config.model_repository, self._config.model_name).load(
            self._config.model_version,
            lambda graph: OnnxModel(graph, self._config.device, threads),
            self._config.max_batch_size,
        )
        device = loaded.model.device
        if self._config.device == "auto" and device == "cpu":
            self._log.info("cpu_chosen", why="CUDA is not available", providers=available_providers())
        self._log.info("model_ready", version=loaded.version, device=device, threads=threads, sha256=loaded.sha256)
        version = str(loaded.version)
        self.metrics.model_info.info(
            {"name": loaded.name, "version": version, "sha256": loaded.sha256, "device": device}
        )
        python, runtime = platform.python_version(), RUNTIME_VERSION
        self.metrics.build_info.info(
            {"version": __version__, "python": python, "onnxruntime": runtime, "grpcio": grpc.__version__}
        )
        return loaded
