"""The command line: `python -m serving` serves; commands make keys, choose versions, tune, classify."""

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from serving.api.listening_port import ReservedPorts, address
from serving.commands.keys import keys
from serving.commands.show_samples import show_samples
from serving.commands.tuning import Picked
from serving.config import Config
from serving.errors import ConfigError, DeviceUnavailableError, ModelRejectedError, WorkerDiedError
from serving.host import descriptors
from serving.host.cpu import worker_count
from serving.host.terminal import has_terminal
from serving.logging import Logger, configure_logging, end_logging, get_logger, log_loop_failures
from serving.options import CONTEXT, make_config, run_command, setting_options
from serving.process.heap import set_up_heap
from serving.process.watchdog import END_SECONDS, STUCK, end_within
from serving.setting_values import is_unix

if TYPE_CHECKING:
    from serving.process.standalone import Standalone
    from serving.process.supervisor import Supervisor

USAGE_ERROR = 2
CANNOT_START = 1
INTERRUPTED = 130
OVERTIME_SECONDS = 10.0  # after the grace of the drain: a supervisor kills workers after five of them
MIN_DESCRIPTORS = (
    64  # file descriptors of a process without connections, twice over; a supervisor has 2 for each worker
)
# Commands whose modules load a model's libraries, which a supervisor never needs.
_LAZY = {
    "store": "serving.commands.store",
    "tune": "serving.commands.tune",
    "bulk": "serving.commands.bulk",
    "versions": "serving.commands.versions",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGINT, SIGTERM or the end of its terminal, or runs a command. Returns the exit status.

    0: drained, or done; 1: could not start; 2: a setting is wrong; 130: interrupted while tuning.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell without job control starts background jobs so
        signal.signal(signal.SIGINT, signal.default_int_handler)
    flags = sys.argv[1:] if arguments is None else list(arguments)
    status = run_command(serve, flags, obj=flags)
    end_logging()
    return status


class _Commands(click.Group):
    """Command group that imports some commands only when they run."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] in self.list_commands(ctx):
            ctx.auto_envvar_prefix = None  # the command reads the variables that it uses itself
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_LAZY])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _LAZY:
            from importlib import import_module

            command: click.Command = getattr(import_module(_LAZY[cmd_name]), cmd_name)
            return command
        return super().get_command(ctx, cmd_name)


@click.group(cls=_Commands, invoke_without_command=True, context_settings=CONTEXT)
@setting_options()
@click.pass_context
def serve(context: click.Context, /, **values: Any) -> int:
    """Serves the digit model over gRPC and HTTP. Each flag has an environment variable of the same name."""
    if context.invoked_subcommand:
        for name in values:
            if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
                raise click.UsageError(f"--{name.replace('_', '-')}: flags stand after `{context.invoked_subcommand}`")
        return 0
    return _run(make_config(values), context.obj)


serve.add_command(keys)


def _run(config: Config, flags: Sequence[str]) -> int:
    descriptors.raise_limit()
    limit, needed = descriptors.limit(), MIN_DESCRIPTORS + 2 * _workers(config)
    if limit < needed:  # now: later it would be a module that cannot be read, or a worker that cannot be started
        print(f"error: {_too_few_descriptors(limit, needed)}", file=sys.stderr)
        return CANNOT_START
    try:
        # Before all else: of two servers that begin together, one is refused at once, and not after its tuning.
        with closing(ReservedPorts(config)) as ports:
            if config.tune:
                tuned = _tuned(config, flags)
                if isinstance(tuned, int):
                    return tuned
                config = tuned
            if not config.build_revision:
                config = replace(config, build_revision=_checkout_revision())
            set_up_heap()
            configure_logging(config.log_format, config.log_level)
            with asyncio.Runner(loop_factory=_loop_factory(config)) as runner:
                log = get_logger()
                runner.run(_serve(config, ports, log))
                end_within(END_SECONDS, 0, log)  # the loop's end waits for threads, and so does the interpreter's
    except (ConfigError, ModelRejectedError, DeviceUnavailableError, WorkerDiedError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_ERROR if isinstance(error, ConfigError) else CANNOT_START
    except OSError as error:
        if error.errno != errno.EMFILE:
            raise
        print(f"error: {_too_few_descriptors(limit, 2 * limit)}", file=sys.stderr)  # most were open from the start
        return CANNOT_START
    return 0


def _checkout_revision() -> str:
    """Returns git's revision of the checkout that this code is in; nothing where it is installed elsewhere."""
    root = Path(__file__).parent.parent
    with suppress(OSError, subprocess.TimeoutExpired):  # no git; a disk that hangs
        git = ["git", "-C", str(root), "rev-parse", "--show-toplevel", "HEAD"]
        shown = subprocess.run(git, capture_output=True, text=True, timeout=2, check=False).stdout.splitlines()
        # An environment inside of another project's checkout is no revision of ours.
        if len(shown) == 2 and Path(shown[0]) == root.resolve():
            return shown[1]
    return ""


def _too_few_descriptors(limit: int, needed: int) -> str:
    return (
        f"this process may have {limit} open files and needs {needed} or more, and one for each connection: raise the "
        f"limit, with `ulimit -n {max(1024, needed)}` or LimitNOFILE= of systemd"
    )


def _tuned(config: Config, flags: Sequence[str]) -> Config | int:
    """Returns the configuration with the picked settings where it leaves the choice; an exit status on failure."""
    # As SIGINT: it ends the measuring and then this process.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Without a terminal it is meant for a server, which looks at the models anyway once it starts.
    signal.signal(signal.SIGHUP, signal.default_int_handler if has_terminal() else signal.SIG_IGN)
    try:
        command = [sys.executable, "-m", "serving.commands.tune", *flags]
        if is_unix(config.host):  # tuning knows no host
            command += ["--workers", "1"]
        tuning = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    except KeyboardInterrupt:
        return INTERRUPTED
    if tuning.returncode < 0:
        print(f"error: the model could not be measured: ended by signal {-tuning.returncode}", file=sys.stderr)
    if tuning.returncode:  # its own message has said why
        return max(tuning.returncode, CANNOT_START)
    picked = Picked(**json.loads(tuning.stdout))
    return replace(
        config,
        device=picked.device,
        precision=picked.precision,
        inference_threads=picked.inference_threads,
        max_batch_size=picked.max_batch_size,
    )


class Running(Protocol):
    """A running service, in one process or several."""

    grpc_port: int
    http_port: int

    def reload_models(self) -> Coroutine[Any, Any, None]:
        """Loads and serves new versions in the model's folder."""

    def kill(self) -> None:
        """Kills its other processes at once."""


async def _serve(config: Config, ports: ReservedPorts, log: Logger) -> None:
    log_loop_failures(asyncio.get_running_loop(), log)
    service, workers = _service(config, ports, log)
    stop = asyncio.Event()
    reloads: set[asyncio.Task[None]] = set()
    ending = [signal.SIGINT, signal.SIGTERM]
    if has_terminal():
        ending.append(signal.SIGHUP)
    else:
        _reload_on_hangup(reloads, service)
    _stop_on_signals(ending, stop, service, config.drain_grace_seconds + OVERTIME_SECONDS, log)
    async with AsyncExitStack() as stack:
        if not await _is_done(stack.enter_async_context(service), stop):
            return
        grpc, http = address(config.host, service.grpc_port), address(config.http_address[0], service.http_port)
        log.info("serving", grpc=grpc, http=http, workers=workers)
        if config.show_samples:
            await _is_done(show_samples(config.show_samples, grpc, http), stop)
        await stop.wait()


async def _is_done(coroutine: Coroutine[Any, Any, object], stop: asyncio.Event) -> bool:
    """Runs a coroutine. Returns False when a signal comes before its end."""
    running = asyncio.create_task(coroutine)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if stop.is_set():
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)  # its own clean-up
        return False
    await running
    return True


