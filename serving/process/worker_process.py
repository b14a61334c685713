"""One worker, seen from the supervisor: spawned, asked, drained, ended."""

import asyncio
import socket
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from prometheus_client import Metric

from serving.api.forwarding import Answer, Question
from serving.api.status import error_status
from serving.config import Config
from serving.errors import NotReadyError, WorkerDiedError
from serving.process.ipc import Answered, Ask, Begin, Collect, Collected, Drain, Failed, Forget, Look, Ready, WorkerLink
from serving.version_policy import VersionPolicy

LookAll = Callable[[], Coroutine[Any, Any, None]]

COLLECT_SECONDS = 1.0  # a worker that takes longer is shown as it was

_ENDED = error_status(NotReadyError("the process that was asked has ended; ask again"))


class WorkerProcess:
    """A process of its own, not forked: gRPC does not survive a fork."""

    def __init__(
        self,
        number: int,
        process: asyncio.subprocess.Process,
        link: WorkerLink,
        look_all: LookAll,
    ) -> None:
        self.number = number
        self._look_all = look_all
        self._looks: set[asyncio.Task[None]] = set()
        self.is_ready = False
        self.versions: tuple[int, ...] = ()  # of the model; known once ready
        self.families: list[Metric] = []  # its metrics as it last told them
        self.is_retired = False  # whether its metrics were put with those of the dead
        self._process = process
        self._link = link
        self._told = asyncio.Event()
        self._questions: dict[int, asyncio.Future[Answer]] = {}  # not answered yet
        self._asked = 0
        self._reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    @staticmethod
    async def spawn(config: Config, number: int, rates: int, look_all: LookAll) -> "WorkerProcess":
        """Starts one with `config`; it is not ready yet.

        `rates`: the file descriptor of what all workers count together. `look_all`: has all of them look for models.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "serving.process.worker", str(theirs.fileno())),
                    pass_fds=[theirs.fileno(), rates],
                )
            except BaseException:
                ours.close()
                raise
        link = await WorkerLink.open(ours)
        await link.send(Begin(config, number, rates))
        return WorkerProcess(number, process, link, look_all)

    async def until_ready(self) -> None:
        """Returns when it answers calls. Raises what it says kept it from that; WorkerDiedError when it just ended."""
        message = await self._link.receive()
        if not isinstance(message, Ready):
            status = await self.until_ended()
            if isinstance(message, Failed):
                raise message.error
            raise WorkerDiedError(f"worker {self.number} ended with status {status} before it was ready")
        self.is_ready, self.versions = True, message.versions
        self._reading = asyncio.create_task(self._read())

    async def until_ended(self) -> int:
        """Returns its exit status, negative for the signal that ended it."""
        status = await self._process.wait()
        self.is_ready = False
        if self._reading:
            await asyncio.gather(self._reading, return_exceptions=True)  # what it said last
        await self._link.close()
        return status

    async def collect(self) -> list[Metric]:
        """Its metrics now, or as they last were where it does not answer in time, has ended or was never ready."""
        if self._reading is None:
            return self.families
        self._told.clear()
        await self._link.send(Collect())
        told = asyncio.create_task(self._told.wait())
        await asyncio.wait({told, self._reading}, timeout=COLLECT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        return self.families

    async def ask(self, question: Question) -> Answer:
        """Its answer; where it ends meanwhile, that there is none."""
        if self._reading is None or self._reading.done():
            return _ENDED
        self._asked += 1
        number = self._asked
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._questions[number] = answer
        try:
            await self._link.send(Ask(number, question))
            return await answer
        except asyncio.CancelledError:
            await self._link.send(Forget(number))
            raise
        finally:
            del self._questions[number]

    async def look_at_models(self, policy: VersionPolicy | None) -> None:
        """Has it look at the model's folder now, and serve what `policy` says from now on."""
        await self._link.send(Look(policy))

    async def drain(self, grace_seconds: float) -> int:
        """Has it answer what it admitted and end, or ends it when the grace is over; its exit status."""
        self.is_ready = False
        await self._link.send(Drain())
        with suppress(TimeoutError):
            return await asyncio.wait_for(self.until_ended(), grace_seconds)
        self.kill()
        return await self.until_ended()

    def kill(self) -> None:
        """Ends it at once."""
        with suppress(ProcessLookupError):
            self._process.kill()

    async def _read(self) -> None:
        try:
            await self._read_messages()
        finally:
            self.is_ready = False  # its end of the link is closed: it has ended, or is about to
            for question in self._questions.values():
                if not question.done():
                    question.set_result(_ENDED)

    async def _read_messages(self) -> None:
        while (message := await self._link.receive()) is not None:
            if isinstance(message, Collected):
                self.families = message.families
                self._told.set()
            elif isinstance(message, Answered):
                question = self._questions.get(message.number)
                if question and not question.done():
                    question.set_result(message.answer)
            elif isinstance(message, Look):
                look = asyncio.create_task(self._look_all())
                self._looks.add(look)
                look.add_done_callback(self._looks.discard)
