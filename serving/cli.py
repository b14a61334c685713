"""The command line: configuration in, a running server, an exit status out."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import uvloop

from serving.api.listening_port import address
from serving.commands.tuning import Picked
from serving.config import Config, load_config
from serving.cpu import worker_count
from serving.errors import ConfigError, DeviceUnavailableError, ModelRejectedError, WorkerDiedError
from serving.logging import Logger, configure_logging, get_logger
from serving.process.heap import set_up_heap

if TYPE_CHECKING:
    from serving.process.standalone import Standalone
    from serving.process.supervisor import Supervisor

USAGE_ERROR = 2
CANNOT_START = 1
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs until SIGINT or SIGTERM. 0: drained; 1: could not start; 2: a setting is wrong; 130: ended while tuning."""
    flags = sys.argv[1:] if arguments is None else arguments
    try:
        config = load_config(flags)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    if config.tune:
        tuned = _tuned(config, flags)
        if isinstance(tuned, int):
            return tuned
        config = tuned
    set_up_heap()
    configure_logging(config.log_format, config.log_level)
    try:
        uvloop.run(_serve(config, get_logger()))
    except (ConfigError, ModelRejectedError, DeviceUnavailableError, WorkerDiedError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR if isinstance(error, ConfigError) else CANNOT_START
    return 0


def _tuned(config: Config, flags: Sequence[str]) -> Config | int:
    """The configuration with what was picked wherever it left the choice; an exit status where nothing was."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # either signal ends the measuring, and then this
    try:
        tuning = subprocess.run(
            [sys.executable, "-m", "serving.commands.tune", *flags], stdout=subprocess.PIPE, check=False
        )
    except KeyboardInterrupt:
        return INTERRUPTED
    if tuning.returncode < 0:
        print(f"error: the model could not be measured: ended by signal {-tuning.returncode}", file=sys.stderr)
    if tuning.returncode:  # otherwise it has said why
        return max(tuning.returncode, CANNOT_START)
    picked = Picked(**json.loads(tuning.stdout))
    return replace(
        config,
        precision=picked.precision,
        inference_threads=picked.inference_threads,
        max_batch_size=config.max_batch_size or picked.max_batch_size,
    )


class Running(Protocol):
    """A service in one process or several."""

    grpc_port: int
    http_port: int

    def look_at_models(self) -> Coroutine[Any, Any, None]:
        """Serves what is new in the model's folder."""

    def kill(self) -> None:
        """Ends at once whatever other processes it has."""


async def _serve(config: Config, log: Logger) -> None:
    service, workers = _service(config, log)
    stop = asyncio.Event()
    looks: set[asyncio.Task[None]] = set()
    _look_on_hangup(looks, service)
    _stop_on_signals(stop, service)
    async with AsyncExitStack() as stack:
        if not await _is_up(stack, service, stop):
            return
        grpc, http = address(config.host, service.grpc_port), address(config.host, service.http_port)
        log.info("serving", grpc=grpc, http=http, workers=workers)
        if config.show_samples:
            await _show_samples(config.show_samples, config.host, service)
        await stop.wait()


async def _is_up(stack: AsyncExitStack, service: "Standalone | Supervisor", stop: asyncio.Event) -> bool:
    """Starts it, for the stack to end; False when it is told to stop before it is up."""
    starting = asyncio.create_task(stack.enter_async_context(service))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if stop.is_set():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return False
    await starting
    return True


def _service(config: Config, log: Logger) -> "tuple[Standalone | Supervisor, int]":
    """The service, and how many workers it has. The import is of the one needed: a supervisor loads no model."""
    workers = worker_count(config.workers, config.device)
    if workers == 1:
        from serving.process.standalone import Standalone

        return Standalone(config, log, ends_process=True), 1
    from serving.process.supervisor import Supervisor

    return Supervisor(config, log, workers), workers


def _stop_on_signals(stop: asyncio.Event, service: Running) -> None:
    """The first SIGINT or SIGTERM drains, a second one ends the process, and its workers, at once."""

    def on_signal(number: int) -> None:
        if stop.is_set():
            service.kill()
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)


def _look_on_hangup(looks: set[asyncio.Task[None]], service: Running) -> None:
    """SIGHUP has it look at the model's folder. `looks` keeps the tasks."""

    def on_hangup() -> None:
        look = asyncio.ensure_future(service.look_at_models())
        looks.add(look)
        look.add_done_callback(looks.discard)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, on_hangup)


async def _show_samples(folder: Path, host: str, service: Running) -> None:
    """Asks the running server from outside, with the client that people use, and says what to try next."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    grpc, http = address(reachable, service.grpc_port), address(reachable, service.http_port)
    from serving.client import cli as client  # not before somebody wants to see samples

    status = await asyncio.to_thread(client.main, ["classify", "--address", grpc, str(folder)])
    if status != 0:
        print("Not every sample could be classified: see above.", file=sys.stderr)
    print(f"""
Serving digits: gRPC on {grpc}; http://{http} has a page to draw on, /metrics, /livez and /readyz.
Open http://{http}/ in a browser, or try in another terminal:
  {os.path.relpath(sys.executable)} -m serving.client classify --address {grpc} YOUR_PICTURE_OR_FOLDER
  curl --data-binary @YOUR_PICTURE http://{http}/v1/classify
Ctrl-C ends it.""", flush=True)  # fmt: skip