def _service(config: Config, ports: ReservedPorts, log: Logger) -> "tuple[Standalone | Supervisor, int]":
    """Returns the service and its number of workers. Imports only that one: a supervisor loads no ONNX Runtime."""
    workers = _workers(config)
    if workers == 1:
        from serving.process.standalone import Standalone

        return Standalone(config, log, ports, ends_process=True), 1
    from serving.process.supervisor import Supervisor

    return Supervisor(config, log, workers, ports), workers


def _workers(config: Config) -> int:
    """Returns the number of worker processes. A Unix socket cannot be shared: one serves it."""
    return 1 if is_unix(config.host) else worker_count(config.workers, config.device)


def _loop_factory(config: Config) -> Callable[[], asyncio.AbstractEventLoop]:
    """Returns the event loop's maker. A supervisor answers HTTP alone, and loads no gRPC."""
    if _workers(config) > 1:
        return asyncio.new_event_loop
    from serving.api.engine.loop import CompletionQueueLoop

    return CompletionQueueLoop


def _stop_on_signals(
    ending: Sequence[signal.Signals], stop: asyncio.Event, service: Running, seconds: float, log: Logger
) -> None:
    """Starts the drain on the first of these signals. A second one ends the process and its workers at once.

    But for SIGHUP: the shell sends one and the kernel another when a terminal closes, and the drain goes on.
    The process ends after `seconds`, whatever then still hangs.
    """
    loop, has_begun = asyncio.get_running_loop(), False

    def begin(number: int, _: object) -> None:
        nonlocal has_begun
        if has_begun and number != signal.SIGHUP:
            service.kill()
            os._exit(128 + number)  # as a shell reports a process ended by this signal
        if not has_begun:
            end_within(seconds, STUCK, log)
        has_begun = True

    for number in ending:
        loop.add_signal_handler(number, stop.set)
        # Instead of asyncio's own, which does nothing: it runs also where the loop is blocked, as in a read of a file.
        signal.signal(number, begin)


def _reload_on_hangup(reloads: set[asyncio.Task[None]], service: Running) -> None:
    """Reloads models on SIGHUP. `reloads` keeps the tasks: the event loop has only weak references."""

    def on_hangup() -> None:
        reload = asyncio.ensure_future(service.reload_models())
        reloads.add(reload)
        reload.add_done_callback(reloads.discard)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, on_hangup)
