"""HTTP/2 as an attacker writes it: header blocks of any bytes, frames of any length, and the end of a stream read back.

Of HPACK (RFC 7541) it reads the least that finds `grpc-status` and `:status`: the dynamic table, and no Huffman.
"""

from collections.abc import Iterator, Mapping

import grpc
from benchmarks.wire import http2

CONTINUATION = 9
KEPT_IN_TABLE, NOT_KEPT = 0x40, 0
CANCEL = (8).to_bytes(4, "big")  # why a stream is reset
CLASSIFY = "/mnist.v1.DigitClassifier/Classify"
CLASSIFY_STREAM = "/mnist.v1.DigitClassifier/ClassifyStream"
_LARGEST_WINDOW = 2**31 - 1
# As HTTP/2 begins, with room for all that the server may answer.
PREFACE = (
    http2.PREFACE
    + http2.settings({http2.INITIAL_WINDOW_SIZE: _LARGEST_WINDOW})
    + http2.window_update(0, _LARGEST_WINDOW - http2.FIRST_WINDOW)
)
_STATIC_ENTRIES = 61
_STATIC_STATUSES = {8: b"200", 9: b"204", 10: b"206", 11: b"304", 12: b"400", 13: b"404", 14: b"500"}
_CODES = {str(code.value[0]).encode(): code.name for code in grpc.StatusCode}
Text = str | bytes


def literal(name: Text, value: Text, kind: int = NOT_KEPT) -> bytes:
    """One header that is in no table; `KEPT_IN_TABLE` puts it into the receiver's."""
    parts = [text.encode() if isinstance(text, str) else text for text in (name, value)]
    return bytes([kind]) + b"".join(_number(len(part)) + part for part in parts)


def call_headers(path: Text = CLASSIFY, changes: Mapping[str, Text] | None = None) -> bytes:
    """The header block of a gRPC call. `changes`: more headers, or others than the usual; an empty value: none."""
    usual: dict[str, Text] = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x"}
    usual |= {"te": "trailers", "content-type": "application/grpc"} | dict(changes or {})
    return b"".join(literal(name, value) for name, value in usual.items() if value)


def headers(stream: int, block: bytes, flags: int = http2.END_HEADERS) -> bytes:
    """A HEADERS frame, and CONTINUATION frames where the block is too long for one."""
    parts = [block[at : at + http2.LARGEST_FRAME] for at in range(0, len(block), http2.LARGEST_FRAME)] or [b""]
    kinds = [http2.HEADERS] + [CONTINUATION] * (len(parts) - 1)
    ends = [0] * (len(parts) - 1) + [flags & http2.END_HEADERS]
    firsts = [flags & ~http2.END_HEADERS] + [0] * (len(parts) - 1)
    framed = zip(kinds, ends, firsts, parts, strict=True)
    return b"".join(http2.frame(kind, end | first, stream, part) for kind, end, first, part in framed)


def data(stream: int, body: bytes, flags: int = http2.END_STREAM) -> bytes:
    """DATA frames, the last of them with `flags`; of a body that fits the windows."""
    parts = [body[at : at + http2.LARGEST_FRAME] for at in range(0, len(body), http2.LARGEST_FRAME)] or [b""]
    whole = b"".join(http2.frame(http2.DATA, 0, stream, part) for part in parts[:-1])
    return whole + http2.frame(http2.DATA, flags, stream, parts[-1])


def reset(stream: int) -> bytes:
    """RST_STREAM, by a caller who has changed its mind."""
    return http2.frame(http2.RST_STREAM, 0, stream, CANCEL)


def compressed_frame(message: bytes) -> bytes:
    """gRPC's frame around a message that says it is compressed."""
    return b"\1" + len(message).to_bytes(4, "big") + message


class Endings:
    """Reads the header blocks of one connection, in their order, and says how a call ended."""

    def __init__(self) -> None:
        self._table: list[tuple[bytes, bytes]] = []
        self._found: dict[int, dict[bytes, bytes]] = {}

    def read(self, frame: http2.Frame) -> str | None:
        """A gRPC status's name or `HTTP 404`; None where the stream goes on."""
        found = self._found.setdefault(frame.stream, {})
        found |= dict(self._fields(frame.payload))
        if not frame.flags & http2.END_STREAM:
            return None
        del self._found[frame.stream]
        if b"grpc-status" in found:
            return _CODES.get(found[b"grpc-status"], "a status that does not exist")
        return f"HTTP {found.get(b':status', b'without a status').decode()}"

    def _fields(self, block: bytes) -> Iterator[tuple[bytes, bytes]]:
        position = 0
        while position < len(block):
            first = block[position]
            if first & 0x80:
                index, position = _integer(block, position, 7)
                yield self._entry(index)
            elif first & 0xE0 == 0x20:  # the table changes its size; ours is never full
                _, position = _integer(block, position, 5)
            else:
                index, position = _integer(block, position, 6 if first & KEPT_IN_TABLE else 4)
                name, position = (self._entry(index)[0], position) if index else _text(block, position)
                value, position = _text(block, position)
                if first & KEPT_IN_TABLE:
                    self._table.insert(0, (name, value))
                yield name, value

    def _entry(self, index: int) -> tuple[bytes, bytes]:
        if index > _STATIC_ENTRIES:
            return self._table[index - _STATIC_ENTRIES - 1]
        return (b":status", _STATIC_STATUSES[index]) if index in _STATIC_STATUSES else (b"another", b"")


def _integer(block: bytes, position: int, bits: int) -> tuple[int, int]:
    most = (1 << bits) - 1
    value, position, shift = block[position] & most, position + 1, 0
    if value < most:
        return value, position
    while True:
        byte, position = block[position], position + 1
        value, shift = value + ((byte & 0x7F) << shift), shift + 7
        if byte < 0x80:
            return value, position


def _text(block: bytes, position: int) -> tuple[bytes, int]:
    length, position = _integer(block, position, 7)  # Huffman's bit is dropped: what we look for never has it
    return block[position : position + length], position + length


def _number(value: int) -> bytes:
    if value < 0x7F:
        return bytes([value])
    encoded, value = bytearray([0x7F]), value - 0x7F
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
