"""One HTTP/2 connection of which every byte is the attacker's, and what the server made of each of its streams."""

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

from benchmarks.protocols import http2
from tests.hostile.frames import PREFACE, Endings, data

DRAIN_SECONDS = 1.0  # a server that reads nothing for so long bears no more
NO_ANSWER, HUNG_UP, DATA = "no answer", "hung up", "DATA"


class HostileConnection:
    """`async with HostileConnection(port) as connection:` sends any bytes, and hangs up at the end.

    `acknowledges`: whether it answers SETTINGS and PING, as it must. `preface`: what it says first.
    """

    def __init__(self, port: int, preface: bytes = PREFACE, *, acknowledges: bool = True) -> None:
        self._port = port
        self._preface = preface
        self._acknowledges = acknowledges
        self._endings = Endings()
        self._ends: dict[int, asyncio.Future[str]] = {}
        self._answers: dict[int, asyncio.Future[str]] = {}
        self._first_window = http2.FIRST_WINDOW
        self._windows = {0: http2.FIRST_WINDOW}  # by stream, 0: the connection
        self._news = asyncio.Event()  # anything that a sender may wait for
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
        """Leaves as soon as it can."""
        if not self._writer.is_closing():
            self._writer.write(content)

    async def settled(self) -> None:
        """Returns when the server has said what it allows, and been answered: from then on its limits hold."""
        await self._is_settled.wait()

    def stop_reading(self) -> None:
        """The kernel's buffers fill, and then what the server writes must wait."""
        self._reading.cancel()

    def new_stream(self) -> int:
        """The number of a stream that is not used yet."""
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        return stream

    async def drain(self) -> bool:
        """Returns when what was sent is on its way; False when the server has hung up, or takes no more."""
        if self._writer.transport.get_write_buffer_size() < http2.LARGEST_FRAME:
            await asyncio.sleep(0)  # the reader's turn
            return not self.is_over.done()
        draining: asyncio.Task[None] = asyncio.create_task(self._writer.drain())
        waited: set[asyncio.Future[Any]] = {draining, self.is_over}
        await asyncio.wait(waited, timeout=DRAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        is_drained = draining.done()
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)
        return is_drained and not self.is_over.done()

    async def send_body(self, stream: int, body: bytes, *, ends_stream: bool = True) -> None:
        """DATA frames as fast as the server's windows allow; the rest is dropped when it ends the stream."""
        start = 0
        while start < len(body) and not (self.is_over.done() or self._end(stream).done()):
            window = self._windows.setdefault(stream, self._first_window)
            room = min(self._windows[0], window, http2.LARGEST_FRAME)
            if room <= 0:
                self._news.clear()
                await self._news.wait()
                continue
            part = body[start : start + room]
            start += len(part)
            self.send(data(stream, part, ends_stream=ends_stream and start >= len(body)))
            self._windows[0] -= len(part)
            self._windows[stream] -= len(part)
            await self.drain()

    async def ended(self, stream: int, seconds: float = 20.0) -> str:
        """How the stream ended: a gRPC status's name, `HTTP 404`, `RST_STREAM 8`, `hung up` or `no answer`."""
        return await self._first(self._end(stream), seconds)

    async def answered(self, stream: int, seconds: float = 20.0) -> str:
        """Outcome of a stream that may never end: `DATA` once the server has sent anything."""
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
                for frame in http2.take_frames(received):
                    self._on_frame(frame)
                    self._news.set()
        except OSError:
            pass  # reset: as good as hung up
        except (HyperframeError, HPACKError) as error:
            self._is_over(f"broke HTTP/2: {error!r}")
        self._is_over(HUNG_UP)

    def _on_frame(self, frame: Frame) -> None:
        stream, is_request = frame.stream_id, "ACK" not in frame.flags
        match frame:
            case SettingsFrame() if is_request:
                self._on_settings(frame.settings)
            case PingFrame() if is_request and self._acknowledges:
                self.send(PingFrame(0, frame.opaque_data, flags=["ACK"]).serialize())
            case WindowUpdateFrame():
                self._windows[stream] = self._windows.setdefault(stream, self._first_window) + frame.window_increment
            case RstStreamFrame():
                self._finish(stream, f"RST_STREAM {frame.error_code}")
            case GoAwayFrame() if frame.error_code:
                self._is_over(f"GOAWAY {frame.error_code}")
            case DataFrame() if not self._answer(stream).done():
                self._answer(stream).set_result(DATA)
            case HeadersFrame() if ending := self._endings.read(frame):
                self._finish(stream, ending)

    def _on_settings(self, settings: dict[int, int]) -> None:
        first = settings.get(SettingsFrame.INITIAL_WINDOW_SIZE, self._first_window)
        self._windows = {at: room + (first - self._first_window if at else 0) for at, room in self._windows.items()}
        self._first_window = first
        if self._acknowledges:
            self.send(SettingsFrame(0, flags=["ACK"]).serialize())
        self._is_settled.set()

    def _finish(self, stream: int, outcome: str) -> None:
        for waiting in (self._end(stream), self._answer(stream)):
            if not waiting.done():
                waiting.set_result(outcome)
        self._windows.pop(stream, None)

    def _is_over(self, outcome: str) -> None:
        self._news.set()
        if not self.is_over.done():
            self.is_over.set_result(outcome)
