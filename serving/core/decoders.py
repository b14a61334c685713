"""Decoders: threads that decode pictures, shared fairly by the clients.

1. Work is admitted by its cost, which is known from a file's header: what waits here is bounded, in all and for each
   client (serving.core.admission).
2. Clients take turns, each by the cost of its work: start-time fair queueing (Goyal, Vin and Cheng, IEEE/ACM
   Transactions on Networking 5(5), 1997). A picture of a client that sends few is decoded before the thousandth of
   another. Virtual time also goes on as in weighted fair queueing, so that clients that are always new starve nobody.
3. Large pictures have threads of their own, half as many: a thread that has begun cannot be interrupted, and each
   large picture takes a hundred megabytes or more.
"""

import asyncio
import heapq
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from serving.core.admission import Admission
from serving.errors import DecodersFullError, InvalidRequestError
from serving.image.header import UNIT

CAPACITY = 2048  # units of work that may wait or run: 134 million pixels, 2 to 4 s of one thread
LARGE = 64  # units: from 4 million pixels on a picture is large
RETRY_SECONDS = 0.05  # that a refused client should wait at least
NEWEST = 0.1  # weight of the newest measurement in the mean time for a unit
MOST_REMEMBERED = 64  # clients without jobs, about

Done = TypeVar("Done")


@dataclass(slots=True)
class _Job:
    """Work of one client. `work` is None once it was cancelled."""

    client: str
    cost: int
    work: Callable[[], Any] | None
    result: asyncio.Future[Any]


class _Lane:
    """Threads, and the jobs that wait for them: a heap, by the virtual time at which each may start."""

    def __init__(self, threads: int) -> None:
        self.executor = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self.free = threads
        self.waiting: list[tuple[float, int, _Job]] = []

    def next(self) -> tuple[float, _Job, Callable[[], Any]] | None:
        """Takes the job whose turn it is, with its start and its work; None without a job or a free thread."""
        while self.free and self.waiting:
            start, _, job = heapq.heappop(self.waiting)
            if job.work is not None:
                work, job.work = job.work, None  # from now on it cannot be dropped
                return start, job, work
        return None


class Decoders:
    """Runs work on threads until close(). Used from the event loop alone."""

    def __init__(self, threads: int, largest: int = 1) -> None:
        """`largest`: cost of the largest picture that is accepted, for which there is always room on an idle server."""
        self._threads = threads
        self._small, self._large = _Lane(threads), _Lane(max(1, threads // 2))
        self._admission = Admission(max(CAPACITY, largest))
        self._numbers = itertools.count()
        self._now = 0.0  # virtual time: work that each client with jobs could have had
        self._jobs = Counter[str]()  # that wait or run, by client; no zeros
        self._ends: dict[str, float] = {}  # virtual time at which the last job of each client ends
        self._unit_seconds = 0.0  # of a thread; 0: not measured yet

    @property
    def held(self) -> int:
        """Units of work that wait or run."""
        return self._admission.held

    def expected_seconds(self, client: str, cost: int) -> float:
        """Returns how long work of this cost would take, with its wait; 0 where nothing waits or runs."""
        if not self._admission.held:
            return 0.0
        ahead = self._admission.ahead_of(client, cost)
        return (ahead / self._threads + cost) * self._unit_seconds

    @contextmanager
    def admitted(self, client: str, cost: int) -> Iterator[None]:
        """Holds room for work of this cost, 0 or more, within the block. Raises DecodersFullError.

        Raises InvalidRequestError where there is never so much room.
        """
        if not cost:
            yield
            return
        capacity = self._admission.capacity
        if cost > capacity:
            raise InvalidRequestError(
                f"the pictures of this request have about {cost * UNIT / 1e6:,.0f} million pixels or bytes to decode,"
                f" at most {capacity * UNIT / 1e6:,.0f} at once are accepted; send them in several requests"
            )
        if not self._admission.admit(client, cost):
            raise DecodersFullError(max(self.expected_seconds(client, cost), RETRY_SECONDS))
        try:
            yield
        finally:
            self._admission.release(client, cost)

    def run(self, client: str, cost: int, work: Callable[[], Done]) -> asyncio.Future[Done]:
        """Runs `work` on a thread when it is the client's turn.

        Cancel the future when its result is no longer needed: work that has not begun is dropped.
        """
        result: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        job = _Job(client, cost, work, result)
        start = max(self._now, self._ends.get(client, 0.0))
        self._ends[client] = start + cost
        self._jobs[client] += 1
        lane = self._large if cost >= LARGE else self._small
        heapq.heappush(lane.waiting, (start, next(self._numbers), job))
        result.add_done_callback(lambda _: self._drop(job))
        self._begin(lane)
        return result

    def close(self) -> None:
        """Drops what waits. Does not wait for what runs."""
        for lane in (self._small, self._large):
            for _, _, job in lane.waiting:
                job.result.cancel()
            lane.executor.shutdown(wait=False, cancel_futures=True)

    def _begin(self, lane: _Lane) -> None:
        """Begins the jobs whose turn it is while threads are free."""
        while found := lane.next():
            start, job, work = found
            self._now = max(self._now, start)
            lane.free -= 1
            running = asyncio.get_running_loop().run_in_executor(lane.executor, _timed, work)
            running.add_done_callback(partial(self._ended, lane, job))

    def _ended(self, lane: _Lane, job: _Job, done: "asyncio.Future[tuple[Any, float]]") -> None:
        lane.free += 1
        self._now += job.cost / len(self._jobs)
        self._forget(job)
        if done.cancelled():  # closed
            job.result.cancel()
            return
        error = done.exception()
        if error is None:
            value, seconds = done.result()
            unit = seconds / job.cost
            self._unit_seconds += (unit - self._unit_seconds) * (NEWEST if self._unit_seconds else 1)
            if not job.result.done():
                job.result.set_result(value)
        elif not job.result.done():
            job.result.set_exception(error)
        self._begin(lane)

    def _forget(self, job: _Job) -> None:
        """Takes a job from its client, and forgets clients without jobs whose turn would come at once."""
        self._jobs[job.client] -= 1
        if not self._jobs[job.client]:
            del self._jobs[job.client]
        if not self._jobs:
            self._ends.clear()
        elif len(self._ends) > 2 * len(self._jobs) + MOST_REMEMBERED:
            self._ends = {client: end for client, end in self._ends.items() if end > self._now or client in self._jobs}

    def _drop(self, job: _Job) -> None:
        """Drops a job that was cancelled before it began, with the picture that it holds."""
        if job.work is not None:
            job.work = None
            self._ends[job.client] -= job.cost  # it cost nothing
            self._forget(job)


def _timed(work: Callable[[], Done]) -> tuple[Done, float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began
