"""Calls of several threads that share RPCs: `share_queue` decides, this waits. Its rules stand there.

There is no thread of ours: a caller that finds room for an RPC sends it, and the end of an RPC sends the next one.
A caller who travels alone blocks in its RPC, at half the cost of one whose end gRPC's thread reports.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial

import grpc

from serving.client.channel import Metadata
from serving.client.classify_codec import response_predictions
from serving.client.messages import Prediction, call_error, closed_error, deadline_error
from serving.client.share_queue import Call, Outcome, Share, ShareQueue

Answer = Future[list[Prediction]]


class ThreadCoalescer:
    """May be used from any thread. `rpc` sends one serialised request, with `metadata`."""

    def __init__(
        self, rpc: "grpc.UnaryUnaryMultiCallable[bytes, bytes]", queue: ShareQueue[Answer], metadata: Metadata = ()
    ) -> None:
        self._rpc = rpc
        self._metadata = metadata
        self._queue = queue
        self._lock = threading.Lock()  # of the queue and of what it keeps in calls and shares
        self._rpcs: dict[Share[Answer], grpc.Future[bytes]] = {}
        self._is_closed = False

    def call(self, content: bytes, images: int, version: bytes, timeout_seconds: float) -> Call[Answer]:
        """A call that `submit` can take, its deadline counted from now."""
        return Call(content, images, version, time.monotonic() + timeout_seconds, Future())

    def ask(self, call: Call[Answer]) -> list[Prediction]:
        """The call's answer. Raises CallError."""
        share = self._add([call])
        if share and share.calls == [call]:
            self._run_here(share)
        elif share:
            self._start(share)
        self._send()
        return self.wait(call)

    def submit(self, calls: Sequence[Call[Answer]]) -> None:
        """Sends them on their way; `wait` or `abandon` must follow for each. Raises CallError when closed."""
        if share := self._add(calls):
            self._start(share)
        self._send()

    def wait(self, call: Call[Answer]) -> list[Prediction]:
        """The call's answer. Raises CallError."""
        try:
            return call.answer.result(max(call.deadline - time.monotonic(), 0))
        except TimeoutError:
            self.abandon(call)
            raise deadline_error() from None
        except BaseException:  # KeyboardInterrupt, for one: who is interrupted has gone
            self.abandon(call)
            raise

    def abandon(self, call: Call[Answer]) -> None:
        """Nobody waits for the call any longer."""
        with self._lock:
            rpc = None
            if not call.answer.done() and (share := self._queue.leave(call)):
                rpc = self._rpcs.get(share)
        if rpc:
            rpc.cancel()  # outside the lock: its callback may run here

    def close(self) -> None:
        """Every call that waits fails with CANCELLED, and none may follow; the channel's end ends the others."""
        with self._lock:
            self._is_closed = True
            self._queue.fail_waiting(closed_error())
            rpcs = list(self._rpcs.values())
        for rpc in rpcs:
            rpc.cancel()

    def _add(self, calls: Sequence[Call[Answer]]) -> Share[Answer] | None:
        with self._lock:
            if self._is_closed:
                raise closed_error()
            for call in calls:
                self._queue.add(call)
            return self._queue.take()

    def _take(self) -> Share[Answer] | None:
        with self._lock:
            return self._queue.take()

    def _send(self) -> None:
        while share := self._take():
            self._start(share)

    def _run_here(self, share: Share[Answer]) -> None:
        outcome: Outcome = closed_error()  # also when interrupted
        try:
            timeout = max(share.deadline - time.monotonic(), 0)
            outcome = response_predictions(
                self._rpc(share.request(), timeout=timeout, metadata=self._metadata), share.images
            )
        except Exception as error:  # the border of the RPC
            outcome = call_error(error)
        finally:
            self._finish(share, outcome)

    def _start(self, share: Share[Answer]) -> None:
        try:
            remaining = max(share.deadline - time.monotonic(), 0)
            rpc = self._rpc.future(share.request(), timeout=remaining, metadata=self._metadata)
        except Exception as error:  # the border of the RPC; the channel is closed, for one
            self._finish(share, call_error(error))
            return
        with self._lock:
            self._rpcs[share] = rpc
            is_unwanted = self._is_closed or not share.waiting
        rpc.add_done_callback(partial(self._ended, share))
        if is_unwanted:  # since it was taken
            rpc.cancel()

    def _ended(self, share: Share[Answer], rpc: "grpc.Future[bytes]") -> None:
        """In gRPC's thread."""
        self._finish(share, _outcome(share, rpc))
        self._send()

    def _finish(self, share: Share[Answer], outcome: Outcome) -> None:
        with self._lock:
            self._rpcs.pop(share, None)
            self._queue.finish(share, closed_error() if self._is_closed else outcome)


def _outcome(share: Share[Answer], rpc: "grpc.Future[bytes]") -> Outcome:
    try:
        return response_predictions(rpc.result(), share.images)
    except Exception as error:  # the border of the RPC: whoever waits must hear of it
        return call_error(error)
