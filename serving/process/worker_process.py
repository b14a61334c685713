"""A worker as the supervisor sees it: spawns the process, forwards requests, collects metrics, drains and ends it."""

import asyncio
import socket
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from prometheus_client import Metric

from serving.api.forwarding import ForwardedRequest, ForwardedResponse
from serving.api.status import error_status
from serving.config import Config
from serving.errors import NotReadyError, WorkerDiedError
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
from serving.version_policy import VersionPolicy

ReloadAll = Callable[[], Coroutine[Any, Any, None]]

COLLECT_SECONDS = 1.0  # for a worker that takes longer, its last metrics are shown

_ENDED = error_status(NotReadyError("the process that had the request has ended; try again"))


class WorkerProcess:
    """A worker process. It is spawned, not forked: gRPC does not support a fork after its start."""

    def __init__(
        self,
        number: int,
        process: asyncio.subprocess.Process,
        link: WorkerLink,
        reload_all: ReloadAll,
    ) -> None:
        self.number = number
        self._reload_all = reload_all
        self._reloads: set[asyncio.Task[None]] = set()
        self.is_ready = False
        self.versions: tuple[int, ...] = ()  # of the model, served when it became ready
        self.families: list[Metric] = []  # its metrics as last collected
        self.is_retired = False  # its metrics have been added to those of ended workers
        self._process = process
        self._link = link
        self._collected = asyncio.Event()
        self._forwarded: dict[int, asyncio.Future[ForwardedResponse]] = {}  # requests without a response yet, by number
        self._last_number = 0
        self._reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @staticmethod
    async def spawn(config: Config, number: int, rates: int, reload_all: ReloadAll) -> "WorkerProcess":
        """Starts a worker with `config`, which is not ready yet.

        `rates`: file descriptor of auth.rate_limits.RateMemory. `reload_all`: reloads models in all workers.
        """
        ours, theirs = socket.socketpair()
        with theirs:  # closed here once the worker has it: otherwise its end would not close ours
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "serving.process.worker", str(theirs.fileno())),
                    pass_fds=[theirs.fileno(), rates],
                )
            except BaseException:  # a cancellation, too
                ours.close()
                raise
        try:
            link = await WorkerLink.open(ours)
            await link.send(Begin(config, number, rates))
        except BaseException:  # a cancellation, as by a drain: nothing else knows of the process yet
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
            raise
        return WorkerProcess(number, process, link, reload_all)

    async def until_ready(self) -> None:
        """Returns when the worker answers calls. Raises the error of its start, or WorkerDiedError."""
        message = await self._link.receive()
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

    async def forward(self, request: ForwardedRequest) -> ForwardedResponse:
        """Returns the worker's response; UNAVAILABLE if it ends meanwhile."""
        if self._reading is None or self._reading.done():
            return _ENDED
        self._last_number += 1
        number = self._last_number
        response: asyncio.Future[ForwardedResponse] = asyncio.get_running_loop().create_future()
        self._forwarded[number] = response
        try:
            await self._link.send(Forward(number, request))
            return await response
        except asyncio.CancelledError:
            await self._link.send(Cancel(number))
            raise
        finally:
            del self._forwarded[number]

    async def reload_models(self, policy: VersionPolicy | None) -> None:
        """Sends a reload: the worker serves the versions of `policy` from now on."""
        await self._link.send(ReloadModels(policy))

    async def drain(self, grace_seconds: float) -> int:
        """Drains the worker, and kills it after the grace. Returns its exit status."""
        self.is_ready = False
        await self._link.send(Drain())
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
            await self._read_messages()
        finally:
            self.is_ready = False  # the worker closed its end: it has ended or is about to
            for response in self._forwarded.values():
                if not response.done():
                    response.set_result(_ENDED)

    async def _read_messages(self) -> None:
        while (message := await self._link.receive()) is not None:
            if isinstance(message, CollectedMetrics):
                self.families = message.families
                self._collected.set()
            elif isinstance(message, Response):
                response = self._forwarded.get(message.number)
                if response and not response.done():
                    response.set_result(message.response)
            elif isinstance(message, ReloadModels):
                reload = asyncio.create_task(self._reload_all())
                self._reloads.add(reload)
                reload.add_done_callback(self._reloads.discard)
