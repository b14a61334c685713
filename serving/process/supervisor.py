"""Several worker processes behind one address, one /metrics and one readiness. Does no work of theirs itself.

1. The supervisor holds the port; each worker listens on it (SO_REUSEPORT), and the kernel spreads connections.
2. Ready when every worker has been; from then on while any is. A worker that dies is replaced and counted. Where nobody
   looks for new versions, its replacement has the version of the others. One that has grown is replaced, too: it goes
   on until the new one is ready, and one goes at a time.
3. What a worker had counted when it had drained, or before it died when it was asked last, stays counted when it has
   ended, and counts once.
4. The first start that fails ends everything with its reason; a replacement that fails is tried again, ever less often.
5. Draining: not ready at once, each worker drains, the HTTP side goes last. A worker without a supervisor drains too.
"""

import asyncio
import dataclasses
import socket
from collections.abc import Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any

from prometheus_client import Metric

from serving.api.forwarding import Answer, Question
from serving.api.listening_port import reserve_port
from serving.api.status import error_status
from serving.auth.rate_limits import RateMemory
from serving.config import Config
from serving.errors import NotReadyError, WorkerDiedError
from serving.logging import Logger
from serving.metrics.merge import lasting, summed
from serving.metrics.metrics import SupervisorMetrics
from serving.process import recycling as memory_growth
from serving.process.recycling import MemoryGrowth, held_bytes
from serving.process.worker_process import WorkerProcess
from serving.version_policy import VersionPolicy

if TYPE_CHECKING:
    from serving.api.http.server import HttpFace

END_SECONDS = 5.0  # beyond the grace of the drain, to stop what it started
_NOBODY = error_status(NotReadyError("no worker answers calls now; try again soon"))
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 10.0
RENEWAL_SECONDS = 120.0  # for a worker that is to take another's place to get ready


