"""The command line: configuration in, a running server, an exit status out."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import uvloop

from serving.client import cli as client
from serving.config import Config, load_config
from serving.errors import ConfigError, DeviceUnavailableError, ModelRejectedError
from serving.grpc_listeners import address
from serving.logs import Logger, configure_logging, get_logger
from serving.server import Server

USAGE_ERROR = 2
CANNOT_START = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs until SIGINT or SIGTERM. 0: drained; 1: could not start; 2: a setting is wrong."""
    try:
        config = load_config(sys.argv[1:] if arguments is None else arguments)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR
    configure_logging(config.log_format, config.log_level)
    try:
        uvloop.run(_serve(config, get_logger()))
    except (ConfigError, ModelRejectedError, DeviceUnavailableError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR if isinstance(error, ConfigError) else CANNOT_START
    return 0


async def _serve(config: Config, log: Logger) -> None:
    stop = asyncio.Event()
    _stop_on_signals(stop)
    async with Server(config, log) as server:
        grpc, http = address(config.host, server.grpc_port), address(config.host, server.http_port)
        log.info("serving", grpc=grpc, http=http)
        if config.show_samples:
            await _show_samples(config.show_samples, config.host, server)
        await stop.wait()


def _stop_on_signals(stop: asyncio.Event) -> None:
    """The first SIGINT or SIGTERM drains, a second one ends the process at once."""

    def on_signal(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)


async def _show_samples(folder: Path, host: str, server: Server) -> None:
    """Asks the running server from outside, with the client that people use, and says what to try next."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    grpc, http = address(reachable, server.grpc_port), address(reachable, server.http_port)
    status = await asyncio.to_thread(client.main, ["classify", "--address", grpc, str(folder)])
    if status != 0:
        print("Not every sample could be classified: see above.", file=sys.stderr)
    print(f"""
Serving digits: gRPC on {grpc}; http://{http} has /metrics, /livez and /readyz.
Try, in another terminal:
  {os.path.relpath(sys.executable)} -m serving.client classify --address {grpc} YOUR_PICTURE_OR_FOLDER
  curl http://{http}/metrics
Ctrl-C ends it.""", flush=True)  # fmt: skip
