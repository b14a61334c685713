"""Bodies and answers by HTTP that are too long, packed, slow, too many or never read cost the server little."""

import asyncio
import gzip
import socket
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from serving.api.http import application, bodies, connection
from tests.support.processes import ROOT
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of
from tests.support.web import Web, web


@pytest.fixture
async def small(start_server: StartServer) -> AsyncIterator[Web]:
    """Of a server that takes no body above 50,000 bytes."""
    async with start_server(max_image_bytes=50_000) as server, web(server.http_port) as opened:
        yield opened


async def test_a_body_of_unknown_length_ends_where_the_longest_would(small: Web) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 10_000
            yield bytes(10_000)

    try:
        status, _, _ = await small.classify(endless())
    except aiohttp.ClientError:  # it hung up while we sent: that is an answer, too
        status = 413
    assert status == 413
    assert sent < 20_000_000

    async def in_pieces() -> AsyncIterator[bytes]:
        for begin in range(0, 784, 100):
            yield image_of(5)[begin : begin + 100]

    status, answer, _ = await small.classify(in_pieces())
    assert (status, answer["digit"]) == (200, 5)


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
async def test_a_packed_body_is_unpacked_within_the_limit(
    small: Web, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    packed, headers = pack(image_of(5)), {"Content-Encoding": encoding}
    status, answer, _ = await small.classify(packed, headers)
    assert (status, answer["digit"]) == (200, 5)
    for bad in (packed[:-1], packed + b"x", b"", image_of(5)):
        status, answer, _ = await small.classify(bad, headers)
        assert (status, answer["code"]) == (400, "INVALID_ARGUMENT")
    status, answer, _ = await small.classify(pack(bytes(40_000_000)), headers)  # 40 kB on the wire
    assert (status, answer["code"]) == (413, "INVALID_ARGUMENT")


async def test_a_packing_that_is_not_known_is_refused(small: Web) -> None:
    for encoding in ("br", "zstd", "identity, gzip"):
        status, answer, _ = await small.classify(image_of(1), {"Content-Encoding": encoding})
        assert (status, answer["code"]) == (415, "INVALID_ARGUMENT")
    status, _, _ = await small.classify(image_of(1), {"Content-Encoding": "identity"})
    assert status == 200


async def test_a_body_that_does_not_come_is_waited_for_so_long(small: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.05)
    never = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield bytes(10)
        await never.wait()

    status, answer, _ = await small.classify(stuck())
    assert (status, answer["code"]) == (408, "DEADLINE_EXCEEDED")


async def test_all_bodies_together_take_no_more_than_is_allowed(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MAX_BYTES_HELD", 1000)
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield image_of(6)[:700]
        arrived.set()
        await go_on.wait()
        yield image_of(6)[700:]

    async with start_server(max_image_bytes=784, max_request_bytes=1024) as server, web(server.http_port) as caller:
        first = asyncio.create_task(caller.classify(slow()))
        await arrived.wait()
        async with asyncio.timeout(10):
            while (refused := await caller.classify(image_of(2)))[0] == 200:
                pass  # the first body's beginning is on its way
        assert (refused[0], refused[1]["code"]) == (429, "RESOURCE_EXHAUSTED")
        go_on.set()
        status, answer, _ = await first
        assert (status, answer["digit"]) == (200, 6)
        assert (await caller.classify(image_of(2)))[0] == 200  # the room is given back


async def test_connection_that_does_not_read_its_response_is_closed(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "WRITE_SECONDS", 0.05)
    body = (ROOT / "samples" / "black-on-white-3.png").read_bytes()
    head = f"POST /v1/explain HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with start_server(model_repository=ROOT / "models", model_name="mnist-accurate") as server:
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", server.http_port))
            deaf.sendall(5 * (head + body))  # the kernel takes the first answers for itself
            async with web(server.http_port) as caller, asyncio.timeout(30):
                while is_established(server.http_port, deaf.getsockname()[1]):
                    await caller.metrics()
                assert (await caller.classify(image_of(3)))[0] == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /li",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET ",
        b"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1",
    ],
)
async def test_a_request_that_does_not_come_to_an_end_is_hung_up_on(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.05)
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.05)
    async with start_server() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
        async with asyncio.timeout(30):
            writer.write(sent)
            await reader.read()
        writer.close()


@pytest.mark.parametrize("header", [b"X: " + b"y" * 70_000, b"".join(b"X-%d: y\r\n" % at for at in range(10_000))])
@pytest.mark.parametrize("in_pieces", [False, True])
async def test_headers_are_no_longer_than_is_allowed(start_server: StartServer, header: bytes, in_pieces: bool) -> None:
    async with start_server() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
        content = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + header
        for at in range(0, len(content), 1000 if in_pieces else len(content)):
            writer.write(content[at : at + (1000 if in_pieces else len(content))])
        with suppress(ConnectionResetError):  # what we were still sending may overtake the answer
            assert (await reader.read()).startswith(b"HTTP/1.1 431 ")
        writer.close()


def is_established(port: int, client_port: int) -> bool:
    """Whether the server's end of a connection over the loopback is still open, as the kernel says."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = (f":{port:04X}", f":{client_port:04X}")
    return any(row[1].endswith(ends[0]) and row[2].endswith(ends[1]) and row[3] == "01" for row in rows)
