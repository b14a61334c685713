"""One process that does everything: the server, and the HTTP server around it."""

from contextlib import AsyncExitStack, suppress
from types import TracebackType

from serving.api.http.server import HttpServer
from serving.api.listening_port import reserve_port
from serving.config import Config
from serving.errors import ModelRejectedError
from serving.logging import Logger
from serving.process.server import Server
from serving.process.watchdog import end_if_stuck, watchdog


class Standalone:
    """`async with Standalone(config, log) as standalone:` serves until the block ends, then drains."""

    def __init__(self, config: Config, log: Logger, *, ends_process: bool = False) -> None:
        """`ends_process`: an inference that is stuck ends the whole process."""
        self._ends_process = ends_process
        self._config = config
        self._log = log
        self._stack = AsyncExitStack()
        self.grpc_port = 0  # known once started
        self.http_port = 0
        self.metrics_port = 0

    async def __aenter__(self) -> "Standalone":
        """Starts HTTP first, so that liveness and metrics can be seen while the model loads; it also stops last."""
        config = self._config
        async with AsyncExitStack() as stack:
            port = stack.enter_context(reserve_port(config.host, config.grpc_port))
            self.grpc_port = port.getsockname()[1]
            self.server = Server(config, self._log, self.grpc_port)
            http = HttpServer(config, self.server.collect, lambda: self.server.is_ready, self.server.answer)
            stack.push_async_callback(http.close)
            self.http_port, self.metrics_port = await http.start()
            await stack.enter_async_context(self.server)
            stuck, allowed = self.server.stuck_seconds, config.inference_timeout_seconds
            await stack.enter_async_context(watchdog(stuck, allowed if self._ends_process else 0, self._log))
            stack.push_async_callback(self.server.drain)  # within the watchdog's sight
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        if self._ends_process:
            end_if_stuck(self.server.stuck_seconds, self._log)

    async def reload_models(self) -> None:
        """Serves new versions in the model's folder."""
        with suppress(ModelRejectedError):  # the log has it
            await self.server.reload_models()

    def kill(self) -> None:
        """Does nothing: there is no other process."""
