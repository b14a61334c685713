"""`python -m serving.process.worker FD`: a worker, one of several processes that answer calls.

The supervisor starts it, and speaks to it over the socket with file descriptor FD. The worker drains and ends when the
supervisor says so, and also when the supervisor has ended: then the socket closes.
"""

import asyncio
import signal
import socket
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

from prometheus_client import Metric

from serving.api.engine.loop import CompletionQueueLoop
from serving.api.http.server import HttpServer
from serving.auth.rate_limits import RateLimits
from serving.errors import ConfigError, DeviceUnavailableError, ModelRejectedError
from serving.logging import Logger, configure_logging, end_logging, get_logger, log_loop_failures
from serving.process.heap import heap_trimmed_regularly, set_up_heap
from serving.process.ipc import (
    IGNORED_SIGNALS,
    Begin,
    CollectedMetrics,
    CollectMetrics,
    CollectService,
    Drain,
    EndCanary,
    Message,
    Ready,
    ReloadModels,
    ServiceMetrics,
    ServiceReady,
    StartFailed,
    WorkerLink,
)
from serving.process.server import Server
from serving.process.watchdog import END_SECONDS, end_if_stuck, end_within, watchdog
from serving.version_policy import VersionPolicy


def main() -> None:
    """Serves until the supervisor sends Drain or has ended."""
    for number in IGNORED_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)  # WorkerProcess.spawn has blocked them
    set_up_heap()  # before the first thread
    with asyncio.Runner(loop_factory=CompletionQueueLoop) as runner:
        runner.run(_work(socket.socket(fileno=int(sys.argv[1]))))
        end_within(END_SECONDS, 0, get_logger())  # the loop's end waits for threads, and so does the interpreter's
    end_logging()


async def _work(end: socket.socket) -> None:
    link = await WorkerLink.open(end)
    begin = await link.receive()
    if not isinstance(begin, Begin):  # None: the supervisor has ended already
        return
    configure_logging(begin.config.log_format, begin.config.log_level)
    log = get_logger().bind(worker=begin.number)
    log_loop_failures(asyncio.get_running_loop(), log)

    config, service = begin.config, _Service(link, begin.is_ready)
    try:
        server = Server(
            config,
            log,
            config.grpc_port,
            rates=RateLimits(begin.rates),
            reload_others=service.reload_others,
            collect_service=service.collect,
            last_good=begin.last_good,
            recent=begin.recent,
            shadow=begin.shadow,
            canary_returned=service.end_canary,
        )
        http = HttpServer(config, service.collect, lambda: service.is_ready, server.http_routes(), log)
        async with AsyncExitStack() as stack:
            answering = asyncio.create_task(service.answer(server, log))  # to the end: metrics are collected in a drain
            stack.callback(answering.cancel)
            stack.push_async_callback(http.close)
            if begin.is_first:  # liveness and metrics are answered while the model loads
                await http.start()
            if not await service.is_up(stack.enter_async_context(server)):
                return
            await stack.enter_async_context(watchdog(server.stuck_seconds, config.inference_timeout_seconds, log))
            await stack.enter_async_context(heap_trimmed_regularly())
            if not begin.is_first:
                await http.start()
            await link.send(Ready(server.versions))  # it listens: connections come from now on
            drain = await service.until_drain()
            if not drain.is_last:
                http.stop_listening()
            await server.drain()  # here, and not only at the end of the block: the watchdog still watches
            # The final counts, which the supervisor keeps. Nothing is counted after the drain.
            await link.send(CollectedMetrics(await server.collect()))
    except (ConfigError, ModelRejectedError, DeviceUnavailableError) as error:
        await link.send(StartFailed(error))  # any other exception ends the process, with its stack on standard error
        return
    await link.close()
    end_if_stuck(server.stuck_seconds, log)


class _Service:
    """The whole service, as this worker learns of it over its link to the supervisor."""

    def __init__(self, link: WorkerLink, is_ready: bool) -> None:
        self.is_ready = is_ready
        self._link = link
        self._drain: asyncio.Future[Drain] = asyncio.get_running_loop().create_future()
        self._collected: asyncio.Future[list[Metric]] | None = None
        self._collecting = asyncio.Lock()
        self._ending: asyncio.Task[None] | None = None

    async def reload_others(self) -> None:
        """Reloads models in the other workers."""
        await self._link.send(ReloadModels())

    def end_canary(self) -> None:
        """Ends the canary in the other workers."""
        self._ending = asyncio.create_task(self._link.send(EndCanary()))

    async def collect(self) -> list[Metric]:
        """Returns the metrics of all processes."""
        async with self._collecting:
            self._collected = asyncio.get_running_loop().create_future()
            await self._link.send(CollectService())
            return await self._collected

    async def is_up(self, start: Coroutine[Any, Any, Any]) -> bool:
        """Waits for the start. Returns False when Drain comes before its end, which may never come."""
        starting: asyncio.Task[Any] = asyncio.create_task(start)
        await asyncio.wait({starting, self._drain}, return_when=asyncio.FIRST_COMPLETED)
        if self._drain.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)  # its own clean-up
            return False
        await starting
        return True

    async def until_drain(self) -> Drain:
        """Returns when the supervisor sends Drain, or has ended."""
        return await self._drain

    async def answer(self, server: Server, log: Logger) -> None:
        """Handles the supervisor's messages until it ends."""
        try:
            async with asyncio.TaskGroup() as tasks:
                # Nothing slow is awaited in this loop, so that Drain is read at once.
                while (message := await self._link.receive()) is not None:
                    if isinstance(message, CollectMetrics):
                        await self._link.send(CollectedMetrics(await server.collect()))
                    elif isinstance(message, ReloadModels):
                        tasks.create_task(_reload(server, message.policy, log))
                    elif isinstance(message, EndCanary):
                        server.end_canary()
                    else:
                        self._note(message)
        finally:  # however it ends: nothing else reads the link
            self.is_ready = False
            self._end(self._collected, [])
            self._end(self._drain, Drain(is_last=True))

    def _note(self, message: Message) -> None:
        if isinstance(message, ServiceMetrics):
            self._end(self._collected, message.families)
        elif isinstance(message, ServiceReady):
            self.is_ready = message.is_ready
        elif isinstance(message, Drain):
            self._end(self._drain, message)

    @staticmethod
    def _end(waiting: "asyncio.Future[Any] | None", result: object) -> None:
        if waiting is not None and not waiting.done():
            waiting.set_result(result)


async def _reload(server: Server, policy: VersionPolicy | None, log: Logger) -> None:
    """Serves the versions of `policy` that pass their checks. Raises nothing: it would end the task group."""
    server.follow(policy)
    try:
        await server.reload_models()
    except ModelRejectedError:
        pass  # logged by the reloader, with the reason
    except Exception as error:  # the border of a reload: the served versions stay
        log.error("look_failed", exc_info=error)


if __name__ == "__main__":
    main()