class Supervisor:
    """`async with Supervisor(config, log, workers) as supervisor:` serves until the block ends, then drains."""

    def __init__(self, config: Config, log: Logger, workers: int) -> None:
        self._config = config
        self._log = log
        self._count = workers
        self._workers: list[WorkerProcess] = []  # by number
        self._others: set[WorkerProcess] = set()  # that are not ready to take a number yet, or have lost theirs
        self._one_renewal = asyncio.Lock()
        self._drains: set[asyncio.Task[None]] = set()  # of those that have lost their number
        self._looks = 0  # that somebody had all of them take
        self._retired: list[Metric] = []
        self._policy = config.model_version
        self._rates: RateMemory | None = None
        self._is_draining = False
        self._turn = 0  # of questions
        self._http: HttpFace | None = None
        self._port: socket.socket | None = None
        self._keepers: list[asyncio.Task[None]] = []
        self.metrics = SupervisorMetrics()
        self.grpc_port = 0  # known once started
        self.http_port = 0
        self.metrics_port = 0

    @property
    def is_ready(self) -> bool:
        """Whether calls are answered."""
        return bool(self._keepers) and not self._is_draining and any(self._ready_workers())

    @property
    def worker_pids(self) -> list[int]:
        """Of the workers that there are."""
        return [worker.pid for worker in self._workers]

    async def __aenter__(self) -> "Supervisor":
        try:
            await self._start()
        except BaseException:
            self.kill()
            await asyncio.gather(*(worker.until_ended() for worker in self._workers))
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._log.info("draining", workers=len(self._ready_workers()))
        self._is_draining = True
        await self._end_keepers()  # from now on no worker comes
        await asyncio.gather(*map(self._drain, [*self._workers, *self._others]), *self._drains)
        await self._stop()

    def kill(self) -> None:
        """Ends every worker at once."""
        for worker in [*self._workers, *self._others]:
            worker.kill()

    async def collect(self) -> list[Metric]:
        """The metrics of all workers together, the dead included, and the supervisor's own."""
        retired = self._retired  # now: whoever ends while it is asked is told by what it said last
        workers = [worker for worker in [*self._workers, *self._others] if not worker.is_retired]
        told = await asyncio.gather(*(worker.collect() for worker in workers))
        # One that drains is not ready, and the service may well be: that is this process's to tell.
        told = [[family for family in families if family.name != "mnist_ready"] for families in told]
        self.metrics.ready.set(self.is_ready)
        self.metrics.workers.set(len(self._ready_workers()))
        return summed([retired, *told, list(self.metrics.registry.collect())])

    async def answer(self, question: Question) -> Answer:
        """The answer of one worker; they are asked in turn."""
        ready = self._ready_workers()
        if self._is_draining or not ready:
            return _NOBODY
        self._turn += 1
        return await ready[self._turn % len(ready)].ask(question)

    async def look_at_models(self) -> None:
        """Has every worker serve what is new in the model's folder, and those that will replace them."""
        self._policy = self._config.model_version
        self._looks += 1
        await asyncio.gather(*(worker.look_at_models(self._policy) for worker in self._ready_workers()))

    async def _start(self) -> None:
        """Workers are spawned first: they load while the HTTP side is brought up."""
        self._rates = RateMemory()
        self._port = reserve_port(self._config.host, self._config.grpc_port)
        self.grpc_port = self._port.getsockname()[1]
        for number in range(self._count):
            self._workers.append(await self._spawn(number))
        from serving.api.http.server import HttpFace  # aiohttp takes a quarter of a second

        config = self._config
        self._http = HttpFace(config, self.collect, lambda: self.is_ready, self.answer)
        self.http_port, self.metrics_port = await self._http.start()
        await asyncio.gather(*(worker.until_ready() for worker in self._workers))
        if not self._config.model_poll_seconds:  # then replacements follow the others, and not the folder
            self._policy = VersionPolicy(versions=self._workers[0].versions)
        self._keepers = [asyncio.create_task(self._keep(number)) for number in range(self._count)]

    async def _end_keepers(self) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    async def _drain(self, worker: WorkerProcess) -> None:
        await worker.drain(self._config.drain_grace_seconds + END_SECONDS)
        self._retire(worker)
        self._others.discard(worker)

    async def _stop(self) -> None:
        if self._http:
            await self._http.close()
        if self._port:
            self._port.close()
        if self._rates:
            self._rates.close()
        self._log.info("stopped")

    def _ready_workers(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker.is_ready]

    async def _spawn(self, number: int) -> WorkerProcess:
        count, config = self._count, self._config
        if not self._rates:
            raise RuntimeError("a worker is spawned before the start: this is a bug")
        share = dataclasses.replace(
            config,
            workers=count,
            model_version=self._policy,
            grpc_port=self.grpc_port,
            queue_capacity_images=max(config.queue_capacity_images // count, config.max_images_per_request),
            decode_threads=max(config.decode_threads // count, 1),
        )
        return await WorkerProcess.spawn(share, number, self._rates.descriptor, self.look_at_models)

    async def _keep(self, number: int) -> None:
        """Replaces the worker of this number whenever it ends or has grown, until the service drains."""
        while True:
            worker = self._workers[number]
            ended = asyncio.create_task(worker.until_ended())
            try:
                if await self._is_renewed(worker, ended):
                    continue
                status = ended.result()
            finally:
                ended.cancel()
            self._retire(worker)
            self.metrics.restarts.inc()
            self._log.error("worker_died", worker=number, status=status)
            await self._replace(number)

    async def _is_renewed(self, worker: WorkerProcess, ended: asyncio.Task[int]) -> bool:
        """Returns when the worker has ended: False; or when it had grown, and another is in its place: True."""
        growth = MemoryGrowth(self._config.worker_memory_growth_bytes)
        while not (await asyncio.wait({ended}, timeout=memory_growth.LOOK_SECONDS))[0]:
            if not growth.is_too_much(held_bytes(worker.pid)) or self._one_renewal.locked():
                continue
            async with self._one_renewal:
                if await self._renew(worker, ended):
                    return True
            growth.forget_looks()  # and tries again when it was as much for as long
        return False

    async def _renew(self, old: WorkerProcess, ended: asyncio.Task[int]) -> bool:
        """Whether another took its place. `ended`: of the old one, which goes on where none can be had."""
        self._log.info("worker_has_grown", worker=old.number, pid=old.pid, bytes=held_bytes(old.pid))
        new, looks = None, self._looks
        try:
            new = await self._spawn(old.number)
            self._others.add(new)
            async with asyncio.timeout(RENEWAL_SECONDS):
                await _before(new.until_ready(), ended)
        except Exception as error:  # as in _replace; TimeoutError for one that hangs while it loads
            self._log.error("worker_not_replaced", worker=old.number, why=str(error) or "it does not get ready")
            if new:
                new.kill()
                await new.until_ended()
                self._others.discard(new)
            return False
        self._workers[old.number] = new
        self._others ^= {new, old}
        if looks != self._looks:  # somebody had all look while it loaded
            await new.look_at_models(self._policy)
        self.metrics.renewals.inc()
        self._log.info("worker_replaced", worker=new.number, pid=new.pid)
        drain = asyncio.create_task(self._drain(old))
        self._drains.add(drain)
        drain.add_done_callback(self._drains.discard)
        return True

    def _retire(self, worker: WorkerProcess) -> None:
        """Puts what it counted with that of the others who have ended."""
        if not worker.is_retired:
            worker.is_retired = True
            self._retired = summed([self._retired, lasting(worker.families)])

    async def _replace(self, number: int) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            await asyncio.sleep(pause)
            try:
                worker = self._workers[number] = await self._spawn(number)
                await worker.until_ready()
            except Exception as error:  # whatever keeps it from starting may pass: the others serve meanwhile
                self._log.error("worker_not_replaced", worker=number, why=str(error))
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                self._log.info("worker_replaced", worker=number, pid=worker.pid)
                return


async def _before(coroutine: Coroutine[Any, Any, None], ended: asyncio.Task[int]) -> None:
    """Returns what it returns. Raises WorkerDiedError where the other task ends first."""
    task = asyncio.create_task(coroutine)
    try:
        await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise WorkerDiedError("the one that it should take the place of has ended")
        task.result()
    finally:
        task.cancel()
