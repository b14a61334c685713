"""A service in one process: the gRPC server and the HTTP server together."""

import time
from contextlib import AsyncExitStack, closing, suppress
from types import TracebackType

from prometheus_client import Metric

from serving.api.http.server import HttpServer
from serving.api.listening_port import ReservedPorts
from serving.config import Config
from serving.drift.windows import DriftWindows
from serving.errors import ModelRejectedError
from serving.logging import Logger
from serving.process.candidates.shadow_process import ShadowProcess
from serving.process.heap import heap_trimmed_regularly
from serving.process.server import Server
from serving.process.watchdog import end_if_stuck, watchdog


class Standalone:
    """A service in one process. `async with Standalone(config, log):` serves until the block ends, then drains."""

    def __init__(
        self, config: Config, log: Logger, ports: ReservedPorts | None = None, *, ends_process: bool = False
    ) -> None:
        """`ports`: those to serve on, which the caller closes; None: reserves those of the configuration itself.

        `ends_process`: an inference that hangs ends the process, so that an orchestrator starts another.
        """
        self._ports = ports
        self._ends_process = ends_process
        self._config = config
        self._log = log
        self._drift = DriftWindows()
        self._shadow = ShadowProcess(config, log)
        self._stack = AsyncExitStack()  # what has been started, to be ended in reverse order
        self.grpc_port = 0  # known once started
        self.http_port = 0
        self.metrics_port = 0

    async def __aenter__(self) -> "Standalone":
        """Starts HTTP first, so that liveness and metrics answer while the model loads. HTTP also stops last."""
        config = self._config
        async with AsyncExitStack() as stack:  # ends what has started if a later step fails
            ports = self._ports or stack.enter_context(closing(ReservedPorts(config)))
            config = ports.of(config)
            self.grpc_port, self.http_port, self.metrics_port = ports.grpc, ports.http, ports.metrics
            stack.push_async_callback(self._shadow.close)
            self._shadow.start()
            self.server = Server(config, self._log, self.grpc_port, shadow=self._shadow.descriptor)
            # Before the server is ready, requests get UNAVAILABLE and /readyz 503.
            http = HttpServer(config, self._collect, lambda: self.server.is_ready, self.server.http_routes(), self._log)
            stack.push_async_callback(http.close)  # before start(), which may fail half-way
            await http.start()
            await stack.enter_async_context(self.server)
            stuck, allowed = self.server.stuck_seconds, config.inference_timeout_seconds
            await stack.enter_async_context(heap_trimmed_regularly())
            await stack.enter_async_context(watchdog(stuck, allowed if self._ends_process else 0, self._log))
            # Ends first: an inference that hangs during the drain is still seen by the watchdog.
            stack.push_async_callback(self.server.drain)
            self._stack = stack.pop_all()  # all is up: __aexit__ ends it
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        # Not in tests and programs that go on after the service.
        if self._ends_process:
            end_if_stuck(self.server.stuck_seconds, self._log)

    async def _collect(self) -> list[Metric]:
        """Returns the metrics of the service."""
        families = [*await self.server.collect(), *self._shadow.collect()]
        return self._drift.with_gauges(families, time.monotonic())

    async def reload_models(self) -> None:
        """Loads and serves new versions in the model's folder."""
        with suppress(ModelRejectedError):  # logged by the reloader
            await self.server.reload_models()

    def kill(self) -> None:
        """Does nothing: there are no other processes."""
