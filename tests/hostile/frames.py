"""HTTP/2 as an attacker writes it: header blocks of any bytes, frames of any length, and how each stream ended.

hyperframe writes the well-formed frames and hpack decodes responses. What breaks the rules is written by hand, because
neither library would write it.
"""

from collections.abc import Mapping

import grpc
from hpack import Decoder
from hyperframe.frame import (
    ContinuationFrame,
    HeadersFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from benchmarks.protocols import http2
from benchmarks.protocols.http2 import LARGEST_FRAME, data_frames

HEADERS, WINDOW_UPDATE, CONTINUATION = 1, 8, 9  # kinds of frames that are written by hand
KEPT_IN_TABLE, NOT_KEPT = 0x40, 0
CANCEL = 8  # the error code of RST_STREAM
CLASSIFY = "/mnist.v1.DigitClassifier/Classify"
CLASSIFY_STREAM = "/mnist.v1.DigitClassifier/ClassifyStream"
_LARGEST_WINDOW = 2**31 - 1
# The beginning of a connection that leaves room for all responses.
PREFACE = (
    http2.PREFACE
    + SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: _LARGEST_WINDOW}).serialize()
    + WindowUpdateFrame(0, window_increment=_LARGEST_WINDOW - http2.FIRST_WINDOW).serialize()
)
_CODES = {str(code.value[0]): code.name for code in grpc.StatusCode}
Text = str | bytes


def literal(name: Text, value: Text, kind: int = NOT_KEPT) -> bytes:
    """One header of any bytes, written in full; `KEPT_IN_TABLE` adds it to the receiver's table."""
    parts = [text.encode() if isinstance(text, str) else text for text in (name, value)]
    return bytes([kind]) + b"".join(_number(len(part)) + part for part in parts)


def call_headers(path: Text = CLASSIFY, changes: Mapping[str, Text] | None = None) -> bytes:
    """The header block of a gRPC call. `changes` adds or replaces headers; an empty value removes one."""
    usual: dict[str, Text] = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x"}
    usual |= {"te": "trailers", "content-type": "application/grpc"} | dict(changes or {})
    return b"".join(literal(name, value) for name, value in usual.items() if value)


def raw_frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame written by hand, for what hyperframe refuses to write: its bytes may break any rule of HTTP/2."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def settings(values: Mapping[int, int]) -> bytes:
    """A SETTINGS frame."""
    return SettingsFrame(0, settings=dict(values)).serialize()


def headers(stream: int, block: bytes) -> bytes:
    """A HEADERS frame, and CONTINUATION frames if the block is too long for one. The block itself may be anything."""
    parts = [block[at : at + LARGEST_FRAME] for at in range(0, len(block), LARGEST_FRAME)] or [b""]
    frames = [HeadersFrame(stream, parts[0]), *(ContinuationFrame(stream, part) for part in parts[1:])]
    frames[-1].flags.add("END_HEADERS")
    return b"".join(frame.serialize() for frame in frames)


def data(stream: int, body: bytes, *, ends_stream: bool = True) -> bytes:
    """DATA frames with a body that fits the windows."""
    return b"".join(frame.serialize() for frame in data_frames(stream, body, ends_stream=ends_stream))


def reset(stream: int) -> bytes:
    """RST_STREAM with the code of a caller that cancels."""
    return RstStreamFrame(stream, error_code=CANCEL).serialize()


def compressed_frame(message: bytes) -> bytes:
    """A gRPC message whose prefix says that it is compressed."""
    return b"\1" + len(message).to_bytes(4, "big") + message


class StreamEndings:
    """Decodes the header blocks of one connection, in their order, and reports how calls ended."""

    def __init__(self) -> None:
        self._decoder = Decoder(max_header_list_size=2**24)
        self._decoder.max_allowed_table_size = 2**32 - 1  # one attack allows the server a table of 4 GiB
        self._headers: dict[int, dict[str, str]] = {}

    def read(self, frame: HeadersFrame) -> str | None:
        """A gRPC status's name or `HTTP 404`; None if the stream goes on."""
        found = self._headers.setdefault(frame.stream_id, {})
        for name, value in self._decoder.decode(frame.data, raw=True):
            found[_text(name)] = _text(value)
        if "END_STREAM" not in frame.flags:
            return None
        del self._headers[frame.stream_id]
        if "grpc-status" in found:
            return _CODES.get(found["grpc-status"], "a status that does not exist")
        return f"HTTP {found.get(':status', 'without a status')}"


def _text(content: str | bytes) -> str:
    return content if isinstance(content, str) else content.decode("latin-1")


def _number(value: int) -> bytes:
    if value < 0x7F:
        return bytes([value])
    encoded, value = bytearray([0x7F]), value - 0x7F
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
