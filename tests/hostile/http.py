"""Hostile HTTP requests: whatever the port gets, it responds with a 4xx or hangs up."""

import asyncio
import random
import re
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

AT_ONCE = 50
ANSWER_SECONDS = 10.0
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_HOST = b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
_TARGETS = [
    b"/../../../../etc/passwd",
    b"/..%2f..%2f..%2fetc%2fpasswd",
    b"/%2e%2e/%2e%2e/etc/passwd",
    b"/metrics/../../etc/passwd",
    b"//etc/passwd",
    b"/livez%00.html",
    b"/livez/",
    b"/" + b"a" * 7000,
    b"/" + b"a" * 100_000,
    b"http://elsewhere/metrics",
    b"http://[::1/livez",
    b"*",
    b"/%zz",
    b"/\xff\xfe",
    b"/?" + b"a=b&" * 1000,
]
_METHODS = [b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"TRACE", b"CONNECT", b"PRI", b"G\0T", b"a" * 9000]
_HEADERS = [
    b"X: " + b"y" * 7000,
    b"X: " + b"y" * 1_000_000,
    b"\r\n".join(b"X-%d: y" % number for number in range(10_000)),
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 5\r\nContent-Length: 6",
    b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    b"Transfer-Encoding: gzip, chunked",
    b"Content-Encoding: gzip",
    b"Host: y",
    b"Upgrade: h2c\r\nConnection: Upgrade\r\nHTTP2-Settings: AAAA",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x",
    b"Expect: 100-continue",
    b"Expect: nothing",
    b"Range: bytes=0-,0-,0-",
    b"X:y\r\n folded",
    b": no name",
    b"no colon",
    b"X\0: y",
    b"Cookie: " + b"a=b; " * 1000,
]
_ACCEPTS = [
    b"application/openmetrics-text; version=1.0.0",
    b"application/openmetrics-text; version=soon",
    b"application/openmetrics-text; version=99999999999999999999.0.0",
    b"application/openmetrics-text; version=1.0.0; escaping=nothing",
    b"application/openmetrics-text;;;=;version",
    b"text/plain; version=x.y.z",
    b"text/plain; version=1.0.0; escaping=\xff",
    b"*/*;q=nothing",
    b",,,," * 100,
    b"\xff\xfe",
]
PATHS = [b"/livez", b"/readyz", b"/metrics"]


async def odd_requests(port: int, rounds: int) -> Counter[str]:
    """Targets, methods and headers that nobody needs, and bodies that no request needs."""
    requests = [b"GET " + target + _HOST + b"\r\n" for target in _TARGETS]
    requests += [method + b" /livez" + _HOST + b"\r\n" for method in _METHODS]
    requests += [b"GET " + path + _HOST + header + b"\r\n\r\n" for header in _HEADERS for path in PATHS]
    requests += [b"POST /livez" + _HOST + b"Content-Length: 20000000\r\n\r\n" + bytes(20_000_000)]
    return await _all(port, requests * rounds)


async def odd_accepts(port: int, rounds: int) -> Counter[str]:
    """Scrapers that accept only forms of metrics that do not exist."""
    return await _all(
        port, [b"GET /metrics" + _HOST + b"Accept: " + accept + b"\r\n\r\n" for accept in _ACCEPTS] * rounds
    )


async def garbage(port: int, count: int) -> Counter[str]:
    """Bytes by chance, alone and behind a good beginning."""
    chance = random.Random(count)
    beginnings = [b"", b"GET ", b"GET /livez" + _HOST, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", bytes.fromhex("16030100a5")]
    requests = [beginnings[at % 5] + chance.randbytes(chance.choice([9, 900, 90_000])) for at in range(count)]
    return await _all(port, [request + b"\r\n\r\n" for request in requests])


async def scrapes(port: int, count: int) -> Counter[str]:
    """`count` scrapes of the metrics, all at once."""
    request = b"GET /metrics" + _HOST + b"\r\n"
    return Counter(await asyncio.gather(*(fetch(port, request) for _ in range(count))))


async def slow(port: int, count: int) -> Counter[str]:
    """`count` connections that say nothing, half a request line, endless headers or a body that does not come."""
    beginnings = [b"", b"GET /li", b"GET /livez" + _HOST, b"POST /livez" + _HOST + b"Content-Length: 100\r\n\r\n"]
    async with _connections(port, count) as opened:
        for number, (_, writer) in enumerate(opened):
            writer.write(beginnings[number % 4])
        for _ in range(20):
            for number, (_, writer) in enumerate(opened):
                writer.write(b"X: y\r\n" if number % 4 == 2 else b"x" if number % 4 else b"")
            await asyncio.gather(*(writer.drain() for _, writer in opened), return_exceptions=True)
    return Counter({"connections": len(opened)})


# What a client may leave a connection with. All but the last say nothing more, and the last reads nothing.
HELD = {
    "silent": b"",
    "half a line": b"GET /li",
    "half a head": b"GET /livez" + _HOST,
    "half a body": b"POST /v1/classify" + _HOST + b"Content-Length: 784\r\n\r\n" + bytes(9),
    "idle": b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "unread": 9 * b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@asynccontextmanager
async def held(port: int, count: int, beginning: bytes) -> AsyncIterator[None]:
    """`count` connections that have sent this beginning, until the block ends; some the server may have ended."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.connect(("127.0.0.1", port))  # the kernel takes it, the server perhaps later
            with suppress(OSError):
                each.send(beginning)
        yield
    finally:
        for each in sockets:
            each.close()


async def fetch(port: int, request: bytes) -> str:
    """The status of the answer, `hung up` or `no answer`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            writer.write(request)
            sending = asyncio.ensure_future(writer.drain())
            answer = await reader.read(2**16)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    except TimeoutError:
        return "no answer"
    except OSError:
        return "hung up"
    finally:
        writer.transport.abort()
    found = _STATUS.match(answer)
    return found[1].decode() if found else "hung up"


async def _all(port: int, requests: list[bytes]) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    for at in range(0, len(requests), AT_ONCE):
        outcomes.update(await asyncio.gather(*(fetch(port, request) for request in requests[at : at + AT_ONCE])))
    return outcomes


@asynccontextmanager
async def _connections(port: int, count: int) -> AsyncIterator[list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]:
    opened: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    try:
        for at in range(0, count, AT_ONCE):
            group = range(at, min(at + AT_ONCE, count))
            opened += await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in group))
        yield opened
    finally:
        for _, writer in opened:
            writer.transport.abort()
