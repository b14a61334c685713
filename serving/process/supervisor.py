"""The supervisor: several worker processes behind one address, one /metrics and one readiness. It answers no call.

1. The supervisor holds the ports; each worker listens on them (SO_REUSEPORT), and the kernel spreads connections.
   Whichever worker gets a scrape or a look at readiness answers for all: the supervisor tells it.
2. Ready once every worker has been ready, and from then on while any is. A worker that dies is replaced and counted.
   Without polling for new versions, the replacement serves the versions of the others.
3. A worker whose memory has grown is recycled: it goes on until its replacement is ready. One at a time.
4. The counts of a worker that has ended stay in the sums, once: those at the end of its drain, or those of its last
   collection before it died.
5. A first start that fails ends the service with the reason. A replacement that fails is tried again, ever less often.
   Files of keys and TLS that cannot be used meanwhile do not make it fail: the supervisor has their last good contents.
6. Drain: not ready at once, then each worker drains, and its HTTP stops last. A worker without a supervisor drains,
   too.
"""

import asyncio
import dataclasses
import os
import time
from collections.abc import Coroutine
from contextlib import ExitStack, closing
from types import TracebackType
from typing import Any

from prometheus_client import Metric

from serving.api.listening_port import ReservedPorts
from serving.auth.rate_limits import RateMemory
from serving.config import Config
from serving.drift.windows import DriftWindows
from serving.errors import WorkerDiedError
from serving.logging import Logger
from serving.metrics.merge import lasting, summed
from serving.metrics.supervisor_metrics import SupervisorMetrics
from serving.process import recycling
from serving.process.candidates.shadow_process import ShadowProcess
from serving.process.recycling import MemoryGrowth, held_bytes
from serving.process.trusted_files import TrustedFiles
from serving.process.worker_process import WorkerProcess
from serving.store.memory import RecentMemory
from serving.store.records import FEEDBACK
from serving.version_policy import VersionPolicy

END_SECONDS = 5.0  # for a worker to stop, after the grace of its drain
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 0.1, 10.0  # before replacing a dead worker; doubled at each failure
RECYCLING_SECONDS = 120.0  # for the replacement of a grown worker to get ready


