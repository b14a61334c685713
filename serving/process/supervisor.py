"""The supervisor: several worker processes behind one address, one /metrics and one readiness. It runs no model.

1. The supervisor holds the port; each worker listens on it (SO_REUSEPORT), and the kernel spreads connections.
2. Ready when every worker has been; from then on while any is. A worker that dies is replaced and counted. Without
   polling for new versions, its replacement serves the versions of the others. One whose memory has grown is recycled:
   it goes on until its replacement is ready, and one is recycled at a time.
3. What a worker had counted when it had drained, or at its last collection before it died, stays counted, once.
4. The first start that fails ends everything with its reason; a replacement that fails is tried again, ever less often.
5. Draining: not ready at once, each worker drains, HTTP stops last. A worker without a supervisor drains too.
"""

import asyncio
import dataclasses
import socket
from collections.abc import Coroutine
from types import TracebackType
from typing import TYPE_CHECKING, Any

from prometheus_client import Metric

from serving.api.forwarding import ForwardedRequest, ForwardedResponse
from serving.api.listening_port import reserve_port
from serving.api.status import error_status
from serving.auth.rate_limits import RateMemory
from serving.config import Config
from serving.errors import NotReadyError, WorkerDiedError
from serving.logging import Logger
from serving.metrics.merge import lasting, summed
from serving.metrics.supervisor_metrics import SupervisorMetrics
from serving.process import recycling as memory_growth
from serving.process.recycling import MemoryGrowth, held_bytes
from serving.process.worker_process import WorkerProcess
from serving.version_policy import VersionPolicy

if TYPE_CHECKING:
    from serving.api.http.server import HttpServer

END_SECONDS = 5.0  # beyond the grace of the drain, to stop what it started
_NO_WORKER = error_status(NotReadyError("no worker answers calls now; try again soon"))
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.1, 10.0
RECYCLING_SECONDS = 120.0  # for a replacement to get ready


class Supervisor:
    """`async with Supervisor(config, log, workers) as supervisor:` serves until the block ends, then drains."""

    def __init__(self, config: Config, log: Logger, workers: int) -> None:
        self._config = config
        self._log = log
        self._count = workers
        self._workers: list[WorkerProcess] = []  # by number
        self._others: set[WorkerProcess] = set()  # not ready to take a number yet, or replaced and draining
        self._recycling_lock = asyncio.Lock()
        self._drains: set[asyncio.Task[None]] = set()  # of replaced workers
        self._reloads = 0  # of all workers
        self._retired: list[Metric] = []
        self._policy = config.model_version
        self._rates: RateMemory | None = None
        self._is_draining = False
        self._turn = 0  # of forwarded requests
        self._http: HttpServer | None = None
        self._port: socket.socket | None = None
        self._keepers: list[asyncio.Task[None]] = []
        self.metrics = SupervisorMetrics()
        self.grpc_port = 0  # known once started
        self.http_port = 0
        self.metrics_port = 0

    @property
    def is_ready(self) -> bool:
        """True while calls are answered."""
        return bool(self._keepers) and not self._is_draining and any(self._ready_workers())

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers."""
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
        """Sums the metrics of all workers, those that ended included, and the supervisor's own."""
        retired = self._retired  # before the workers: one that ends meanwhile counts by its last metrics
        workers = [worker for worker in [*self._workers, *self._others] if not worker.is_retired]
        collected = await asyncio.gather(*(worker.collect() for worker in workers))
        # A worker that drains is not ready while the service may be: readiness is the supervisor's metric.
        collected = [[family for family in families if family.name != "mnist_ready"] for families in collected]
        self.metrics.ready.set(self.is_ready)
        self.metrics.workers.set(len(self._ready_workers()))
        return summed([retired, *collected, list(self.metrics.registry.collect())])

    async def answer(self, request: ForwardedRequest) -> ForwardedResponse:
        """Forwards a request to one worker, in turn, and returns its response."""
        ready = self._ready_workers()
        if self._is_draining or not ready:
            return _NO_WORKER
        self._turn += 1
        return await ready[self._turn % len(ready)].forward(request)

    async def reload_models(self) -> None:
        """Reloads models in every worker, and in those that will replace them."""
        self._policy = self._config.model_version
        self._reloads += 1
        await asyncio.gather(*(worker.reload_models(self._policy) for worker in self._ready_workers()))

    async def _start(self) -> None:
        """Spawns workers first: they load while HTTP starts."""
        self._rates = RateMemory()
        self._port = reserve_port(self._config.host, self._config.grpc_port)
        self.grpc_port = self._port.getsockname()[1]
        for number in range(self._count):
            self._workers.append(await self._spawn(number))
        from serving.api.http.server import HttpServer  # aiohttp takes a quarter of a second

        config = self._config
        self._http = HttpServer(config, self.collect, lambda: self.is_ready, self.answer)
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
        return await WorkerProcess.spawn(share, number, self._rates.descriptor, self.reload_models)

    async def _keep(self, number: int) -> None:
        """Keeps a worker of this number: replaces it whenever it ends or has grown, until the service drains."""
        while True:
            worker = self._workers[number]
            ended = asyncio.create_task(worker.until_ended())
            try:
                if await self._is_recycled(worker, ended):
                    continue
                status = ended.result()
            finally:
                ended.cancel()
            self._retire(worker)
            self.metrics.restarts.inc()
            self._log.error("worker_died", worker=number, status=status)
            await self._replace(number)

    async def _is_recycled(self, worker: WorkerProcess, ended: asyncio.Task[int]) -> bool:
        """Waits for the worker. Returns False when it has ended; True when it had grown and was replaced."""
        growth = MemoryGrowth(self._config.worker_memory_growth_bytes)
        while not (await asyncio.wait({ended}, timeout=memory_growth.LOOK_SECONDS))[0]:
            if not growth.is_too_much(held_bytes(worker.pid)) or self._recycling_lock.locked():
                continue
            async with self._recycling_lock:
                if await self._recycle(worker, ended):
                    return True
            growth.forget_looks()  # and tries again when it has been as much for as long
        return False

    async def _recycle(self, old: WorkerProcess, ended: asyncio.Task[int]) -> bool:
        """Replaces a worker that has grown. Returns False where that fails, and the old one goes on."""
        self._log.info("worker_has_grown", worker=old.number, pid=old.pid, bytes=held_bytes(old.pid))
        new, reloads = None, self._reloads
        try:
            new = await self._spawn(old.number)
            self._others.add(new)
            async with asyncio.timeout(RECYCLING_SECONDS):
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
        if reloads != self._reloads:  # all were reloaded while it loaded
            await new.reload_models(self._policy)
        self.metrics.renewals.inc()
        self._log.info("worker_replaced", worker=new.number, pid=new.pid)
        drain = asyncio.create_task(self._drain(old))
        self._drains.add(drain)
        drain.add_done_callback(self._drains.discard)
        return True

    def _retire(self, worker: WorkerProcess) -> None:
        """Adds what it counted to the counts of ended workers."""
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
                pause = min(2 * pause, MAX_PAUSE_SECONDS)
            else:
                self._log.info("worker_replaced", worker=number, pid=worker.pid)
                return


async def _before(coroutine: Coroutine[Any, Any, None], ended: asyncio.Task[int]) -> None:
    """Awaits the coroutine. Raises WorkerDiedError where the worker ends first."""
    task = asyncio.create_task(coroutine)
    try:
        await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise WorkerDiedError("the worker that it should replace has ended")
        task.result()
    finally:
        task.cancel()
