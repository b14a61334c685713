"""`python -m serving.process.worker FD`: one of several processes that answer calls; the supervisor starts it."""

import asyncio
import signal
import socket
import sys

import uvloop

from serving.auth.rate_limits import RateLimits
from serving.errors import ConfigError, DeviceUnavailableError, ModelRejectedError
from serving.logging import Logger, configure_logging, get_logger
from serving.process.heap import set_up_heap
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
    """Serves until the supervisor says to drain, or has ended."""
    set_up_heap()
    uvloop.run(_work(socket.socket(fileno=int(sys.argv[1]))))


async def _work(end: socket.socket) -> None:
    # Ctrl-C goes to the whole group of processes, and containers may signal all of them: the supervisor decides.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, lambda: None)
    link = await WorkerLink.open(end)
    begin = await link.receive()
    if not isinstance(begin, Begin):
        return
    configure_logging(begin.config.log_format, begin.config.log_level)
    log = get_logger().bind(worker=begin.number)

    async def reload_others() -> None:
        await link.send(ReloadModels())

    try:
        server = Server(begin.config, log, begin.config.grpc_port, RateLimits(begin.rates), reload_others)
        async with server, watchdog(server.stuck_seconds, begin.config.inference_timeout_seconds, log):
            await link.send(Ready(server.versions))
            drain = asyncio.Event()
            answering = asyncio.create_task(_answer(link, server, drain, log))  # goes on while the server drains
            answering.add_done_callback(lambda _: drain.set())  # however it ends: nothing else hears the supervisor
            await drain.wait()
            await server.drain()  # within the watchdog's sight
            await link.send(CollectedMetrics(await server.collect()))  # the final counts
    except (ConfigError, ModelRejectedError, DeviceUnavailableError) as error:
        await link.send(StartFailed(error))
        return
    answering.cancel()
    await link.close()
    end_if_stuck(server.stuck_seconds, log)


async def _answer(link: WorkerLink, server: Server, drain: asyncio.Event, log: Logger) -> None:
    """Answers the supervisor; sets `drain` when it says so, and when it has ended."""
    forwarded: dict[int, asyncio.Task[None]] = {}
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
    server.follow(policy)
    try:
        await server.reload_models()
    except ModelRejectedError:
        pass  # the log has what was refused, and why
    except Exception as error:  # the border of a reload: what is served still is
        log.error("look_failed", exc_info=error)


if __name__ == "__main__":
    main()
