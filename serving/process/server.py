"""One serving process: assembles its parts, starts them in order and drains them in reverse."""

import asyncio
import os
import platform
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType

import grpc
from prometheus_client import CollectorRegistry, Metric

from serving import __version__
from serving.api.access_log import AccessLog
from serving.api.client_certificates import CertificateAuthenticator
from serving.api.digits import service as digits
from serving.api.digits.http import DigitEndpoints
from serving.api.digits.operations import DigitOperations
from serving.api.digits.service import DigitService
from serving.api.engine.engines import choose_engine, make_engine
from serving.api.health import Health
from serving.api.http.application import Route
from serving.api.http.bodies import Bodies
from serving.api.http.calls import HttpCalls
from serving.api.http.page import page_routes
from serving.api.http.rpc_web import WebRpcs
from serving.api.open_inference import service as open_inference
from serving.api.open_inference.http import OpenInferenceEndpoints
from serving.api.open_inference.operations import OpenInferenceOperations
from serving.api.open_inference.service import OpenInferenceService
from serving.api.open_inference.totals import InferTotals
from serving.api.reflection import reflection_methods, services
from serving.api.tls import TlsCredentials
from serving.auth.authenticator import ApiKeyAuthenticator, Authenticator, OpenAuthenticator
from serving.auth.rate_limits import RateLimits
from serving.config import Config
from serving.core.admission import Admission
from serving.core.classifier import Classifier
from serving.core.decoders import Decoders
from serving.core.drift import DriftObserver
from serving.core.explainer import Explainer
from serving.core.picture_decoder import PictureDecoder
from serving.core.reader import Reader
from serving.core.registry import Registry
from serving.drift.counts import DriftCounts
from serving.errors import ConfigError
from serving.image.header import most_units
from serving.image.picture import ImageLimits
from serving.logging import Logger
from serving.metrics.merge import values
from serving.metrics.metrics import Metrics
from serving.models.column_network import ColumnNetwork
from serving.models.onnx_session import RUNTIME_VERSION
from serving.process.candidates.parts import make_canary, make_shadow
from serving.process.model_loading import make_reloader
from serving.process.recycling import held_bytes
from serving.process.store_parts import StoreParts
from serving.process.tracing import make_tracer
from serving.process.trusted_files import NOTHING_KNOWN, LastGood, TrustedFiles
from serving.setting_values import is_loopback, is_unix
from serving.store.memory import RecentPlace
from serving.version_policy import VersionPolicy

FLUSH_SECONDS = 1.0  # for finished responses to leave, once nothing is in flight
TRACES_SECONDS = 2.0  # for the last traces to be sent