class Supervisor:
    """A service in several processes. `async with Supervisor(...):` serves until the block ends, then drains."""

    def __init__(self, config: Config, log: Logger, workers: int, ports: ReservedPorts | None = None) -> None:
        """`ports`: those to serve on, which the caller closes; None: reserves those of the configuration itself."""
        self._config = config
        self._log = log
        self._count = workers
        self._workers: list[WorkerProcess] = []  # by number; one that died stays until it is replaced
        self._others: set[WorkerProcess] = set()  # replacements that are not ready yet, and recycled ones that drain
        self._recycling_lock = asyncio.Lock()
        self._drains: set[asyncio.Task[None]] = set()  # of recycled workers
        self._reloads = 0  # how often all workers were reloaded
        self._retired: list[Metric] = []  # sums of the workers that have ended
        self._policy = config.model_version  # for workers that start from now on
        self._rates: RateMemory | None = None
        self._recent: RecentMemory | None = None  # where there is a store
        self._trusted: TrustedFiles | None = None
        self._has_started = False  # every worker has been ready
        self._is_draining = False
        self._ports = ports
        self._reserved = ExitStack()  # the ports, where they are its own
        self._keepers: list[asyncio.Task[None]] = []  # one for each number, and one for the files of keys and TLS
        self.metrics = SupervisorMetrics(config.canary.version if config.canary else 0)
        self._drift = DriftWindows()
        self._shadow = ShadowProcess(config, log)
        self.grpc_port = 0  # known once started
        self.http_port = 0
        self.metrics_port = 0

    @property
    def is_ready(self) -> bool:
        """True while calls are answered."""
        return self._has_started and not self._is_draining and any(self._ready_workers())

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.pid for worker in self._workers]

    async def __aenter__(self) -> "Supervisor":
        try:
            await self._start()
        except BaseException:
            self.kill()  # they have answered no call yet: nothing to drain
            await asyncio.gather(*(worker.until_ended() for worker in self._workers))
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._log.info("draining", workers=len(self._ready_workers()))
        self._is_draining = True
        await self._announce()
        await self._end_keepers()  # from now on no worker starts
        ending = [self._drain(worker, is_last=True) for worker in [*self._workers, *self._others]]
        await asyncio.gather(*ending, *self._drains)
        await self._stop()

    def kill(self) -> None:
        """Kills every worker at once."""
        for worker in [*self._workers, *self._others]:
            worker.kill()

    async def collect(self) -> list[Metric]:
        """Sums the metrics of all workers, ended ones included, and the supervisor's own."""
        # Both taken before the first await: a worker that ends meanwhile is in one of the two, and not in both.
        retired = self._retired
        workers = [worker for worker in [*self._workers, *self._others] if not worker.is_retired]
        collected = await asyncio.gather(*(worker.collect() for worker in workers))
        # A recycled worker is not ready while it drains, and the service may be: only the supervisor reports readiness.
        collected = [[family for family in families if family.name != "mnist_ready"] for families in collected]
        self.metrics.ready.set(self.is_ready)
        self.metrics.memory.set(held_bytes(os.getpid()))
        self.metrics.workers.set(len(self._ready_workers()))
        families = summed([retired, *collected, list(self.metrics.registry.collect()), self._shadow.collect()])
        return self._drift.with_gauges(families, time.monotonic())

    async def reload_models(self) -> None:
        """Reloads models in every worker, and in those that will replace them."""
        self._policy = self._config.model_version  # no longer the versions of the start
        self._reloads += 1  # seen by a replacement that loads meanwhile
        await asyncio.gather(*(worker.reload_models(self._policy) for worker in self._ready_workers()))

    async def end_canary(self) -> None:
        """Ends the canary in every worker, and in those that will replace them."""
        if self._config.canary:
            self._config = dataclasses.replace(self._config, canary=dataclasses.replace(self._config.canary, share=0.0))
        # Also in those that still load: they have begun with the share.
        await asyncio.gather(*(worker.end_canary() for worker in [*self._workers, *self._others]))

    async def _start(self) -> None:
        self._rates = RateMemory()
        if FEEDBACK in self._config.stored:
            self._recent = RecentMemory(self._config.store_recent_images, self._count)
        self._shadow.start()
        self._trusted = TrustedFiles(self._config, self._log)
        ports = self._ports or self._reserved.enter_context(closing(ReservedPorts(self._config)))
        self._config = ports.of(self._config)
        self.grpc_port, self.http_port, self.metrics_port = ports.grpc, ports.http, ports.metrics
        for number in range(self._count):
            self._workers.append(await self._spawn(number, is_first=True))
        await asyncio.gather(*(worker.until_ready() for worker in self._workers))
        if (
            not self._config.model_poll_seconds
        ):  # a replacement must serve what the others do, not what is new in the folder
            self._policy = VersionPolicy(versions=self._workers[0].versions)
        self._has_started = True
        await self._announce()
        kept = [self._trusted.follow(), *(self._keep(number) for number in range(self._count))]
        self._keepers = [asyncio.create_task(each) for each in kept]

    async def _announce(self) -> None:
        """Tells all workers whether the service is ready: call it where that may have changed."""
        await asyncio.gather(*(worker.tell_ready(self.is_ready) for worker in [*self._workers, *self._others]))

    async def _end_keepers(self) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    async def _drain(self, worker: WorkerProcess, *, is_last: bool) -> None:
        await worker.drain(self._config.drain_grace_seconds + END_SECONDS, is_last=is_last)
        self._retire(worker)
        self._others.discard(worker)

    async def _stop(self) -> None:
        self._reserved.close()
        if self._rates:
            self._rates.close()
        if self._recent:
            self._recent.close()
        await self._shadow.close()
        self._log.info("stopped")

    def _ready_workers(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker.is_ready]

    async def _spawn(self, number: int, *, is_first: bool = False) -> WorkerProcess:
        count, config = self._count, self._config
        if not (self._rates and self._trusted):
            raise RuntimeError("a worker is spawned before the start: this is a bug")
        # Each worker gets its share of what bounds the whole service, and at least what the largest request needs.
        share = dataclasses.replace(
            config,
            workers=count,  # 0 in the configuration means: by the processors
            model_version=self._policy,
            queue_capacity_images=max(config.queue_capacity_images // count, config.max_images_per_request),
            decode_threads=max(config.decode_threads // count, 1),
        )
        last_good = self._trusted.current()
        rates, recent = self._rates.descriptor, self._recent.place if self._recent else None
        shadow = self._shadow.descriptor
        worker = await WorkerProcess.spawn(share, number, rates, self, last_good, recent, shadow, is_first=is_first)
        if self._config.canary != share.canary:  # it has ended meanwhile, and only workers that were there were told
            await worker.end_canary()
        return worker

    async def _keep(self, number: int) -> None:
        """Replaces the worker of this number whenever it ends or has grown, until the service drains."""
        while True:
            worker = self._workers[number]
            ended = asyncio.create_task(worker.until_ended())
            try:
                if await self._is_recycled(worker, ended):
                    continue  # with the new one
                status = ended.result()
            finally:
                ended.cancel()
            self._retire(worker)
            self.metrics.restarts.inc()  # unexpected ends only; recycling counts as renewals
            self._log.error("worker_died", worker=number, status=status)
            if (canary := self._config.canary) and canary.share:  # it may be why
                self._log.error("canary_returned", canary=canary.version, reason="worker_died")
                self.metrics.canary_returns.labels(str(canary.version), "worker_died").inc()
                await self.end_canary()
            await self._announce()
            await self._replace(number)

    async def _is_recycled(self, worker: WorkerProcess, ended: asyncio.Task[int]) -> bool:
        """Watches the worker's memory. Returns True when it was recycled, False when it has ended."""
        growth = MemoryGrowth(self._config.worker_memory_growth_bytes)
        while not (await asyncio.wait({ended}, timeout=recycling.LOOK_SECONDS))[0]:
            # Another one is being recycled: not queued, as the growth may be gone by then. The next look decides.
            if not growth.is_too_much(held_bytes(worker.pid)) or self._recycling_lock.locked():
                continue
            async with self._recycling_lock:
                if await self._recycle(worker, ended):
                    return True
            growth.forget_looks()  # tries again after LOOKS more looks above the limit
        return False

    async def _recycle(self, old: WorkerProcess, ended: asyncio.Task[int]) -> bool:
        """Replaces a worker that has grown. Returns False when that fails; then the old one goes on."""
        self._log.info("worker_has_grown", worker=old.number, pid=old.pid, bytes=held_bytes(old.pid))
        new, reloads = None, self._reloads
        try:
            new = await self._spawn(old.number)
            self._others.add(new)
            async with asyncio.timeout(RECYCLING_SECONDS):
                await _before(new.until_ready(), ended)
        except Exception as error:  # as in _replace(); TimeoutError for one that hangs while it loads
            self._log.error("worker_not_replaced", worker=old.number, why=str(error) or "it does not get ready")
            if new:
                new.kill()
                await new.until_ended()
                self._others.discard(new)
            return False
        # No await between the next two lines: each worker is always in exactly one of the two collections.
        self._workers[old.number] = new
        self._others ^= {new, old}
        if reloads != self._reloads:  # all were reloaded while it loaded, perhaps too late for it
            await new.reload_models(self._policy)
        self.metrics.renewals.inc()
        self._log.info("worker_replaced", worker=new.number, pid=new.pid)
        await self._announce()
        drain = asyncio.create_task(self._drain(old, is_last=False))
        self._drains.add(drain)
        drain.add_done_callback(self._drains.discard)
        return True

    def _retire(self, worker: WorkerProcess) -> None:
        """Adds the worker's counts to those of ended workers."""
        if not worker.is_retired:  # a dead worker that is not replaced yet is drained once more at the end
            worker.is_retired = True
            self._retired = summed([self._retired, lasting(worker.families)])

    async def _replace(self, number: int) -> None:
        """Replaces a worker that has died, after longer and longer pauses, until one is ready."""
        pause = FIRST_PAUSE_SECONDS
        while True:
            await asyncio.sleep(pause)
            try:
                worker = self._workers[number] = await self._spawn(number)
                await worker.until_ready()
            except Exception as error:  # its cause may pass, and the others serve meanwhile
                self._log.error("worker_not_replaced", worker=number, why=str(error))
                pause = min(2 * pause, MAX_PAUSE_SECONDS)
            else:
                self._log.info("worker_replaced", worker=number, pid=worker.pid)
                await self._announce()
                return


async def _before(coroutine: Coroutine[Any, Any, None], ended: asyncio.Task[int]) -> None:
    """Awaits the coroutine. Raises WorkerDiedError if the old worker ends first: then _replace() is in charge."""
    task = asyncio.create_task(coroutine)
    try:
        await asyncio.wait({task, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise WorkerDiedError("the worker that it should replace has ended")
        task.result()  # raises its error
    finally:
        task.cancel()
