"""HTTP/2 (RFC 9113) as far as the benchmark's own clients need it: frames by hyperframe, header blocks by hpack.

h2's state machine is not used: its 136 us of processor time a request would make the client what is measured. So a
request is serialized once, and sent on each stream with only the stream's number changed.
"""

from collections.abc import Iterable, Iterator

from hpack import Encoder, NeverIndexedHeaderTuple
from hyperframe.frame import DataFrame, Frame, HeadersFrame

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_HEADER_BYTES = 9
LARGEST_FRAME = 16_384  # bytes of payload that every receiver must take
FIRST_WINDOW = 65_535  # bytes that may be sent before the receiver has opened its windows
_STREAM_AT, _STREAM_BYTES = 5, 4  # the stream's number in a frame's header


def take_frames(received: bytearray) -> Iterator[Frame]:
    """Parses and removes whole frames at the front of `received`, and leaves the beginning of the next one there."""
    start = 0
    content = bytes(received)
    while len(content) - start >= FRAME_HEADER_BYTES:
        body = start + FRAME_HEADER_BYTES
        frame, length = Frame.parse_frame_header(memoryview(content)[start:body])
        if len(content) < body + length:
            break
        frame.parse_body(memoryview(content)[body : body + length])
        start = body + length
        yield frame
    del received[:start]


def header_block(headers: Iterable[tuple[str, str]]) -> bytes:
    """Encodes headers so that no table of the receiver changes: the same block is valid in every request."""
    return Encoder().encode([NeverIndexedHeaderTuple(*header) for header in headers], huffman=False)


def data_frames(stream: int, body: bytes, *, ends_stream: bool = True) -> list[DataFrame]:
    """DATA frames of at most LARGEST_FRAME bytes; one empty frame for an empty body."""
    starts = range(0, len(body), LARGEST_FRAME) or range(1)
    frames = [DataFrame(stream, body[start : start + LARGEST_FRAME]) for start in starts]
    if ends_stream:
        frames[-1].flags.add("END_STREAM")
    return frames


class RequestTemplate:
    """A request, serialized once, that can be sent on any stream of any connection."""

    def __init__(self, block: bytes, body: bytes) -> None:
        frames: list[HeadersFrame | DataFrame] = [HeadersFrame(1, block, flags=["END_HEADERS"]), *data_frames(1, body)]
        serialized, parts, end = b"".join(frame.serialize() for frame in frames), [], 0
        start = 0
        for frame in frames:
            parts.append(serialized[end : start + _STREAM_AT])
            end = start + _STREAM_AT + _STREAM_BYTES
            start += FRAME_HEADER_BYTES + frame.body_len
        self._parts = [*parts, serialized[end:]]

    def on_stream(self, stream: int) -> bytes:
        """The request's frames with the number of this stream."""
        return stream.to_bytes(_STREAM_BYTES, "big").join(self._parts)
