"""An asyncio event loop that waits in gRPC's completion queue, so that a call costs no hand-over between threads.

1. Each turn takes what the queue has, without waiting, and then looks at the other descriptors. So all that has arrived
   is known before a batch leaves.
2. Where nothing is due, the loop waits in the queue until its next timer. Meanwhile a helper thread waits for the other
   descriptors and wakes the queue. It runs no Python while the loop has work: a second thread would take the GIL.
3. What wakes the queue is an empty batch on a call of our own, which completes at once. That call has ended, and the
   server and the socket that it came by are closed: its object is all that is needed.
"""

import asyncio
import os
import secrets
import select
import selectors
import threading
import time
from typing import Any

import grpc

from serving.api.engine import grpc_core

MOST_EVENTS = 256  # taken from the queue in one turn, so that timers and descriptors get theirs
# Looks without an event after which the queue counts as empty. Each look reads one connection (grpc_core), and what it
# reads may complete nothing while the next connection has calls. One look makes smaller batches and 0.64 of the calls.
EMPTY_LOOKS = 3
# A deadline of the queue is wall time. When that is set back, the helper, whose waits are not, ends the loop's wait.
LONGEST_WAIT_SECONDS = 1.0
UNWAKEABLE_SECONDS = 0.001  # between two looks at the descriptors, until there is a call to wake the queue with
OPEN_SECONDS = 10.0


class CompletionQueueLoop(asyncio.SelectorEventLoop):
    """Event loop with a completion queue, whose tags are callables: each gets its event, on the loop's thread."""

    def __init__(self) -> None:
        self._queue_selector = _QueueSelector(self)
        super().__init__(self._queue_selector)
        self._is_open: asyncio.Future[None] | None = None

    @property
    def queue(self) -> Any:
        """The completion queue. Use it after open_queue()."""
        return self._queue_selector.queue

    def start_server(self, server: Any) -> None:
        """Starts a server of the queue. close() ends it, with its calls, where nothing has before."""
        server.start()
        self._queue_selector.servers.append(server)

    async def open_queue(self) -> None:
        """Starts to wait in the queue. A second call does nothing. Raises OSError when that is not possible here."""
        if self._is_open is None:
            self._is_open = self.create_future()
            self._queue_selector.open()
            self._call_ourselves(self._is_open)
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await asyncio.shield(self._is_open)
        except TimeoutError as error:
            raise OSError(None, "gRPC's completion queue cannot be woken") from error

    def _call_ourselves(self, is_open: "asyncio.Future[None]") -> None:
        """Gets a call to wake the queue with, over a socket without a file, from a client that ends at once."""
        name = f"unix-abstract:{secrets.token_hex(16)}"
        server = grpc_core.Server([], False)
        server.register_completion_queue(self.queue)
        if not server.add_http2_port(name.encode()):
            raise OSError(None, "no local socket for gRPC")
        self.start_server(server)
        channel = grpc.insecure_channel(name, [("grpc.enable_http_proxy", 0)])  # gRPC exempts `unix:` names alone
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary("/wake")
        client = call.future(b"", timeout=OPEN_SECONDS)

        def come(event: Any) -> None:
            if not event.success:  # the server has ended
                return
            self._queue_selector.wake_call = event.call
            client.cancel()
            channel.close()
            server.shutdown(self.queue, end)

        def end(_: object) -> None:
            if not is_open.done():
                is_open.set_result(None)

        server.request_call(self.queue, self.queue, come)


class _QueueSelector(selectors.EpollSelector):
    """Selector whose select() also runs the callbacks of the queue's events."""

    def __init__(self, loop: CompletionQueueLoop) -> None:
        super().__init__()
        self.queue = grpc_core.CompletionQueue()
        self.wake_call: Any = None
        self.servers: list[Any] = []
        self._loop = loop
        self._is_watched = False  # the helper waits for the descriptors, and will wake the queue
        self._watch = threading.Semaphore(0)
        self._end = os.eventfd(0)
        self._helper: threading.Thread | None = None

    def open(self) -> None:
        """Uses the queue from now on."""
        self._helper = threading.Thread(target=self._help, name="descriptors", daemon=True)
        self._helper.start()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Returns the descriptors that are ready, as EpollSelector does, after running the events' callbacks."""
        if self._helper is None:
            return super().select(timeout)
        took = self._take_all()
        ready = super().select(0)
        if took or ready or (timeout is not None and timeout <= 0):
            return ready
        longest = UNWAKEABLE_SECONDS
        if self.wake_call is not None:
            longest = LONGEST_WAIT_SECONDS
            if not self._is_watched:
                self._is_watched = True
                self._watch.release()
        self._take(time.time() + (longest if timeout is None else min(timeout, longest)))
        return super().select(0)

    def _take_all(self) -> bool:
        """Runs the callbacks of the events that are there. Returns False where there was none."""
        took = empty = 0
        while took < MOST_EVENTS and empty < EMPTY_LOOKS:
            if self._take(0.0):
                took, empty = took + 1, 0
            else:
                empty += 1
        return took > 0

    def _take(self, until: float) -> bool:
        """Waits for an event, `until` a wall time, and runs its callback. Returns False when none came."""
        event = self.queue.poll(until)  # the event ends with this call, as the queue needs (grpc_core)
        if event.completion_type == grpc_core.QUEUE_TIMEOUT:
            return False
        try:
            event.tag(event)
        except Exception as error:  # the border of a callback, as asyncio's own: the loop goes on
            self._loop.call_exception_handler({"message": "a callback of gRPC's queue failed", "exception": error})
        return True

    def _help(self) -> None:
        """Watches the descriptors whenever the loop begins to wait in the queue, and wakes it once one is ready."""
        poll = select.poll()
        poll.register(self._end, select.POLLIN)
        poll.register(self.fileno(), select.POLLIN)
        while True:
            self._watch.acquire()
            if any(descriptor == self._end for descriptor, _ in poll.poll(LONGEST_WAIT_SECONDS * 1000)):
                return
            self._is_watched = False  # before the wake: the loop may wait again at once
            self.wake_call.start_server_batch((), _wake)

    def close(self) -> None:
        """Ends the helper, the servers of the queue that have not ended, and the queue."""
        if self._helper:
            os.eventfd_write(self._end, 1)
            self._watch.release()
            self._helper.join()
        self.wake_call = None
        os.close(self._end)
        for server in self.servers:  # the queue ends after them; both calls do nothing to one that has ended
            server.shutdown(self.queue, _wake)
            server.cancel_all_calls()
        self.queue.shutdown()
        while self.queue.poll(None).completion_type != grpc_core.QUEUE_SHUTDOWN:
            pass  # what was still to come of the servers
        super().close()


def _wake(_: object) -> None:
    """Does nothing: the event itself has woken the loop."""
