"""A worker as the supervisor sees it: spawns the process, collects metrics, drains and ends it."""

import asyncio
import signal
import socket
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Protocol

from prometheus_client import Metric

from serving.config import Config
from serving.errors import WorkerDiedError
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
from serving.process.trusted_files import LastGood
from serving.store.memory import RecentPlace
from serving.version_policy import VersionPolicy


class Service(Protocol):
    """The whole service, which workers ask through their supervisor."""

    @property
    def is_ready(self) -> bool:
        """True while calls are answered."""

    async def reload_models(self) -> None:
        """Reloads models in all workers."""

    async def end_canary(self) -> None:
        """Ends the canary in all workers."""

    async def collect(self) -> list[Metric]:
        """Returns the metrics of all processes."""


COLLECT_SECONDS = 1.0  # for a worker that takes longer, its last metrics are shown


class WorkerProcess:
    """A worker process. It is spawned, not forked: gRPC does not support a fork after its start."""

    def __init__(
        self,
        number: int,
        process: asyncio.subprocess.Process,
        link: WorkerLink,
        service: Service,
    ) -> None:
        self.number = number
        self._service = service
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_ready = False
        self.versions: tuple[int, ...] = ()  # of the model, served when it became ready
        self.families: list[Metric] = []  # its metrics as last collected
        self.is_retired = False  # its metrics have been added to those of ended workers
        self._process = process
        self._link = link
        self._collected = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @staticmethod
    async def spawn(
        config: Config,
        number: int,
        rates: int,
        service: Service,
        last_good: LastGood,
        recent: RecentPlace | None = None,
        shadow: int | None = None,
        *,
        is_first: bool,
    ) -> "WorkerProcess":
        """Starts a worker with `config`, which is not ready yet.

        `rates`: file descriptor of auth.rate_limits.RateMemory. `last_good`: contents of the files of keys and TLS.
        `recent`: memory for recent images; None: there is no store. `shadow`: descriptor of the socket to the shadow
        process; None: there is none. `is_first`: it replaces no other.
        """
        ours, theirs = socket.socketpair()
        with theirs:  # closed here once the worker has it: otherwise its end would not close ours
            # The process inherits the mask, and is there before anything else runs here: create_subprocess_exec() waits
            # only afterwards. What comes meanwhile is delivered then.
            signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED_SIGNALS)
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "serving.process.worker", str(theirs.fileno())),
                    pass_fds=[
                        theirs.fileno(),
                        rates,
                        *([recent.descriptor] if recent else []),
                        *([shadow] if shadow else []),
                    ],
                )
            except BaseException:  # a cancellation, too
                ours.close()
                raise
            finally:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)
        try:
            link = await WorkerLink.open(ours)
            await link.send(Begin(config, number, rates, service.is_ready, is_first, last_good, recent, shadow))
        except BaseException:  # a cancellation, as by a drain: nothing else knows of the process yet
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        return WorkerProcess(number, process, link, service)

    async def until_ready(self) -> None:
        """Returns when the worker answers calls. Raises the error of its start, or WorkerDiedError."""
        # It may answer HTTP and gRPC already, before its Ready comes.
        while isinstance(message := await self._link.receive(), CollectService | ReloadModels | EndCanary):
            self._handle(message)
        if not isinstance(message, Ready):
            status = await self.until_ended()
            if isinstance(message, StartFailed):
                raise message.error
            raise WorkerDiedError(f"worker {self.number} ended with status {status} before it was ready")
        self.is_ready, self.versions = True, message.versions
        self._reading = asyncio.create_task(self._read())

    async def until_ended(self) -> int:
        """Waits for the end of the process. Returns its exit status, negative for the signal that ended it."""
        status = await self._process.wait()
        self.is_ready = False
        if self._reading:
            await asyncio.gather(self._reading, return_exceptions=True)  # reads its last messages: the final counts
        await self._link.close()
        return status

    async def collect(self) -> list[Metric]:
        """Returns its metrics; the last ones if it does not answer in time, has ended or was never ready."""
        if self._reading is None:
            return self.families
        self._collected.clear()
        await self._link.send(CollectMetrics())
        collected = asyncio.create_task(self._collected.wait())
        await asyncio.wait({collected, self._reading}, timeout=COLLECT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        collected.cancel()
        return self.families

    async def tell_ready(self, is_ready: bool) -> None:
        """Tells the worker whether the service is ready."""
        await self._link.send(ServiceReady(is_ready))

    async def reload_models(self, policy: VersionPolicy | None) -> None:
        """Sends a reload: the worker serves the versions of `policy` from now on."""
        await self._link.send(ReloadModels(policy))

    async def end_canary(self) -> None:
        """Has the worker's canary answer nobody any more."""
        await self._link.send(EndCanary())

    async def drain(self, grace_seconds: float, *, is_last: bool) -> int:
        """Drains the worker, and kills it after the grace. Returns its exit status. `is_last`: the service ends."""
        self.is_ready = False
        await self._link.send(Drain(is_last))
        with suppress(TimeoutError):
            return await asyncio.wait_for(self.until_ended(), grace_seconds)
        self.kill()
        return await self.until_ended()

    def kill(self) -> None:
        """Kills the process at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def _read(self) -> None:
        try:
            while (message := await self._link.receive()) is not None:
                self._handle(message)
        finally:
            self.is_ready = False  # the worker closed its end: it has ended or is about to

    def _handle(self, message: Message) -> None:
        if isinstance(message, CollectedMetrics):
            self.families = message.families
            self._collected.set()
        elif isinstance(message, ReloadModels):
            self._start(self._service.reload_models())
        elif isinstance(message, EndCanary):
            self._start(self._service.end_canary())
        elif isinstance(message, CollectService):
            self._start(self._send_service_metrics())

    async def _send_service_metrics(self) -> None:
        await self._link.send(ServiceMetrics(await self._service.collect()))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