class Server:
    """One of `config.workers` processes that answer calls and share the port and the processors.

    `async with Server(config, log, port):` answers calls on the reserved port until the block ends, then drains.
    """

    def __init__(
        self,
        config: Config,
        log: Logger,
        grpc_port: int,
        rates: RateLimits | None = None,
        reload_others: Callable[[], Awaitable[None]] | None = None,
        collect_service: Callable[[], Awaitable[Sequence[Metric]]] | None = None,
        last_good: LastGood = NOTHING_KNOWN,
        recent: RecentPlace | None = None,
        shadow: int | None = None,
        canary_returned: Callable[[], None] = lambda: None,
    ) -> None:
        """`rates`: rate limits shared by all workers. `reload_others`: reloads models in the other workers.
        `collect_service`: returns the metrics of all workers. `last_good`: contents of the files of keys and of TLS,
        used where the files cannot be. `recent`: memory of all workers for recent images; None: its own.
        `shadow`: descriptor of the socket to the shadow process, where there is one. `canary_returned`: ends the canary
        in the other workers.

        Raises ConfigError for a file of API keys or of TLS that cannot be used.
        """
        self._config = config
        self._log = log
        self._grpc_port = grpc_port
        self._reload_others = reload_others
        self._is_drained = False
        self._trusted = TrustedFiles(config, log, last_good)
        self.metrics = Metrics(CollectorRegistry())
        self._registry = Registry()
        self._admission = Admission(config.queue_capacity_images)
        limits = ImageLimits(config.max_image_bytes, config.max_image_pixels)
        self._decoders = Decoders(config.decode_threads, most_units(limits))
        self._drift = (
            DriftObserver(DriftCounts(self.metrics.registry), self._registry.default_model, config.drift_time_share)
            if config.drift_time_share
            else None
        )
        rates = rates or RateLimits()
        self._shadow = make_shadow(config, shadow, self._registry, self.metrics)
        self._canary = make_canary(config, self._registry, self.metrics, log, canary_returned)
        self._store = StoreParts(config, recent, rates, self.metrics, log, self._shadow)
        classifier = Classifier(
            self._registry,
            self._admission,
            rates,
            PictureDecoder(limits, self._decoders, self.metrics, self._drift),
            config.max_images_per_request,
            self.metrics,
            self._store.recorder,
            self._shadow,
            self._canary,
        )
        self._explainer = Explainer(self._registry, classifier)
        self._reloader = make_reloader(config, self._registry, self.metrics, log, self._drift, self._canary)
        self._health = Health([digits.SERVICE, open_inference.SERVICE], self.metrics)
        # Without keys nobody is known: administration then needs a server that only this machine can reach.
        is_admin_open = config.admin and is_loopback(config.host)
        authenticator: Authenticator = (
            ApiKeyAuthenticator(self._trusted.keys) if self._trusted.keys else OpenAuthenticator(is_admin_open)
        )
        open_methods = [*self._health.methods(), *(reflection_methods() if config.reflection else ())]
        if config.tls_client_ca:
            certificates = authenticator = CertificateAuthenticator(authenticator)
            open_methods = list(map(certificates.guard, open_methods))
        self._access_log = AccessLog(log, config.log_format) if config.access_log else None
        self._tracer = make_tracer(config, log)
        observed = (authenticator, self.metrics, log, self._access_log, self._store.recorder is not None, self._tracer)
        operations = DigitOperations(classifier, self._explainer, self._store.feedback)
        reader = Reader(self._registry, classifier, ColumnNetwork(), self._store.recorder)
        reload = self._reload_everywhere if config.admin else None
        collect = collect_service or self.collect

        async def collect_values() -> dict[tuple[str, ...], float]:
            return values(await collect())

        totals = InferTotals(self.metrics)
        inference = OpenInferenceOperations(classifier, self._registry, totals, collect_values, reload)
        methods = [
            *DigitService(operations, classifier, reader, self._registry, *observed).methods(),
            *OpenInferenceService(inference, classifier, *observed).methods(),
            *open_methods,
        ]
        longest, is_closed = config.max_request_bytes, bool(config.tls_certificate)
        bodies = Bodies(longest)
        calls = HttpCalls(*observed, bodies=bodies, is_closed=is_closed)
        self._http_routes = [
            *DigitEndpoints(classifier, operations, reader, calls, longest).routes(),
            *OpenInferenceEndpoints(inference, calls, longest).routes(),
            *WebRpcs(methods, services(), bodies, longest, is_closed).routes(),
            *page_routes(),
        ]
        self._engine, why = choose_engine(config.grpc_engine, asyncio.get_running_loop())
        if why:
            log.warning("aio_chosen", why=why)
        self._grpc = make_engine(
            self._engine,
            methods,
            config.workers or 1,
            config.max_request_bytes,
            config.max_connection_age_seconds,
            log,
            is_shared=not is_unix(config.host),
        )
        self.metrics.queue_depth.set_function(self._registry.queued_images)
        self.metrics.memory.set_function(lambda: held_bytes(os.getpid()))

    @property
    def is_ready(self) -> bool:
        """True while a warm model answers calls."""
        return self._health.is_ready

    @property
    def versions(self) -> tuple[int, ...]:
        """Model versions currently served, ascending."""
        return self._registry.versions

    @property
    def images_in_flight(self) -> int:
        """Images admitted and not yet answered."""
        return self._admission.held

    def stuck_seconds(self) -> float:
        """Returns for how long an inference has been running; 0: none is."""
        since = self._registry.running_since()
        return 0.0 if since is None else time.monotonic() - since

    def follow(self, policy: VersionPolicy | None) -> None:
        """Serves the versions of `policy` from the next reload on; None: as config.pbtxt says."""
        self._reloader.policy = policy

    def end_canary(self) -> None:
        """Has the canary answer nobody any more."""
        if self._canary:
            self._canary.end()

    async def reload_models(self) -> None:
        """Serves new versions in the repository. Raises ModelRejectedError for a version that is refused."""
        await self._reloader.reload()

    def http_routes(self) -> list[Route]:
        """Returns the routes for an HTTP server, which answers what is the whole service's itself."""
        return self._http_routes

    async def collect(self) -> list[Metric]:
        """Returns the metrics of this process."""
        return list(self.metrics.registry.collect())

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

    async def drain(self) -> None:
        """Becomes not ready, refuses new work, and waits for what was admitted. A second call does nothing.

        The end of the block drains as well. Call it before, where a watchdog should watch the drain.
        """
        if self._is_drained:
            return
        self._is_drained = True
        self._log.info("draining", images_in_flight=self.images_in_flight)
        self._health.set_ready(False)
        self._registry.close("the server is shutting down")
        try:
            async with asyncio.timeout(self._config.drain_grace_seconds):
                await self._admission.wait_until_empty()
                await self._explainer.wait_until_empty()
        except TimeoutError:
            self._log.warning("drain_incomplete", images_in_flight=self.images_in_flight)
        await self._grpc.stop(FLUSH_SECONDS)  # here, so that nothing is counted after the drain

    async def _start(self) -> None:
        """Loads the model, then listens: the kernel must not spread connections to a worker that cannot answer."""
        self._health.set_ready(False)  # so that the metric exists from the start
        self._store.start()
        if self._tracer:
            self._tracer.start()
        self.metrics.build_info.info(
            {
                "version": __version__,
                "revision": self._config.build_revision or "unknown",
                "python": platform.python_version(),
                "onnxruntime": RUNTIME_VERSION,
                "grpcio": grpc.__version__,
                "grpc_engine": self._engine,
            }
        )
        await self._reloader.start(self._config.model_poll_seconds)  # HTTP answers liveness meanwhile
        if self._drift is not None:
            self._drift.follow()  # so that its metrics are there before the first call
        await self._start_grpc()
        self._health.set_ready(True)

    async def _start_grpc(self) -> None:
        config, port = self._config, self._grpc_port
        tls = TlsCredentials(self._trusted.tls) if self._trusted.tls else None
        try:
            await self._grpc.start(config.host, port, tls)
        except OSError as error:
            raise ConfigError(f"grpc_port {port} on {config.host}: {error.strerror}; another: --grpc-port") from error

    async def _stop(self) -> None:
        """Stops what was started: traffic first, then the model, then the decoders."""
        await self._grpc.stop(FLUSH_SECONDS)
        if self._access_log:
            self._access_log.write()
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._reloader.close()
        except TimeoutError:  # an inference or a load that hangs: its grace is over
            self._log.warning("models_not_closed")
        await self._store.close()
        for part in (self._shadow, self._canary):
            if part:
                part.close()
        self._explainer.close()
        self._decoders.close()
        if self._tracer:
            await self._tracer.close(TRACES_SECONDS)
        self._log.info("stopped")

    async def _reload_everywhere(self) -> None:
        """Reloads models in all workers."""
        if self._reload_others:
            await self._reload_others()
        await self.reload_models()
