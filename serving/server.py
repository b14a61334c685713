"""Puts the parts of one serving process together, starts them in order and drains them in reverse."""

import asyncio
import platform
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import grpc
from prometheus_client import CollectorRegistry, Metric

from serving import __version__, grpc_face, open_inference_face
from serving.access_log import AccessLog
from serving.admission import Admission
from serving.batcher import Batcher
from serving.classifier import Classifier, Served
from serving.config import DEFAULT_BATCH_SIZE, Config
from serving.cpu_quota import usable_cpus
from serving.errors import ConfigError
from serving.grpc_face import GrpcFace
from serving.grpc_listeners import LISTENERS, GrpcListeners
from serving.health import Health
from serving.image.picture import ImageLimits
from serving.inference_runner import LoopRunner, ThreadRunner
from serving.logs import Logger
from serving.metrics import Metrics
from serving.model_repository import ModelRepository, ModelVersion
from serving.onnx_model import RUNTIME_VERSION, OnnxModel, available_providers
from serving.open_inference_face import OpenInferenceFace
from serving.reflection import add_reflection

FLUSH_SECONDS = 1.0  # for answers already computed to leave, once nothing is in flight


class Server:
    """`async with Server(config, log, port):` answers calls on the reserved port until the block ends, then drains.

    It is one of `config.workers` that share the port, the processors and nothing else.
    """

    def __init__(self, config: Config, log: Logger, grpc_port: int) -> None:
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
        self._access_log = AccessLog(log, config.log_format) if config.access_log else None
        parts = (self._classifier, self.metrics, log, self._access_log)
        self._faces = (GrpcFace(*parts), OpenInferenceFace(*parts))
        self._batcher: Batcher | None = None
        self._grpc_port = grpc_port
        self._workers = config.workers or 1
        self._largest_batch = config.max_batch_size or DEFAULT_BATCH_SIZE
        self._grpc = GrpcListeners(
            self._register,
            max(2, LISTENERS // self._workers),
            config.max_request_bytes,
            config.max_connection_age_seconds,
        )

    @property
    def is_ready(self) -> bool:
        """Whether a warm model answers calls."""
        return self._health.is_ready

    @property
    def version(self) -> int:
        """Of the model that is served. Raises NotReadyError while none is."""
        return self._classifier.served.version.version

    async def collect(self) -> list[Metric]:
        """The metrics as they are now."""
        return list(self.metrics.registry.collect())

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
        """Listens when the model is warm, and not before: connections go to the workers that can answer."""
        await self._health.set_ready(False)  # before anybody can ask
        version = await asyncio.to_thread(self._load)  # liveness is answered meanwhile
        runner = LoopRunner(version.run) if version.model.computes_on_caller else ThreadRunner(version.run)
        self._batcher = Batcher(runner, self.metrics, self._largest_batch, self._config.max_queue_delay_seconds)
        self._batcher.start()
        self._classifier.serve(Served(version, self._batcher, self._config.tune))
        await self._start_grpc()
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
        """Ends what was started, traffic first."""
        await self._grpc.stop(FLUSH_SECONDS)
        if self._access_log:
            self._access_log.write()
        if self._batcher:
            await self._batcher.close()
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._log.info("stopped")

    async def _start_grpc(self) -> None:
        host, port = self._config.host, self._grpc_port
        try:
            await self._grpc.start(host, port)
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
        threads = self._config.inference_threads or max(1, usable_cpus() // self._workers)
        loaded = ModelRepository(self._config.model_repository, self._config.model_name).load(
            self._config.model_version,
            lambda graph: OnnxModel(graph, self._config.device, threads),
            self._largest_batch,
            self._config.precision,
        )
        device = loaded.model.device
        if self._config.device == "auto" and device == "cpu":
            self._log.info("cpu_chosen", why="CUDA is not available", providers=available_providers())
        self._log.info("model_ready", version=loaded.version, device=device, threads=threads, sha256=loaded.sha256)
        version = str(loaded.version)
        self.metrics.model_info.info(
            {"name": loaded.name, "version": version, "sha256": loaded.sha256, "device": device}
        )
        self.metrics.inference_info.info(
            {
                "precision": loaded.precision,
                "threads": str(threads),
                "max_batch_size": str(self._largest_batch),
                "tuned": str(self._config.tune).lower(),
            }
        )
        python, runtime = platform.python_version(), RUNTIME_VERSION
        self.metrics.build_info.info(
            {"version": __version__, "python": python, "onnxruntime": runtime, "grpcio": grpc.__version__}
        )
        return loaded
