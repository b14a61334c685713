"""HTTP/2 against the server (RFC 9113): what the frames allow and nobody needs, as fast as it can be sent.

Each attack sends `count` pieces, or as many as the server bears; the outcome is what it said last.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable

from hyperframe.frame import DataFrame, PingFrame, SettingsFrame

from benchmarks.protocols import http2
from benchmarks.protocols.protocol import grpc_message
from tests.hostile.calls import GOOD
from tests.hostile.connection import HostileConnection
from tests.hostile.frames import (
    CLASSIFY,
    CLASSIFY_STREAM,
    KEPT_IN_TABLE,
    LARGEST_WINDOW,
    call_headers,
    continuation,
    data,
    headers,
    literal,
    priority,
    reset,
    settings,
    unknown_frame,
    window_update,
)
from tests.hostile.load import Attack

PATIENCE_SECONDS = 0.2  # for a word about a stream that may well get none
_CALL = call_headers()
_BODY = grpc_message(GOOD)
_ACKNOWLEDGED = SettingsFrame(0, flags=["ACK"]).serialize()
Piece = Callable[[int], bytes]  # of a stream that has not been used yet


def flood(piece: Piece, *, beginning: bytes = b"", acknowledges: bool = True, reads: bool = True) -> Attack:
    """The attack of one connection that sends `beginning`, and then a piece after the other."""

    async def attack(port: int, count: int) -> Counter[str]:
        sent = 0
        async with HostileConnection(port, acknowledges=acknowledges) as connection:
            if acknowledges:
                await connection.settled()
            connection.send(beginning)
            connection.next_stream = 3
            if not reads:
                connection.stop_reading()
            while sent < count:
                connection.send(piece(connection.new_stream()))
                sent += 1
                if sent % 64 == 0 and not await connection.drain():
                    break
            word = await connection.ended(1, PATIENCE_SECONDS)
        return Counter({word: 1, "pieces": sent})

    return attack


def _hpack_churn(stream: int) -> bytes:
    kept = b"".join(literal(f"x-{stream}-{number}", "y" * 100, KEPT_IN_TABLE) for number in range(20))
    return headers(stream, _CALL + kept) + data(stream, _BODY)


def _a_thousand(frame: bytes) -> Piece:
    return lambda _: frame * 1000


_HALF_HEADERS = headers(1, _CALL, ends_headers=False)
_OPEN_STREAM = headers(1, call_headers(CLASSIFY_STREAM))
_SETTINGS = settings({SettingsFrame.INITIAL_WINDOW_SIZE: http2.FIRST_WINDOW})
_PADDING = DataFrame(1, bytes(0), pad_length=255, flags=["PADDED"]).serialize()
_PING = PingFrame(0, b"12345678").serialize()

FLOODS: dict[str, Attack] = {
    # CVE-2023-44487, with and without a request, and with an end of it.
    "rapid reset": flood(lambda stream: headers(stream, _CALL) + data(stream, _BODY) + reset(stream)),
    "rapid reset of headers": flood(lambda stream: headers(stream, _CALL) + reset(stream)),
    "rapid reset of streams": flood(lambda stream: headers(stream, call_headers(CLASSIFY_STREAM)) + reset(stream)),
    # CVE-2025-8671: has the server do the resetting.
    "made to reset": flood(lambda stream: headers(stream, _CALL) + data(stream, _BODY) + window_update(stream, 0)),
    "unknown methods": flood(lambda stream: headers(stream, call_headers("/x/y")) + data(stream, _BODY)),
    "settings": flood(_a_thousand(_SETTINGS)),
    "settings, unread": flood(_a_thousand(_SETTINGS), reads=False),
    "acknowledgements": flood(_a_thousand(_ACKNOWLEDGED)),
    "pings": flood(_a_thousand(_PING)),
    "pings, unread": flood(_a_thousand(_PING), reads=False),
    "empty data": flood(_a_thousand(data(1, b"", ends_stream=False)), beginning=_OPEN_STREAM),
    "padded data": flood(lambda _: _PADDING * 100, beginning=_OPEN_STREAM),
    "priorities": flood(lambda stream: priority(stream) * 100),
    "frames nobody knows": flood(lambda stream: unknown_frame(stream, bytes(16_000))),
    "window overflow": flood(lambda _: window_update(0, LARGEST_WINDOW)),
    "window overflow of a stream": flood(lambda _: window_update(1, LARGEST_WINDOW), beginning=_OPEN_STREAM),
    "continuation": flood(
        lambda stream: continuation(1, literal(f"x-{stream}", "y" * 16_000)), beginning=_HALF_HEADERS
    ),
    # Limits on metadata hold from the acknowledgement on, which this one never gives.
    "continuation, unacknowledged": flood(
        lambda stream: continuation(1, literal(f"x-{stream}", "y" * 16_000)),
        beginning=_HALF_HEADERS,
        acknowledges=False,
    ),
    "one endless header": flood(
        lambda _: continuation(1, b"y" * 16_000),
        beginning=headers(1, _CALL + b"\0\x01x\x7f\x80\xff\xff\xff\x07", ends_headers=False),
        acknowledges=False,
    ),
    "empty continuation": flood(_a_thousand(continuation(1)), beginning=_HALF_HEADERS),
    "hpack churn": flood(_hpack_churn),
    "hpack table of 4 GiB": flood(
        lambda stream: headers(stream, b"\x3f\xe0\xff\xff\xff\x0f" + _CALL) + data(stream, _BODY),
        beginning=settings({SettingsFrame.HEADER_TABLE_SIZE: 2**32 - 1}),
    ),
    "hpack references to nothing": flood(lambda stream: headers(stream, _CALL + b"\xff\xff\xff\xff\x0f")),
    "old streams again": flood(lambda _: headers(1, _CALL) + data(1, _BODY)),
    "even streams": flood(lambda stream: headers(stream + 1, _CALL)),
    "data without a call": flood(lambda stream: data(stream, _BODY)),
    "a frame of 16 MiB": flood(lambda _: b"\xff\xff\xff\0\0\0\0\0\x01" + bytes(2**16)),
}


async def garbage(port: int, count: int) -> Counter[str]:
    """Connections that speak something else, or begin well and go on in noise."""
    chance, outcomes = random.Random(count), Counter[str]()
    client_hello = bytes.fromhex("16030100a5010000a10303") + chance.randbytes(160)
    http_1 = f"POST {CLASSIFY} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n".encode()
    beginnings = [b"", client_hello, http_1, http2.PREFACE, http2.PREFACE * 2, http2.PREFACE[:20], b"PRI * HTTP/1.0"]

    async def connect(beginning: bytes) -> None:
        async with HostileConnection(
            port, beginning + chance.randbytes(chance.choice([40, 400, 40_000]))
        ) as connection:
            outcomes[await connection.ended(1, PATIENCE_SECONDS)] += 1

    for _ in range(-(-count // len(beginnings))):
        await asyncio.gather(*map(connect, beginnings))
    return outcomes
