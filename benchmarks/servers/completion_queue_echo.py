"""An echo on grpcio's own completion queue, one process and one thread: the ceiling of a server on that engine.

`python -m benchmarks.servers.completion_queue_echo PORT` returns to every unary call the bytes of its request, whatever
the method. It has no deadlines, keys, TLS or metrics.

It uses private names of grpcio 1.85.1, all of `grpc._cython.cygrpc`: `CompletionQueue` (`poll`), `Server`
(`register_completion_queue`, `add_http2_port`, `start`, `request_call`), `StatusCode`, the operations
`ReceiveMessageOperation`, `ReceiveCloseOnServerOperation`, `SendInitialMetadataOperation`, `SendMessageOperation` and
`SendStatusFromServerOperation`; of the events `tag`, `call` and `batch_operations`; `start_server_batch` of a call.
"""

import sys
from collections.abc import Callable
from typing import Any

from grpc._cython import cygrpc  # type: ignore[attr-defined]  # the stubs leave the private module out

OUTSTANDING = 64  # calls that grpcio may hand over before the next request_call
NO_FLAGS = 0

Event = Any  # BatchOperationEvent or RequestCallEvent
Tag = Callable[[Event], None]  # what is to be done with the event of an operation

# Operations without data of their own can be used again. A ReceiveMessageOperation cannot: it keeps the message.
SEND_INITIAL_METADATA = cygrpc.SendInitialMetadataOperation(None, NO_FLAGS)
SEND_OK = cygrpc.SendStatusFromServerOperation(None, cygrpc.StatusCode.ok, b"", NO_FLAGS)


class EchoServer:
    """Echoes on a port of the loopback."""

    def __init__(self, port: int) -> None:
        """Binds the port. Raises RuntimeError if it is taken."""
        self._queue = cygrpc.CompletionQueue()
        self._server = cygrpc.Server([(b"grpc.so_reuseport", 0)], False)
        self._server.register_completion_queue(self._queue)
        if not self._server.add_http2_port(b"127.0.0.1:%d" % port):
            raise RuntimeError(f"port {port} cannot be bound")

    def serve(self) -> None:
        """Serves until the process is ended by a signal; polling checks for signals every 200 ms."""
        self._server.start()
        for _ in range(OUTSTANDING):
            self._request_call()
        while True:
            event = self._queue.poll(None)
            event.tag(event)
            del event  # a reference to a finished call, kept while polling, makes the queue spin

    def _request_call(self) -> None:
        self._server.request_call(self._queue, self._queue, self._begin)

    def _begin(self, event: Event) -> None:
        self._request_call()
        call = event.call

        def echo(received: Event) -> None:
            message = received.batch_operations[0].message()
            if message is not None:  # None: the caller has gone before its request was complete
                send = cygrpc.SendMessageOperation(message, NO_FLAGS)
                call.start_server_batch((SEND_INITIAL_METADATA, send, SEND_OK), _nothing)

        call.start_server_batch((cygrpc.ReceiveMessageOperation(NO_FLAGS),), echo)
        # Every server must watch for the end of a call, so the ceiling pays for it too.
        call.start_server_batch((cygrpc.ReceiveCloseOnServerOperation(NO_FLAGS),), _nothing)


def _nothing(_: Event) -> None:
    """Handles the end of an operation that needs no more."""


if __name__ == "__main__":
    EchoServer(int(sys.argv[1])).serve()
