"""Lets the calls of several threads share RPCs: `share_queue` decides, by the rules there, and this waits.

There is no thread of its own: a caller that finds room for an RPC sends it, and the end of an RPC sends the next one.
A call that travels alone blocks in its RPC, at half the cost of an RPC whose end gRPC's thread reports.
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError  # another class than TimeoutError before Python 3.11
from functools import partial

import grpc

from mnist_digits.channel import Metadata
from mnist_digits.classify_codec import response_predictions
from mnist_digits.coalescing.share_queue import Call, Outcome, SharedRpc, ShareQueue
from mnist_digits.errors import call_error, closed_error, deadline_error
from mnist_digits.results import Prediction

ThreadFuture = Future[list[Prediction]]
ThreadCall = Call[ThreadFuture]


class ThreadCoalescer:
    """May be used from any thread. `method` sends one serialized request, with `metadata`."""

    def __init__(
        self,
        method: "grpc.UnaryUnaryMultiCallable[bytes, bytes]",
        queue: ShareQueue[ThreadFuture],
        metadata: Metadata = (),
    ) -> None:
        self._method = method
        self._metadata = metadata
        self._queue = queue
        self._lock = threading.Lock()  # guards the queue and the fields that it sets in calls and RPCs
        self._handles: dict[SharedRpc[ThreadFuture], grpc.Future[bytes]] = {}
        self._is_closed = False

    def new_call(self, content: bytes, images: int, version: bytes, timeout_seconds: float) -> ThreadCall:
        """Makes a call for `send_and_wait` or `submit`; its deadline counts from now."""
        return Call(content, images, version, time.monotonic() + timeout_seconds, Future())

    def send_and_wait(self, call: ThreadCall) -> list[Prediction]:
        """Sends the call and returns its predictions. Raises CallError."""
        rpc = self._add([call])
        if rpc and rpc.calls == [call]:
            self._run_here(rpc)
        elif rpc:
            self._start(rpc)
        self._send()
        return self.wait(call)

    def submit(self, calls: Sequence[ThreadCall]) -> None:
        """Sends the calls on their way; `wait` or `abandon` must follow for each. Raises CallError when closed."""
        if rpc := self._add(calls):
            self._start(rpc)
        self._send()

    def wait(self, call: ThreadCall) -> list[Prediction]:
        """Returns the call's predictions. Raises CallError."""
        try:
            return call.future.result(max(call.deadline - time.monotonic(), 0))
        except FutureTimeoutError:
            self.abandon(call)
            raise deadline_error() from None
        except BaseException:  # KeyboardInterrupt, for one: the caller has gone
            self.abandon(call)
            raise

    def abandon(self, call: ThreadCall) -> None:
        """Gives the call up: its caller waits no longer."""
        with self._lock:
            handle = None
            if not call.future.done() and (rpc := self._queue.leave(call)):
                handle = self._handles.get(rpc)
        if handle:
            handle.cancel()  # outside the lock: its callback may run here

    def close(self) -> None:
        """Fails every call that waits with CANCELLED, and any later one; the channel's end ends the others."""
        with self._lock:
            self._is_closed = True
            self._queue.fail_waiting(closed_error())
            handles = list(self._handles.values())
        for handle in handles:
            handle.cancel()

    def _add(self, calls: Sequence[ThreadCall]) -> SharedRpc[ThreadFuture] | None:
        with self._lock:
            if self._is_closed:
                raise closed_error()
            for call in calls:
                self._queue.add(call)
            return self._queue.take()

    def _take(self) -> SharedRpc[ThreadFuture] | None:
        with self._lock:
            return self._queue.take()

    def _send(self) -> None:
        while rpc := self._take():
            self._start(rpc)

    def _run_here(self, rpc: SharedRpc[ThreadFuture]) -> None:
        outcome: Outcome = closed_error()  # also when interrupted
        try:
            timeout = max(rpc.deadline - time.monotonic(), 0)
            response = self._method(rpc.request(), timeout=timeout, metadata=self._metadata)
            outcome = response_predictions(response, rpc.images)
        except Exception as error:  # the border of the RPC
            outcome = call_error(error)
        finally:
            self._finish(rpc, outcome)

    def _start(self, rpc: SharedRpc[ThreadFuture]) -> None:
        try:
            remaining = max(rpc.deadline - time.monotonic(), 0)
            handle = self._method.future(rpc.request(), timeout=remaining, metadata=self._metadata)
        except Exception as error:  # the border of the RPC; a closed channel raises, for one
            self._finish(rpc, call_error(error))
            return
        with self._lock:
            self._handles[rpc] = handle
            is_unwanted = self._is_closed or not rpc.waiting
        handle.add_done_callback(partial(self._ended, rpc))
        if is_unwanted:  # since it was taken
            handle.cancel()

    def _ended(self, rpc: SharedRpc[ThreadFuture], handle: "grpc.Future[bytes]") -> None:
        """Runs in gRPC's thread."""
        self._finish(rpc, _outcome(rpc, handle))
        self._send()

    def _finish(self, rpc: SharedRpc[ThreadFuture], outcome: Outcome) -> None:
        with self._lock:
            self._handles.pop(rpc, None)
            self._queue.finish(rpc, closed_error() if self._is_closed else outcome)


def _outcome(rpc: SharedRpc[ThreadFuture], handle: "grpc.Future[bytes]") -> Outcome:
    try:
        return response_predictions(handle.result(), rpc.images)
    except Exception as error:  # the border of the RPC: its callers must get the error
        return call_error(error)
