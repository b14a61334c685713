"""An echo on grpcio's own completion queue, one process and one thread: the ceiling of a server on that engine.

`python -m benchmarks.servers.completion_queue_echo PORT` returns to every unary call the bytes of its request, whatever
the method. It has no deadlines, keys, TLS or metrics. serving.api.engine.grpc_core says what it uses of grpcio.
"""

import sys
from collections.abc import Callable
from typing import Any

from serving.api.engine import grpc_core

OUTSTANDING = 64  # calls that grpcio may hand over before the next request_call

Event = Any  # BatchOperationEvent or RequestCallEvent
Tag = Callable[[Event], None]  # what is to be done with the event of an operation


class EchoServer:
    """Echoes on a port of the loopback."""

    def __init__(self, port: int) -> None:
        """Binds the port. Raises RuntimeError if it is taken."""
        self._queue = grpc_core.CompletionQueue()
        self._server = grpc_core.Server([("grpc.so_reuseport", 0)], False)
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
                sent = (grpc_core.SEND_NO_METADATA, grpc_core.send_message(message), grpc_core.SEND_OK)
                call.start_server_batch(sent, _nothing)

        call.start_server_batch((grpc_core.receive_message(),), echo)
        # Every server must watch for the end of a call, so the ceiling pays for it too.
        call.start_server_batch((grpc_core.receive_close(),), _nothing)


def _nothing(_: Event) -> None:
    """Handles the end of an operation that needs no more."""


if __name__ == "__main__":
    EchoServer(int(sys.argv[1])).serve()
