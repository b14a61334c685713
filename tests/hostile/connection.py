"""One HTTP/2 connection on which every byte is the attacker's, and how the server ended each of its streams."""

import asyncio
from types import TracebackType
from typing import Any

from hpack.exceptions import HPACKError
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from benchmarks.protocols.http2 import FIRST_WINDOW, LARGEST_FRAME, take_frames
from tests.hostile.frames import PREFACE, StreamEndings, data

DRAIN_SECONDS = 1.0  # a server that reads nothing for this long takes no more
NO_ANSWER, HUNG_UP, DATA, NOT_HTTP2 = "no answer", "hung up", "DATA", "not HTTP/2"


class HostileConnection:
    """`async with HostileConnection(port) as connection:` sends any bytes, and hangs up at the end of the block.

    `acknowledges`: it answers SETTINGS and PING, as RFC 9113 demands. `preface`: the first bytes it sends.
    """

    def __init__(self, port: int, preface: bytes = PREFACE, *, acknowledges: bool = True) -> None:
        self._port = port
        self._preface = preface
        self._acknowledges = acknowledges
        self._endings = StreamEndings()
        self._ends: dict[int, asyncio.Future[str]] = {}
        self._answers: dict[int, asyncio.Future[str]] = {}
        self._first_window = FIRST_WINDOW
        self._windows = {0: FIRST_WINDOW}  # by stream, 0: the connection
        self._news = asyncio.Event()  # set by anything that a sender may wait for
        self.next_stream = 1
        self._is_settled = asyncio.Event()
        self.is_over: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> "HostileConnection":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._reading = asyncio.create_task(self._read())
        self.send(self._preface)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._reading.cancel()
        self._writer.transport.abort()
        await asyncio.gather(self._reading, return_exceptions=True)

    def send(self, content: bytes) -> None:
        """Sends bytes as soon as the socket takes them."""
        if not self._writer.is_closing():
            self._writer.write(content)

    async def settled(self) -> None:
        """Waits until the server's SETTINGS have arrived and are acknowledged: from then on its limits hold."""
        await self._is_settled.wait()

    def stop_reading(self) -> None:
        """Stops reading: the kernel's buffers fill, and then the server's writes must wait."""
        self._reading.cancel()

    def new_stream(self) -> int:
        """The number of an unused stream."""
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        return stream

    async def drain(self) -> bool:
        """Waits until the sent bytes are on their way; returns False if the server has hung up or takes no more."""
        if self._writer.transport.get_write_buffer_size() < LARGEST_FRAME:
            await asyncio.sleep(0)  # the reader's turn
            return not self.is_over.done()
        draining: asyncio.Task[None] = asyncio.create_task(self._writer.drain())
        waited: set[asyncio.Future[Any]] = {draining, self.is_over}
        await asyncio.wait(waited, timeout=DRAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        is_drained = draining.done()
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)
        return is_drained and not self.is_over.done()

    async def send_body(self, stream: int, body: bytes) -> None:
        """Sends DATA frames as fast as the server's windows allow; drops the rest if the server ends the stream."""
        start = 0
        while start < len(body) and not (self.is_over.done() or self._end(stream).done()):
            window = self._windows.setdefault(stream, self._first_window)
            room = min(self._windows[0], window, LARGEST_FRAME)
            if room <= 0:
                self._news.clear()
                await self._news.wait()
                continue
            part = body[start : start + room]
            start += len(part)
            self.send(data(stream, part, ends_stream=start >= len(body)))
            self._windows[0] -= len(part)
            self._windows[stream] -= len(part)
            await self.drain()

    async def ended(self, stream: int, seconds: float = 20.0) -> str:
        """The end of a stream: a gRPC status's name, `HTTP 404`, `RST_STREAM 8`, `hung up` or `no answer`."""
        return await self._first(self._end(stream), seconds)

    async def answered(self, stream: int, seconds: float = 20.0) -> str:
        """The first response on a stream that may never end: `DATA`, or how it ended before any."""
        return await self._first(self._answer(stream), seconds)

    async def _first(self, outcome: "asyncio.Future[str]", seconds: float) -> str:
        await asyncio.wait({outcome, self.is_over}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if outcome.done():
            return outcome.result()
        return self.is_over.result() if self.is_over.done() else NO_ANSWER

    def _end(self, stream: int) -> "asyncio.Future[str]":
        return self._ends.setdefault(stream, asyncio.get_running_loop().create_future())

    def _answer(self, stream: int) -> "asyncio.Future[str]":
        return self._answers.setdefault(stream, asyncio.get_running_loop().create_future())

    async def _read(self) -> None:
        received = bytearray()
        try:
            while content := await self._reader.read(2**16):
                received += content
                for frame in take_frames(received):
                    self._on_frame(frame)
                    self._news.set()
        except OSError:
            pass  # a reset is as good as hanging up
        except (HyperframeError, HPACKError) as error:
            self._is_over(f"{NOT_HTTP2}: {error!r}")
        self._is_over(HUNG_UP)

    def _on_frame(self, frame: Frame) -> None:
        is_request = "ACK" not in frame.flags
        if isinstance(frame, SettingsFrame) and is_request:
            self._on_settings(frame)
        elif isinstance(frame, PingFrame) and is_request and self._acknowledges:
            self.send(PingFrame(0, frame.opaque_data, flags=["ACK"]).serialize())
        elif isinstance(frame, WindowUpdateFrame):
            window = self._windows.setdefault(frame.stream_id, self._first_window)
            self._windows[frame.stream_id] = window + frame.window_increment
        elif isinstance(frame, RstStreamFrame):
            self._finish(frame.stream_id, f"RST_STREAM {frame.error_code}")
        elif isinstance(frame, GoAwayFrame) and frame.error_code:
            self._is_over(f"GOAWAY {frame.error_code}")
        elif isinstance(frame, DataFrame) and not self._answer(frame.stream_id).done():
            self._answer(frame.stream_id).set_result(DATA)
        elif isinstance(frame, HeadersFrame) and (ending := self._endings.read(frame)):
            self._finish(frame.stream_id, ending)

    def _on_settings(self, frame: SettingsFrame) -> None:
        first = frame.settings.get(SettingsFrame.INITIAL_WINDOW_SIZE, self._first_window)
        self._windows = {at: room + (first - self._first_window if at else 0) for at, room in self._windows.items()}
        self._first_window = first
        if self._acknowledges:
            self.send(SettingsFrame(0, flags=["ACK"]).serialize())
        self._is_settled.set()

    def _finish(self, stream: int, outcome: str) -> None:
        for future in (self._end(stream), self._answer(stream)):
            if not future.done():
                future.set_result(outcome)
        self._windows.pop(stream, None)

    def _is_over(self, outcome: str) -> None:
        self._news.set()
        if not self.is_over.done():
            self.is_over.set_result(outcome)
