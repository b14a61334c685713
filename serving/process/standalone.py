"""One process that does everything: the server and the HTTP side around it."""

from contextlib import AsyncExitStack, suppress
from types import TracebackType

from serving.api.http.server import HttpFace
from serving.api.listening_port import reserve_port
from serving.config import Config
from serving.errors import ModelRejectedError
from serving.logging import Logger
from serving.process.server import Server
from serving.process.watchdog import end_if_stuck, watchdog


class Standalone:
    """`async with Standalone(config, log) as standalone:` serves until the block ends, then drains."""

    def __init__(self, config: Config, log: Logger, *, ends_process: bool = False) -> None:
        """`ends_process`: whether the whole process may be ended when an inference is stuck."""
        self._ends_process = ends_process
        self._config = config
        self._log = log
        self._stack = AsyncExitStack()
        self.grpc_port = 0  # known once started
        self.http_port = 0
        self.metrics_port = 0

    async def __aenter__(self) -> "Standalone":
        """HTTP first, so that liveness and metrics can be seen while the model loads, and last to go."""
        config = self._config
        async with AsyncExitStack() as stack:
            port = stack.enter_context(reserve_port(config.host, config.grpc_port))
            self.grpc_port = port.getsockname()[1]
            self.server = Server(config, self._log, self.grpc_port)
            http = HttpFace(config, self.server.collect, lambda: self.server.is_ready, self.server.answer)
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

    async def look_at_models(self) -> None:
        """Serves what is new in the model's folder."""
        with suppress(ModelRejectedError):  # the log tells
            await self.server.look_at_models()

    def kill(self) -> None:
        """Nothing: there is no other process."""
