"""Puts the parts of one serving process together, starts them in order and drains them in reverse."""

import asyncio
import platform
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType

import grpc
from prometheus_client import CollectorRegistry, Metric

from serving import __version__
from serving.api.access_log import AccessLog
from serving.api.digits import service as grpc_face
from serving.api.digits.operations import DirectFace
from serving.api.digits.service import GrpcFace
from serving.api.forwarding import Answer, Question
from serving.api.grpc_server import LISTENERS, GrpcListeners
from serving.api.health import Health
from serving.api.open_inference import service as open_inference_face
from serving.api.open_inference.service import OpenInferenceFace
from serving.api.reflection import add_reflection
from serving.api.tls import TlsCredentials, TlsFiles
from serving.auth.authenticator import KeyGate, OpenGate
from serving.auth.rate_limits import RateLimits
from serving.config import DEFAULT_BATCH_SIZE, Config, is_loopback
from serving.core.admission import Admission
from serving.core.batcher import Batcher
from serving.core.classifier import Classifier, Served
from serving.core.explainer import Explainer
from serving.core.model_reloader import ModelUpdates
from serving.core.runner import LoopRunner, ThreadRunner
from serving.cpu import usable_cpus
from serving.errors import ConfigError
from serving.image.picture import ImageLimits
from serving.logging import Logger
from serving.metrics.metrics import Metrics
from serving.models.onnx_session import RUNTIME_VERSION, OnnxModel, available_providers
from serving.models.repository import ModelRepository, ModelVersion
from serving.version_policy import VersionPolicy

FLUSH_SECONDS = 1.0  # for answers already computed to leave, once nothing is in flight
# With no call begun for so long, gRPC holds none that it has received and not handed over: stopping would cancel them.
QUIET_SECONDS = 0.05
LONGEST_UNQUIET_SECONDS = 1.0  # callers that come again and again do not keep it up


