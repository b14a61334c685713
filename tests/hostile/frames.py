"""HTTP/2 as an attacker writes it: header blocks of any bytes, frames of any kind and length; how its calls ended.

hyperframe writes the frames that keep the rules, hpack reads the server's headers; what breaks a rule is written here.
"""

from collections.abc import Mapping

import grpc
from hpack import Decoder
from hyperframe.frame import (
    ContinuationFrame,
    HeadersFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from benchmarks.protocols import http2

KEPT_IN_TABLE, NOT_KEPT = 0x40, 0
CANCEL = 8  # why a stream is reset
CLASSIFY = "/mnist.v1.DigitClassifier/Classify"
CLASSIFY_STREAM = "/mnist.v1.DigitClassifier/ClassifyStream"
LARGEST_WINDOW = 2**31 - 1
_CODES = {str(code.value[0]).encode(): code.name for code in grpc.StatusCode}
Text = str | bytes


def settings(values: Mapping[int, int]) -> bytes:
    """A SETTINGS frame."""
    return SettingsFrame(0, dict(values)).serialize()


def window_update(stream: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame: `increment` more bytes may be sent on `stream`; 0: on the connection."""
    return WindowUpdateFrame(stream, increment).serialize()


# The beginning of a connection, with room for all that the server may answer.
PREFACE = (
    http2.PREFACE
    + settings({SettingsFrame.INITIAL_WINDOW_SIZE: LARGEST_WINDOW})
    + window_update(0, LARGEST_WINDOW - http2.FIRST_WINDOW)
)


def literal(name: Text, value: Text, kind: int = NOT_KEPT) -> bytes:
    """One header that is in no table; `KEPT_IN_TABLE` puts it into the receiver's."""
    parts = [text.encode() if isinstance(text, str) else text for text in (name, value)]
    return bytes([kind]) + b"".join(_number(len(part)) + part for part in parts)


def call_headers(path: Text = CLASSIFY, changes: Mapping[str, Text] | None = None) -> bytes:
    """The header block of a gRPC call. `changes`: more headers, or others than the usual; an empty value: none."""
    usual: dict[str, Text] = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x"}
    usual |= {"te": "trailers", "content-type": "application/grpc"} | dict(changes or {})
    return b"".join(literal(name, value) for name, value in usual.items() if value)


def headers(stream: int, block: bytes, *, ends_headers: bool = True) -> bytes:
    """A HEADERS frame, and CONTINUATION frames where the block is too long for one."""
    parts = [block[at : at + http2.LARGEST_FRAME] for at in range(0, len(block), http2.LARGEST_FRAME)] or [b""]
    frames = [HeadersFrame(stream, parts[0]), *(ContinuationFrame(stream, part) for part in parts[1:])]
    if ends_headers:
        frames[-1].flags.add("END_HEADERS")
    return b"".join(frame.serialize() for frame in frames)


def continuation(stream: int, part: bytes = b"") -> bytes:
    """A CONTINUATION frame that does not end the headers."""
    return ContinuationFrame(stream, part).serialize()


def data(stream: int, body: bytes, *, ends_stream: bool = True) -> bytes:
    """DATA frames of a body that fits the windows."""
    return b"".join(frame.serialize() for frame in http2.data_frames(stream, body, ends_stream=ends_stream))


def reset(stream: int) -> bytes:
    """RST_STREAM, by a caller who has changed its mind."""
    return RstStreamFrame(stream, CANCEL).serialize()


def priority(stream: int) -> bytes:
    """A PRIORITY frame, which servers ignore."""
    return PriorityFrame(stream, depends_on=0, stream_weight=1).serialize()


def unknown_frame(stream: int, payload: bytes) -> bytes:
    """A frame of a kind that does not exist, with all flags."""
    return len(payload).to_bytes(3, "big") + b"\xee\xff" + stream.to_bytes(4, "big") + payload


def compressed_frame(message: bytes) -> bytes:
    """gRPC's frame around a message that says it is compressed."""
    return b"\1" + len(message).to_bytes(4, "big") + message


class Endings:
    """Reads the header blocks of one connection, in their order, and says how a call ended."""

    def __init__(self) -> None:
        self._decoder = Decoder(max_header_list_size=2**24)
        self._decoder.max_allowed_table_size = 2**32 - 1  # one attack lets the server use a table of 4 GiB
        self._found: dict[int, dict[bytes, bytes]] = {}

    def read(self, frame: HeadersFrame) -> str | None:
        """Name of a gRPC status, or `HTTP 404`; None where the stream goes on."""
        found = self._found.setdefault(frame.stream_id, {})
        found |= dict(self._decoder.decode(frame.data, raw=True))
        if "END_STREAM" not in frame.flags:
            return None
        del self._found[frame.stream_id]
        if b"grpc-status" in found:
            return _CODES.get(found[b"grpc-status"], "a status that does not exist")
        return f"HTTP {found.get(b':status', b'without a status').decode()}"


def _number(value: int) -> bytes:
    if value < 0x7F:
        return bytes([value])
    encoded, value = bytearray([0x7F]), value - 0x7F
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
