"""One HTTP/2 connection for asyncio that sends the same gRPC request again and again.

No gRPC library, and so none of its threads and queues, stands between the sending of a request and what is counted.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence

from hyperframe.frame import (
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from benchmarks.protocols.http2 import FIRST_WINDOW, PREFACE, RequestTemplate, header_block, take_frames
from benchmarks.protocols.protocol import GRPC_HEADERS

_WINDOW = 2**24  # bytes of responses that may be on their way
OnResponse = Callable[[int], None]  # gets the bytes of the response's body: 0 if the call ended with an error


async def connect(path: str, port: int, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> "Http2Connection":
    """Opens a connection to a port of the loopback; its requests go to `path` with `body`, framed for gRPC."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Http2Connection(path, port, body, headers), "127.0.0.1", port)
    return connection


class Http2Connection(asyncio.Protocol):
    """`send` may be called at any time: requests without a free stream or room in the window wait in a queue."""

    def __init__(self, path: str, port: int, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> None:
        """`headers` are added to those of every gRPC call. Raises ValueError for a body above FIRST_WINDOW bytes."""
        if len(body) > FIRST_WINDOW:
            raise ValueError(f"a body of {len(body)} bytes: a stream's window may be {FIRST_WINDOW}")
        address = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", f"127.0.0.1:{port}")]
        self._headers = header_block([*address, *GRPC_HEADERS.items(), *headers])
        self._body = body
        self._templates: dict[int, RequestTemplate] = {}  # by timeout in milliseconds; 0: none
        self._next_stream = 1
        self._window = FIRST_WINDOW
        self._max_streams = 2**31  # until the server's SETTINGS arrive
        self._queue: deque[tuple[OnResponse, float]] = deque()  # with the deadline
        self._open: dict[int, tuple[OnResponse, int]] = {}  # by stream, with the bytes received so far
        self._received = bytearray()
        self._unacknowledged = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends the preface. Called by asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        own = {SettingsFrame.ENABLE_PUSH: 0, SettingsFrame.INITIAL_WINDOW_SIZE: _WINDOW}
        transport.write(PREFACE)
        self._write(SettingsFrame(0, settings=own), WindowUpdateFrame(0, window_increment=_WINDOW))

    def connection_lost(self, exc: Exception | None) -> None:
        """Drops all calls: open ones never get a response. Called by asyncio."""
        del exc
        self._open.clear()
        self._queue.clear()

    def close(self) -> None:
        """Closes the connection at once; calls in flight are dropped."""
        if self._transport:
            self._transport.abort()

    def send(self, *callbacks: OnResponse, deadline: float = math.inf) -> None:
        """Sends one request for each callback, which is called when its response is complete.

        `deadline`: in time.perf_counter() seconds. As gRPC's clients do, each request carries the time that is left
        when it leaves, and a request whose deadline has passed before that ends with an error.
        """
        self._queue += [(each, deadline) for each in callbacks]
        self._send_queued()

    def data_received(self, data: bytes) -> None:
        """Handles all frames that are complete. Called by asyncio."""
        self._received += data
        for frame in take_frames(self._received):
            self._on_frame(frame)

    def _send_queued(self) -> None:
        requests, expired = [], []
        while self._queue and self._window >= len(self._body) and len(self._open) < self._max_streams:
            on_response, deadline = self._queue.popleft()
            left = deadline - time.perf_counter()
            if left <= 0:
                expired.append(on_response)
                continue
            self._window -= len(self._body)
            self._open[self._next_stream] = on_response, 0
            template = self._template(0 if left == math.inf else math.ceil(left * 1000))
            requests.append(template.on_stream(self._next_stream))
            self._next_stream += 2
        if requests and self._transport and not self._transport.is_closing():
            self._transport.write(b"".join(requests))
        # Only now: a callback may send again, and streams must be opened in the order of their numbers.
        for on_response in expired:
            on_response(0)

    def _template(self, timeout_milliseconds: int) -> RequestTemplate:
        if timeout_milliseconds not in self._templates:
            timeout = [("grpc-timeout", f"{timeout_milliseconds}m")] if timeout_milliseconds else []
            self._templates[timeout_milliseconds] = RequestTemplate(self._headers + header_block(timeout), self._body)
        return self._templates[timeout_milliseconds]

    def _on_frame(self, frame: Frame) -> None:
        if isinstance(frame, DataFrame):
            self._on_data(frame)
        elif isinstance(frame, HeadersFrame) and "END_STREAM" in frame.flags:
            self._end(frame.stream_id)
        elif isinstance(frame, SettingsFrame) and "ACK" not in frame.flags:
            self._max_streams = frame.settings.get(SettingsFrame.MAX_CONCURRENT_STREAMS, self._max_streams)
            self._write(SettingsFrame(0, flags=["ACK"]))
        elif isinstance(frame, PingFrame) and "ACK" not in frame.flags:
            self._write(PingFrame(0, frame.opaque_data, flags=["ACK"]))
        elif isinstance(frame, WindowUpdateFrame) and frame.stream_id == 0:
            self._window += frame.window_increment
            self._send_queued()
        elif isinstance(frame, RstStreamFrame) and frame.stream_id in self._open:
            on_response, _ = self._open.pop(frame.stream_id)
            on_response(0)

    def _on_data(self, frame: DataFrame) -> None:
        if frame.stream_id in self._open:
            on_response, received = self._open[frame.stream_id]
            self._open[frame.stream_id] = on_response, received + len(frame.data)
        self._unacknowledged += frame.flow_controlled_length
        if self._unacknowledged > _WINDOW // 2:
            self._write(WindowUpdateFrame(0, window_increment=self._unacknowledged))
            self._unacknowledged = 0
        if "END_STREAM" in frame.flags:
            self._end(frame.stream_id)

    def _end(self, stream: int) -> None:
        if stream in self._open:
            on_response, received = self._open.pop(stream)
            on_response(received)
            self._send_queued()

    def _write(self, *frames: Frame) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(b"".join(frame.serialize() for frame in frames))
