"""Calls of one event loop that share RPCs: `share_queue` decides, this waits. Its rules stand there."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from serving.client.classify_codec import response_predictions
from serving.client.messages import Prediction, call_error, closed_error, deadline_error
from serving.client.share_queue import Call, Outcome, Share, ShareQueue

Answer = asyncio.Future[list[Prediction]]
Rpc = Callable[[bytes, float], Awaitable[bytes]]  # the serialised request and its timeout in seconds


class Coalescer:
    """Belongs to one event loop. `rpc` sends one request and raises grpc.RpcError."""

    def __init__(self, rpc: Rpc, queue: ShareQueue[Answer]) -> None:
        self._rpc = rpc
        self._queue = queue
        self._tasks: dict[Share[Answer], asyncio.Task[Outcome]] = {}
        self._timers: dict[Call[Answer], asyncio.TimerHandle] = {}
        self._is_woken = False
        self._is_closed = False

    def submit(self, content: bytes, images: int, version: bytes, timeout_seconds: float) -> Call[Answer]:
        """The call on its way; `wait` or `abandon` must follow. Raises CallError when closed."""
        if self._is_closed:
            raise closed_error()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_seconds
        call = Call(content, images, version, deadline, loop.create_future())
        self._timers[call] = loop.call_at(deadline, self._expire, call)
        self._queue.add(call)
        self._wake()
        return call

    async def wait(self, call: Call[Answer]) -> list[Prediction]:
        """The call's answer. Raises CallError. Cancelled, it leaves the others alone."""
        try:
            return await call.answer
        except asyncio.CancelledError:
            self.abandon(call)
            raise
        finally:
            self._forget_timer(call)

    def abandon(self, call: Call[Answer]) -> None:
        """Nobody waits for the call any longer."""
        self._forget_timer(call)
        if call.answer.done() and not call.answer.cancelled():
            call.answer.exception()  # looked at, or asyncio logs that it never was
            return
        call.answer.cancel()
        self._leave(call)

    async def close(self) -> None:
        """Every call that is under way fails with CANCELLED; returns when no RPC is left."""
        self._is_closed = True
        self._queue.fail_waiting(closed_error())
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _wake(self) -> None:
        """At the loop's next turn, so that callers who call in the same turn share, as those of one answer do."""
        if not self._is_woken:
            self._is_woken = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._is_woken = False
        while share := self._queue.take():
            task = self._tasks[share] = asyncio.create_task(self._ask(share))
            task.add_done_callback(partial(self._ended, share))

    async def _ask(self, share: Share[Answer]) -> Outcome:
        try:
            remaining = share.deadline - asyncio.get_running_loop().time()
            return response_predictions(await self._rpc(share.request(), max(remaining, 0)), share.images)
        except Exception as error:  # the border of the RPC: whoever waits must hear of it
            return call_error(error)

    def _ended(self, share: Share[Answer], task: asyncio.Task[Outcome]) -> None:
        """A callback and no `finally` in the task: a task that is cancelled before its first step runs nothing."""
        del self._tasks[share]
        self._queue.finish(share, closed_error() if self._is_closed or task.cancelled() else task.result())
        self._wake()

    def _expire(self, call: Call[Answer]) -> None:
        if not call.answer.done():
            call.answer.set_exception(deadline_error())
            self._leave(call)

    def _leave(self, call: Call[Answer]) -> None:
        share = self._queue.leave(call)
        if share and (task := self._tasks.get(share)):  # none: its answer has come, in this very turn of the loop
            task.cancel()

    def _forget_timer(self, call: Call[Answer]) -> None:
        if timer := self._timers.pop(call, None):
            timer.cancel()
