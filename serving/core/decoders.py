"""Decoders: threads that decode pictures, shared fairly by the clients.

1. Work is admitted by its cost, which is known from a file's header: what waits here is bounded, in all and for each
   client (serving.core.admission).
2. Clients take turns, each by the cost of its work: start-time fair queueing (Goyal, Vin and Cheng, IEEE/ACM
   Transactions on Networking 5(5), 1997). A picture of a client that sends few is decoded before the thousandth of
   another. Virtual time also goes on as in weighted fair queueing, so that clients that are always new starve nobody.
   Work that took longer than its cost promised is paid for afterwards.
3. What takes long has threads of its own, half as many: a thread that has begun cannot be interrupted, and each large
   picture takes a hundred megabytes or more. Turns are those of the same threads: a client's large pictures do not
   delay its small ones.
"""

import asyncio
import heapq
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from serving.core.admission import MIN_RETRY_SECONDS, Admission
from serving.errors import DecodersFullError, InvalidRequestError
from serving.image.header import UNIT

CAPACITY = 2048  # units of work that may wait or run: 134 million pixels, 2 to 4 s of one thread
LARGE = 64  # units: from 4 million pixels on a picture is large
UNIT_SECONDS = 0.0015  # of a thread for a unit, at first
LEAST_UNIT_SECONDS, MOST_UNIT_SECONDS = 0.0002, 0.005  # odd pictures must not spoil the estimate for all others
NEWEST = 0.1  # weight of the newest measurement in the mean time for a unit
MOST_REMEMBERED = 64  # clients without jobs, about
MOST_DROPPED = 64  # jobs of a client that stay in its queue when they were cancelled, about, besides half of it

Done = TypeVar("Done")


@dataclass(slots=True)
class _Job:
    """Work of one client. `work` is None once it was cancelled."""

    cost: int
    work: Callable[[], Any] | None
    result: asyncio.Future[Any]


@dataclass(slots=True)
class _Client:
    """Client of a lane: its jobs that wait, in order, how many run, and the virtual time at which its turn comes."""

    turn: float
    waiting: deque[_Job] = field(default_factory=deque)
    dropped: int = 0  # of those that wait
    running: int = 0
    has_turn: bool = False  # stands among the lane's turns


class _Lane:
    """Threads with the clients that wait for them."""

    def __init__(self, threads: int) -> None:
        self.executor = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self.free = threads
        self.now = 0.0  # virtual time: work that each client with jobs could have had
        self.clients: dict[str, _Client] = {}
        self.busy = 0  # clients that have a turn, or jobs that run
        self._turns: list[tuple[float, int, str]] = []  # a heap
        self._numbers = itertools.count()  # of equal turns the first goes first

    def add(self, name: str, job: _Job) -> None:
        """Adds a job to those of the client."""
        client = self.clients.setdefault(name, _Client(self.now))
        client.waiting.append(job)
        if not client.has_turn:
            self.busy += not client.running
            client.turn = max(client.turn, self.now)
            self._wait(name, client)

    def drop(self, name: str, job: _Job) -> None:
        """Lets go of the picture of a job that was cancelled before it began. It costs its client nothing."""
        if job.work is None:
            return
        job.work = None
        client = self.clients[name]
        client.dropped += 1
        if client.dropped > len(client.waiting) // 2 + MOST_DROPPED:
            client.waiting = deque(each for each in client.waiting if each.work is not None)
            client.dropped = 0

    def next(self) -> tuple[str, _Job, Callable[[], Any]] | None:
        """Takes the job whose turn it is, its client and its work; None without a job or a free thread."""
        while self.free and self._turns:
            turn, _, name = heapq.heappop(self._turns)
            client = self.clients[name]
            client.has_turn = False
            if turn < client.turn:  # it has paid for earlier work since then
                self._wait(name, client)
                continue
            while client.waiting:
                job = client.waiting.popleft()
                work, job.work = job.work, None  # from now on it cannot be dropped
                if work is None:
                    client.dropped -= 1
                elif not job.result.done():
                    client.turn = turn + job.cost
                    client.running += 1
                    self.now = max(self.now, turn)
                    if client.waiting:
                        self._wait(name, client)
                    return name, job, work
            self._rest(client)
        return None

    def ended(self, name: str, cost: int, more: float) -> None:
        """Ends a job of the client that has cost so much, and `more` than that."""
        client = self.clients[name]
        client.running -= 1
        client.turn += more
        self.now += cost / self.busy
        self._rest(client)

    def _wait(self, name: str, client: _Client) -> None:
        client.has_turn = True
        heapq.heappush(self._turns, (client.turn, next(self._numbers), name))

    def _rest(self, client: _Client) -> None:
        """Counts a client that has no more jobs, and forgets those whose turn would come at once."""
        if client.has_turn or client.running:
            return
        self.busy -= 1
        if not self.busy:
            self.clients.clear()
        elif len(self.clients) > 2 * self.busy + MOST_REMEMBERED:
            self.clients = {
                name: each
                for name, each in self.clients.items()
                if each.has_turn or each.running or each.turn > self.now
            }


