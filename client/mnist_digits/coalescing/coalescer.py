"""Lets the calls of one event loop share RPCs: `share_queue` decides, by the rules there, and this waits."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from mnist_digits.classify_codec import response_predictions
from mnist_digits.coalescing.share_queue import Call, Outcome, SharedRpc, ShareQueue
from mnist_digits.errors import call_error, closed_error, deadline_error
from mnist_digits.results import Prediction

AsyncFuture = asyncio.Future[list[Prediction]]
AsyncCall = Call[AsyncFuture]
Send = Callable[[bytes, float], Awaitable[bytes]]  # takes the serialized request and its timeout in seconds


class Coalescer:
    """Belongs to one event loop. `send` sends one request and raises grpc.RpcError."""

    def __init__(self, send: Send, queue: ShareQueue[AsyncFuture]) -> None:
        self._send = send
        self._queue = queue
        self._tasks: dict[SharedRpc[AsyncFuture], asyncio.Task[Outcome]] = {}
        self._timers: dict[AsyncCall, asyncio.TimerHandle] = {}
        self._is_woken = False
        self._is_closed = False

    def submit(self, content: bytes, images: int, version: bytes, timeout_seconds: float) -> AsyncCall:
        """Sends a call on its way; `wait` or `abandon` must follow. Raises CallError when closed."""
        if self._is_closed:
            raise closed_error()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        call = Call(content, images, version, deadline, loop.create_future())
        self._timers[call] = loop.call_at(deadline, self._expire, call)
        self._queue.add(call)
        self._wake()
        return call

    async def wait(self, call: AsyncCall) -> list[Prediction]:
        """Returns the call's predictions. Raises CallError. Cancelling it leaves other calls alone."""
        try:
            return await call.future
        except asyncio.CancelledError:
            self.abandon(call)
            raise
        finally:
            self._forget_timer(call)

    def abandon(self, call: AsyncCall) -> None:
        """Gives the call up: its caller waits no longer."""
        self._forget_timer(call)
        if call.future.done() and not call.future.cancelled():
            call.future.exception()  # marks it as seen, or asyncio logs that it never was
            return
        call.future.cancel()
        self._leave(call)

    async def close(self) -> None:
        """Fails every call under way with CANCELLED; returns when no RPC is left."""
        self._is_closed = True
        self._queue.fail_waiting(closed_error())
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _wake(self) -> None:
        """Sends at the loop's next turn, so that calls made in the same turn share an RPC."""
        if not self._is_woken:
            self._is_woken = True
            asyncio.get_running_loop().call_soon(self._start_rpcs)

    def _start_rpcs(self) -> None:
        self._is_woken = False
        while rpc := self._queue.take():
            task = self._tasks[rpc] = asyncio.create_task(self._run(rpc))
            task.add_done_callback(partial(self._ended, rpc))

    async def _run(self, rpc: SharedRpc[AsyncFuture]) -> Outcome:
        try:
            remaining = rpc.deadline - asyncio.get_running_loop().time()
            return response_predictions(await self._send(rpc.request(), max(remaining, 0)), rpc.images)
        except Exception as error:  # the border of the RPC: its callers must get the error
            return call_error(error)

    # A callback and no `finally` in the task, since a task that is cancelled before its first step runs nothing.
    def _ended(self, rpc: SharedRpc[AsyncFuture], task: asyncio.Task[Outcome]) -> None:
        del self._tasks[rpc]
        self._queue.finish(rpc, closed_error() if self._is_closed or task.cancelled() else task.result())
        self._wake()

    def _expire(self, call: AsyncCall) -> None:
        if not call.future.done():
            call.future.set_exception(deadline_error())
            self._leave(call)

    def _leave(self, call: AsyncCall) -> None:
        rpc = self._queue.leave(call)
        if rpc and (task := self._tasks.get(rpc)):  # None: the RPC has ended in this very turn of the loop
            task.cancel()

    def _forget_timer(self, call: AsyncCall) -> None:
        if timer := self._timers.pop(call, None):
            timer.cancel()
