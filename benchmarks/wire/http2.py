"""The frames of HTTP/2 (RFC 9113), as bytes: as much as a client needs that sends one request again and again."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK = END_STREAM = 1
END_HEADERS, PADDED = 4, 8
LARGEST_FRAME = 16_384  # that every receiver must take
FIRST_WINDOW = 65_535  # bytes that may be sent before the receiver has said anything
ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 2, 3, 4
_HEADER_BYTES = 9
_STREAM_BITS = 0x7FFFFFFF


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame's bytes."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def take_frames(received: bytearray) -> Iterator[Frame]:
    """Removes whole frames from the front of `received`; what is left is the begin of the next."""
    while len(received) >= _HEADER_BYTES:
        end = _HEADER_BYTES + int.from_bytes(received[:3], "big")
        if len(received) < end:
            return
        stream = int.from_bytes(received[5:_HEADER_BYTES], "big") & _STREAM_BITS
        yield Frame(received[3], received[4], stream, bytes(received[_HEADER_BYTES:end]))
        del received[:end]


def settings(values: Mapping[int, int]) -> bytes:
    """A SETTINGS frame."""
    payload = b"".join(key.to_bytes(2, "big") + value.to_bytes(4, "big") for key, value in values.items())
    return frame(SETTINGS, 0, 0, payload)


def read_settings(payload: bytes) -> dict[int, int]:
    """What a SETTINGS frame says."""
    starts = range(0, len(payload) - 5, 6)
    return {_number(payload[start : start + 2]): _number(payload[start + 2 : start + 6]) for start in starts}


def _number(content: bytes) -> int:
    return int.from_bytes(content, "big")


def window_update(stream: int, increment: int) -> bytes:
    """Room for `increment` more bytes."""
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def literal_headers(headers: Iterable[tuple[str, str]]) -> bytes:
    """HPACK (RFC 7541) without table and without Huffman: longer, and the same for every request.

    Raises ValueError for a name or value of 127 bytes or more.
    """
    block = b""
    for pair in headers:
        block += b"\0"
        for text in pair:
            if len(text) >= 127:
                raise ValueError(f"a header longer than this writes: {text!r}")
            block += bytes([len(text)]) + text.encode("ascii")
    return block


def request_frames(stream: int, header_block: bytes, body: bytes) -> bytes:
    """A whole request."""
    frames = [frame(HEADERS, END_HEADERS, stream, header_block)]
    starts = range(0, len(body), LARGEST_FRAME)
    for start in starts:
        last = start == starts[-1]
        frames.append(frame(DATA, END_STREAM if last else 0, stream, body[start : start + LARGEST_FRAME]))
    return b"".join(frames)
