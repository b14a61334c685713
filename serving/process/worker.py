"""`python -m serving.process.worker FD`: a worker, one of several processes that answer calls.

The supervisor starts it, and speaks to it over the socket with file descriptor FD. The worker drains and ends when the
supervisor says so, and also when the supervisor has ended: then the socket closes.
"""

import asyncio
import signal
import socket
import sys

from serving.api.engine.loop import CompletionQueueLoop
from serving.auth.rate_limits import RateLimits
from serving.errors import ConfigError, DeviceUnavailableError, ModelRejectedError
from serving.logging import Logger, configure_logging, end_logging, get_logger, log_loop_failures
from serving.process.heap import heap_trimmed_regularly, set_up_heap
from serving.process.ipc import (
    Begin,
    Cancel,
    CollectedMetrics,
    CollectMetrics,
    Drain,
    Forward,
    Ready,
    ReloadModels,
    Response,
    StartFailed,
    WorkerLink,
)
from serving.process.server import Server
from serving.process.watchdog import end_if_stuck, watchdog
from serving.version_policy import VersionPolicy


def main() -> None:
    """Serves until the supervisor sends Drain or has ended."""
    set_up_heap()  # before the first thread
    with asyncio.Runner(loop_factory=CompletionQueueLoop) as runner:
        runner.run(_work(socket.socket(fileno=int(sys.argv[1]))))
    end_logging()


async def _work(end: socket.socket) -> None:
    # Signals are ignored. A terminal sends Ctrl-C to the whole process group, and some containers signal every process;
    # only the supervisor decides.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, lambda: None)
    link = await WorkerLink.open(end)
    begin = await link.receive()
    if not isinstance(begin, Begin):  # None: the supervisor has ended already
        return
    configure_logging(begin.config.log_format, begin.config.log_level)
    log = get_logger().bind(worker=begin.number)
    log_loop_failures(asyncio.get_running_loop(), log)

    async def reload_others() -> None:
        await link.send(ReloadModels())

    try:
        server = Server(begin.config, log, begin.config.grpc_port, RateLimits(begin.rates), reload_others)
        allowed_seconds = begin.config.inference_timeout_seconds
        async with server, watchdog(server.stuck_seconds, allowed_seconds, log), heap_trimmed_regularly():
            await link.send(Ready(server.versions))  # it listens: connections come from now on
            drain = asyncio.Event()
            # Goes on during the drain: metrics are collected, and forwarded requests are answered, to the end.
            answering = asyncio.create_task(_answer(link, server, drain, log))
            answering.add_done_callback(lambda _: drain.set())  # however it ends: nothing else reads the link
            await drain.wait()
            await server.drain()  # here, and not only at the end of the block: the watchdog still watches
            # The final counts, which the supervisor keeps. Nothing is counted after the drain.
            await link.send(CollectedMetrics(await server.collect()))
    except (ConfigError, ModelRejectedError, DeviceUnavailableError) as error:
        await link.send(StartFailed(error))  # any other exception ends the process, with its stack on standard error
        return
    answering.cancel()
    await link.close()
    end_if_stuck(server.stuck_seconds, log)


async def _answer(link: WorkerLink, server: Server, drain: asyncio.Event, log: Logger) -> None:
    """Handles the supervisor's messages until it ends. Sets `drain` when it sends Drain, and when it has ended."""
    forwarded: dict[int, asyncio.Task[None]] = {}  # requests in progress, by number, for Cancel
    # Nothing slow is awaited in this loop, so that Drain and Cancel are read at once.
    async with asyncio.TaskGroup() as tasks:
        while (message := await link.receive()) is not None:
            if isinstance(message, CollectMetrics):
                await link.send(CollectedMetrics(await server.collect()))
            elif isinstance(message, ReloadModels):
                tasks.create_task(_reload(server, message.policy, log))
            elif isinstance(message, Forward):
                task = forwarded[message.number] = tasks.create_task(_respond(link, server, message))
                task.add_done_callback(lambda _, number=message.number: forwarded.pop(number))  # type: ignore[misc]  # bound now
            elif isinstance(message, Cancel) and message.number in forwarded:
                forwarded[message.number].cancel()
            elif isinstance(message, Drain):
                drain.set()
        drain.set()


async def _respond(link: WorkerLink, server: Server, forward: Forward) -> None:
    await link.send(Response(forward.number, await server.answer(forward.request)))


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