class Server:
    """`async with Server(config, log, port):` answers calls on the reserved port until the block ends, then drains.

    It is one of `config.workers` that share the port, the processors and nothing else.
    """

    def __init__(
        self,
        config: Config,
        log: Logger,
        grpc_port: int,
        rates: RateLimits | None = None,
        tell_others_to_look: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`rates`: those of all workers. `tell_others_to_look`: for models, when a caller has this one look.

        Raises ConfigError for a file of keys that cannot be used.
        """
        self._tell_others_to_look = tell_others_to_look
        self._config = config
        self._log = log
        self._workers = config.workers or 1
        self._largest_batch = config.max_batch_size or DEFAULT_BATCH_SIZE
        self.metrics = Metrics(CollectorRegistry())
        self._health = Health([grpc_face.SERVICE, open_inference_face.SERVICE], self.metrics)
        self._admission = Admission(config.queue_capacity_images)
        self._decoders = ThreadPoolExecutor(config.decode_threads, thread_name_prefix="decode")
        self._classifier = Classifier(
            self._admission,
            rates or RateLimits(),
            ImageLimits(config.max_image_bytes, config.max_image_pixels),
            config.max_images_per_request,
            self._decoders,
            self.metrics,
        )
        self._explainer = Explainer(self._classifier)
        self._access_log = AccessLog(log, config.log_format) if config.access_log else None
        self.metrics.queue_depth.set_function(self._classifier.queued_images)
        self.metrics.tasks.set_function(_tasks)
        self._updates = self._model_updates()
        gate = KeyGate(config.api_keys, log) if config.api_keys else OpenGate(config.admin and is_loopback(config.host))
        parts = (self._classifier, gate, self.metrics, log, self._access_log)
        self._faces = (
            GrpcFace(*parts, self._explainer, self._updates),
            OpenInferenceFace(*parts, self._updates, self._look_with_others if config.admin else None),
        )
        self._direct_face = DirectFace(*parts, self._explainer)
        self._grpc_port = grpc_port
        self._is_drained = False
        self._grpc = GrpcListeners(
            self._register,
            max(2, LISTENERS // self._workers),
            config.max_request_bytes,
            config.max_connection_age_seconds,
            log,
        )

    @property
    def is_ready(self) -> bool:
        """Whether a warm model answers calls."""
        return self._health.is_ready

    @property
    def versions(self) -> tuple[int, ...]:
        """Of the model, that answer calls."""
        return self._classifier.versions

    def stuck_seconds(self) -> float:
        """For how long an inference has been running; 0: none is."""
        since = self._classifier.stuck_since()
        return 0.0 if since is None else time.monotonic() - since

    def follow(self, policy: VersionPolicy | None) -> None:
        """From the next look on the versions of `policy` are served; None: as the repository says."""
        self._updates.policy = policy

    async def look_at_models(self) -> None:
        """Serves what is new in the repository. Raises ModelRejectedError for what is refused there."""
        await self._updates.look()

    async def _look_with_others(self) -> None:
        """As look_at_models, in all workers."""
        if self._tell_others_to_look:
            await self._tell_others_to_look()
        await self.look_at_models()

    async def answer(self, question: Question) -> Answer:
        """The answer to a call that came by HTTP."""
        return await self._direct_face.answer(question)

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
        await self.drain()
        await self._stop()

    async def _start(self) -> None:
        """Listens when the model is warm, and not before: connections go to the workers that can answer."""
        self._health.set_ready(False)  # before anybody can ask
        self._tell_build()
        await self._updates.start(self._config.model_poll_seconds)  # liveness is answered meanwhile
        await self._start_grpc()
        self._health.set_ready(True)

    async def drain(self) -> None:
        """Tells everyone to go elsewhere, refuses new work, and waits for the admitted.

        The end of the block does it as well. It is here for whoever watches the drain (serving.process.watchdog).
        """
        if self._is_drained:
            return
        self._is_drained = True
        self._log.info("draining", images_in_flight=self.images_in_flight)
        self._health.set_ready(False)
        self._classifier.refuse("the server is shutting down")
        try:
            async with asyncio.timeout(self._config.drain_grace_seconds):
                await self._admission.wait_until_empty()
                await self._explainer.wait_until_empty()
        except TimeoutError:
            self._log.warning("drain_incomplete", images_in_flight=self.images_in_flight)
        with suppress(TimeoutError):
            async with asyncio.timeout(LONGEST_UNQUIET_SECONDS):
                await self._until_quiet()

    async def _until_quiet(self) -> None:
        """Returns when everybody who has asked was told to go elsewhere."""
        begun, before = self.metrics.started.total, -1
        while begun != before:
            await asyncio.sleep(QUIET_SECONDS)
            begun, before = self.metrics.started.total, begun

    async def _stop(self) -> None:
        """Ends what was started, traffic first."""
        await self._grpc.stop(FLUSH_SECONDS)
        if self._access_log:
            self._access_log.write()
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._updates.close()
        except TimeoutError:  # an inference that hangs, or a load: the grace for it is over
            self._log.warning("models_not_closed")
        self._explainer.close()
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._log.info("stopped")

    async def _start_grpc(self) -> None:
        config, port = self._config, self._grpc_port
        tls = None
        if config.tls_certificate and config.tls_key:
            files = TlsFiles(config.tls_certificate, config.tls_key, config.tls_client_ca)
            tls = TlsCredentials(files, self._log)
        host = config.host
        try:
            await self._grpc.start(host, port, tls)
        except OSError as error:
            raise ConfigError(f"grpc_port {port} on {host}: {error.strerror}; another: --grpc-port") from error

    def _register(self, listener: grpc.aio.Server) -> None:
        """Gives a listener everything that is served."""
        for face in self._faces:
            face.add_to(listener)
        self._health.add_to(listener)
        if self._config.reflection:
            add_reflection(listener)

    def _model_updates(self) -> ModelUpdates:
        config = self._config
        repository = ModelRepository(config.model_repository, config.model_name, config.model_public_key)
        threads = config.inference_threads or max(1, usable_cpus() // self._workers)

        def load(version: int) -> ModelVersion:
            loaded = repository.load(
                version,
                lambda graph: OnnxModel(graph, config.device, threads),
                self._largest_batch,
                config.precision,
            )
            device = loaded.model.device
            if config.device == "auto" and device == "cpu":
                self._log.info("cpu_chosen", why="CUDA is not available", providers=available_providers())
            self._log.info("model_ready", version=loaded.version, device=device, threads=threads, sha256=loaded.sha256)
            return loaded

        return ModelUpdates(
            repository,
            config.model_version,
            load,
            self._served,
            config.max_slowdown,
            self._classifier,
            self.metrics,
            self._log,
        )

    def _served(self, version: ModelVersion) -> Served:
        """The version with a batcher of its own, started."""
        runner = LoopRunner(version.run) if version.model.computes_on_caller else ThreadRunner(version.run)
        delay = self._config.max_queue_delay_seconds
        batcher = Batcher(runner, self.metrics, self._largest_batch, delay, version.seconds_per_image)
        batcher.start()
        told = {
            "precision": version.precision,
            "threads": str(version.model.threads),
            "max_batch_size": str(self._largest_batch),
            "tuned": str(self._config.tune).lower(),
        }
        self.metrics.inference_info.info(told)
        return Served(version, batcher, self._config.tune)

    def _tell_build(self) -> None:
        python, runtime = platform.python_version(), RUNTIME_VERSION
        self.metrics.build_info.info(
            {"version": __version__, "python": python, "onnxruntime": runtime, "grpcio": grpc.__version__}
        )


def _tasks() -> int:
    """Of the running event loop: 0 where none is, as when somebody reads the metrics from outside."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        return 0