class Decoders:
    """Runs work on threads until close(). Used from the event loop alone."""

    def __init__(self, threads: int, largest: int = 1) -> None:
        """`largest`: cost of the largest picture that is accepted, for which there is always room on an idle server."""
        self._threads = threads
        self._short, self._long = _Lane(threads), _Lane(max(1, threads // 2))
        self._admission = Admission(max(CAPACITY, largest))
        self._unit_seconds = UNIT_SECONDS

    @property
    def held(self) -> int:
        """Units of work of the requests that have room."""
        return self._admission.held

    def expected_seconds(self, client: str, cost: int) -> float:
        """Returns how long work of this cost would take, with its wait; 0 where nothing has room."""
        if not self.held:
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
            raise DecodersFullError(max(self.expected_seconds(client, cost), MIN_RETRY_SECONDS))
        try:
            yield
        finally:
            self._admission.release(client, cost)

    def run(self, client: str, cost: int, work: Callable[[], Done], *, is_long: bool = False) -> asyncio.Future[Done]:
        """Runs `work` on a thread when it is the client's turn. `is_long`: it may take long, whatever it costs.

        Cancel the future when its result is no longer needed: work that has not begun is dropped.
        """
        result: asyncio.Future[Done] = asyncio.get_running_loop().create_future()
        job = _Job(cost, work, result)
        lane = self._long if is_long or cost >= LARGE else self._short
        result.add_done_callback(lambda _: lane.drop(client, job))
        lane.add(client, job)
        self._begin(lane)
        return result

    def close(self) -> None:
        """Drops what waits. Does not wait for what runs."""
        for lane in (self._short, self._long):
            for client in lane.clients.values():
                for job in client.waiting:
                    job.result.cancel()
            lane.executor.shutdown(wait=False, cancel_futures=True)

    def _begin(self, lane: _Lane) -> None:
        """Begins the jobs whose turn it is while threads are free."""
        while found := lane.next():
            name, job, work = found
            lane.free -= 1
            running = asyncio.get_running_loop().run_in_executor(lane.executor, _timed, work)
            running.add_done_callback(partial(self._ended, lane, name, job))

    def _ended(
        self, lane: _Lane, name: str, job: _Job, done: "asyncio.Future[tuple[Any, Exception | None, float]]"
    ) -> None:
        lane.free += 1
        if done.cancelled():  # closed
            lane.ended(name, job.cost, 0.0)
            job.result.cancel()
            return
        value, error, seconds = done.result()
        lane.ended(name, job.cost, max(0.0, seconds / self._unit_seconds - job.cost))
        unit_seconds = min(max(seconds / job.cost, LEAST_UNIT_SECONDS), MOST_UNIT_SECONDS)
        self._unit_seconds += NEWEST * (unit_seconds - self._unit_seconds)
        if not job.result.done():
            if error is None:
                job.result.set_result(value)
            else:
                job.result.set_exception(error)
        self._begin(lane)


def _timed(work: Callable[[], Done]) -> tuple[Done | None, Exception | None, float]:
    """Returns the result or the error of the work, and its seconds: what fails takes time as well."""
    began = time.perf_counter()
    try:
        return work(), None, time.perf_counter() - began
    except Exception as error:  # handed to the caller
        return None, error, time.perf_counter() - began
