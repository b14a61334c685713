"""One HTTP/2 connection for asyncio that sends the same gRPC request again and again.

No gRPC library, and so none of its threads and queues, stands between the sending of a request and what is counted.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence

from benchmarks.wire import http2
from benchmarks.wire.protocol import GRPC_HEADERS

_WINDOW = 2**24  # bytes of answers that may be on their way
Answered = Callable[[int], None]  # told the bytes of the answer's body: 0 when the call ended with an error


class Http2Connection(asyncio.Protocol):
    """`send` may be called at any time: what the server has no window and no stream for waits in a queue."""

    def __init__(self, path: str, port: int, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> None:
        """`headers`: beside those that every gRPC call has."""
        address = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", f"127.0.0.1:{port}")]
        self._headers = http2.literal_headers([*address, *GRPC_HEADERS.items(), *headers])
        self._body = body
        self._next_stream = 1
        self._window = http2.FIRST_WINDOW
        self._most_open = 2**31  # until the server says otherwise
        self._queue: deque[tuple[Answered, float]] = deque()  # whom to tell, and when it is too late
        self._open: dict[int, tuple[Answered, int]] = {}  # stream: whom to tell, bytes so far
        self._received = bytearray()
        self._unacknowledged = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio's name."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        own = http2.settings({http2.ENABLE_PUSH: 0, http2.INITIAL_WINDOW_SIZE: _WINDOW})
        transport.write(http2.PREFACE + own + http2.window_update(0, _WINDOW))

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio's name: what is open is never answered."""
        del exc
        self._open.clear()
        self._queue.clear()

    def close(self) -> None:
        """Calls in flight are given up."""
        if self._transport:
            self._transport.abort()

    def send(self, *answered: Answered, deadline: float = math.inf) -> None:
        """One request more for each of these, who are told of its answer.

        `deadline`: in time.perf_counter() seconds. As gRPC's clients do, it tells the server the time that is left when
        a request leaves, and gives up one that is late before.
        """
        self._queue += [(each, deadline) for each in answered]
        self._send_queued()

    def data_received(self, data: bytes) -> None:
        """asyncio's name."""
        self._received += data
        for frame in http2.take_frames(self._received):
            self._on_frame(frame)

    def _send_queued(self) -> None:
        requests, late = [], []
        while self._queue and self._window >= len(self._body) and len(self._open) < self._most_open:
            answered, deadline = self._queue.popleft()
            left = deadline - time.perf_counter()
            if left <= 0:
                late.append(answered)
                continue
            self._window -= len(self._body)
            self._open[self._next_stream] = answered, 0
            headers = self._headers if left == math.inf else self._headers + _timeout(left)
            requests.append(http2.request_frames(self._next_stream, headers, self._body))
            self._next_stream += 2
        if requests:
            self._write(b"".join(requests))
        for answered in late:  # who may send again: streams must be opened in the order of their numbers
            answered(0)

    def _on_frame(self, frame: http2.Frame) -> None:
        if frame.kind == http2.DATA:
            self._on_data(frame)
        elif frame.kind == http2.SETTINGS and not frame.flags & http2.ACK:
            self._most_open = http2.read_settings(frame.payload).get(http2.MAX_CONCURRENT_STREAMS, self._most_open)
            self._write(http2.frame(http2.SETTINGS, http2.ACK, 0))
        elif frame.kind == http2.PING and not frame.flags & http2.ACK:
            self._write(http2.frame(http2.PING, http2.ACK, 0, frame.payload))
        elif frame.kind == http2.WINDOW_UPDATE and frame.stream == 0:
            self._window += int.from_bytes(frame.payload, "big")
            self._send_queued()
        elif frame.kind == http2.RST_STREAM and frame.stream in self._open:
            answered, _ = self._open.pop(frame.stream)
            answered(0)
        elif frame.kind == http2.HEADERS and frame.flags & http2.END_STREAM:
            self._end(frame.stream)

    def _on_data(self, frame: http2.Frame) -> None:
        if frame.stream in self._open:
            answered, received = self._open[frame.stream]
            self._open[frame.stream] = answered, received + len(frame.payload)
        self._unacknowledged += len(frame.payload)
        if self._unacknowledged > _WINDOW // 2:
            self._write(http2.window_update(0, self._unacknowledged))
            self._unacknowledged = 0
        if frame.flags & http2.END_STREAM:
            self._end(frame.stream)

    def _end(self, stream: int) -> None:
        if stream in self._open:
            answered, received = self._open.pop(stream)
            answered(received)
            self._send_queued()

    def _write(self, content: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(content)


def _timeout(seconds: float) -> bytes:
    return http2.literal_headers([("grpc-timeout", f"{math.ceil(seconds * 1000)}m")])
