"""Connections keep HTTP's rules and the server's limits, whatever is in flight on them."""

import asyncio
import json
import resource
import socket
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from serving.api.http import application, connection
from serving.api.http import server as http_server
from serving.api.http.connection import HttpConnections
from tests.integration.serving.api.http.test_bodies import is_established
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of
from tests.support.web import web

LIVE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
CONNECT = "/mnist.v1.DigitClassifier/Classify"
UPGRADE = (
    b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings, close\r\n"
    b"HTTP2-Settings: AAMAAABk\r\nContent-Length: 784\r\n\r\n"
)
SOON = 30.0


@pytest.mark.parametrize("cuts", [(), (len(UPGRADE),), (50,), (50, len(UPGRADE) + 9)])
async def test_the_body_of_a_request_that_offers_an_upgrade_is_its_body(
    start_server: StartServer, cuts: tuple[int, ...]
) -> None:
    """Java's HttpClient offers h2c with its first request. What follows must not be read as a request."""
    sent, starts = UPGRADE + image_of(5), (0, *cuts)
    async with start_server() as server, asyncio.timeout(SOON):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
        for start, end in zip(starts, (*cuts, len(sent)), strict=True):
            writer.write(sent[start:end])
            async with aiohttp.ClientSession() as session:  # lets the server read what it has
                await session.get(f"http://127.0.0.1:{server.http_port}/livez")
        answer = await reader.read()
        writer.close()
    assert answer.count(b"HTTP/1.1 ") == 1
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["digit"] == 5


async def test_a_body_behind_pipelined_requests_is_not_read_without_bound(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, original = [0], connection.HttpConnection.on_body

    def look(self: connection.HttpConnection, body: bytes) -> None:
        original(self, body)
        held.append(len(self.cycle.body))

    monkeypatch.setattr(connection.HttpConnection, "on_body", look)
    async with start_server(max_image_bytes=50_000) as server, asyncio.timeout(SOON):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
        writer.write(90 * LIVE + b"POST /v1/classify HTTP/1.1\r\nContent-Length: 90000000\r\n\r\n")
        writer.write(bytes(10_000_000))
        while b" 413 " not in await reader.readline():
            pass
        writer.close()
    assert max(held) < 1_000_000


async def test_more_pipelined_requests_than_are_kept_end_the_connection(start_server: StartServer) -> None:
    async with start_server() as server, asyncio.timeout(SOON):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
        writer.write(2 * connection.MAX_PIPELINED * LIVE)
        with suppress(ConnectionError):
            assert (await reader.read()).count(b"alive") <= connection.MAX_PIPELINED + 1
        writer.close()


@pytest.mark.parametrize("earlier", [1, 2, 3])
@pytest.mark.parametrize(
    ("broken", "status"),
    [
        (b"no HTTP\r\n\r\n", b"400"),
        (LIVE[:-2] + b"Transfer-Encoding: chunked\r\n\r\nno number\r\n", b"400"),
        (LIVE[:-2] + b"X: " + b"x" * 300_000, b"431"),
    ],
    ids=["no request", "a body", "a head"],
)
async def test_a_malformed_request_is_answered_after_those_before_it(
    start_server: StartServer, broken: bytes, status: bytes, earlier: int
) -> None:
    call = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 784\r\n\r\n" + image_of(5)
    async with start_server(max_queue_delay_seconds=0.1) as server, asyncio.timeout(SOON):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
        writer.write(earlier * call + broken + LIVE)
        answer = b""
        with suppress(ConnectionError):  # what was not read resets the connection
            while len(piece := await reader.read(2**16)):
                answer += piece
        writer.close()
    statuses = [each[:3] for each in answer.split(b"HTTP/1.1 ")[1:]]
    assert statuses == earlier * [b"200"] + [status]


async def test_a_trailer_that_does_not_end_is_hung_up_on(start_server: StartServer) -> None:
    async with start_server() as server, asyncio.timeout(SOON):
        _, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
        writer.write(b"POST /livez HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ")
        with pytest.raises(ConnectionError):
            await write_without_end(writer)


async def write_without_end(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 100_000)
        await writer.drain()
        await asyncio.sleep(0)  # drain() itself gives nobody a turn while there is room


async def test_trailers_are_no_headers(start_server: StartServer) -> None:
    """RFC 9110, 6.5.1: they are not merged. Here a trailer would decide how the body is read."""
    head = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with start_server() as server, asyncio.timeout(SOON):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
        writer.write(head + b"310\r\n" + image_of(5) + b"\r\n0\r\nContent-Encoding: br\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        writer.close()


async def test_a_last_response_that_is_not_read_is_aborted(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in ((application, "WRITE_SECONDS"), (connection, "IDLE_SECONDS")):
        monkeypatch.setattr(module, name, 0.1)
    get = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n"
    async with start_server() as server, web(server.http_port) as caller, asyncio.timeout(SOON):
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect(("127.0.0.1", server.http_port))
            deaf.sendall(get + b"\r\n" + get + b"\r\n" + get + b"Connection: close\r\n\r\n")
            while is_established(server.http_port, deaf.getsockname()[1]):
                await caller.metrics()


async def test_requests_that_are_being_answered_are_not_ended_for_new_connections(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 4
    monkeypatch.setattr(http_server, "http_connections", lambda: most)
    call = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 784\r\n\r\n"
    async with start_server(max_queue_delay_seconds=1.0) as server, asyncio.timeout(SOON):
        opened = [await asyncio.open_connection("127.0.0.1", server.http_port) for _ in range(most)]
        for digit, (_, writer) in enumerate(opened):
            writer.write(call + image_of(digit))
        while server.server.images_in_flight < most:
            await asyncio.sleep(0)
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
            with suppress(ConnectionError):
                assert await reader.read() == b""  # ended at once
            writer.close()
        answers = [await reader.read() for reader, _ in opened]
        assert [json.loads(answer.partition(b"\r\n\r\n")[2])["digit"] for answer in answers] == list(range(most))
        for _, writer in opened:
            writer.close()


@pytest.mark.parametrize("path", ["/v1/classify", "/v1/models/mnist:predict", "/v2/models/mnist/infer"])
async def test_texts_among_the_numbers_take_no_memory(start_server: StartServer, path: str) -> None:
    data = ["x" * 20_000] + [""] * 783  # NumPy would make 784 texts of 20,000 characters of it, of 4 bytes each
    tensor = {"name": "pixels", "datatype": "UINT8", "shape": [1, 784], "data": data}
    document = {
        "/v1/classify": {"image": [data]},
        "/v1/models/mnist:predict": {"instances": [data]},
        "/v2/models/mnist/infer": {"inputs": [tensor]},
    }[path]
    async with start_server() as server, aiohttp.ClientSession(f"http://127.0.0.1:{server.http_port}") as session:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        async with session.post(path, json=document) as response:
            assert response.status == 400
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # kilobytes
        async with session.post("/v1/classify", json={"image": [["x" * 200_000] + [""] * 50_000]}) as response:
            assert response.status == 400


@pytest.mark.parametrize("path", ["/v1/classify", "/v1/models/mnist:predict", "/v2/models/mnist/infer", CONNECT])
@pytest.mark.parametrize("piece", [b"[],", b"{},", b"[[[[]]]],", b"[{}],"])
async def test_json_of_brackets_is_refused_before_it_is_parsed(
    start_server: StartServer, path: str, piece: bytes
) -> None:
    body = b"[" + piece * (500_000 // len(piece)) + b"0]"
    async with (
        start_server() as server,
        aiohttp.ClientSession(f"http://127.0.0.1:{server.http_port}") as session,
        session.post(path, data=body, headers={"Content-Type": "application/json"}) as response,
    ):
        assert response.status == 400
        assert "brackets" in await response.text()


async def test_the_deepest_shape_of_images_is_no_json_of_brackets(start_server: StartServer) -> None:
    images = [[[[0]] * 28] * 28] * 150  # (28, 28, 1), written as short as it can be
    body = json.dumps({"instances": images}, separators=(",", ":")).encode()
    async with start_server() as server, aiohttp.ClientSession(f"http://127.0.0.1:{server.http_port}") as session:
        for path in ("/v1/classify", "/v1/models/mnist:predict"):
            async with session.post(path, data=body, headers={"Content-Type": "application/json"}) as response:
                assert response.status == 200, await response.text()


async def test_parameters_of_a_load_that_are_none_are_refused(start_server: StartServer) -> None:
    async with start_server() as server, aiohttp.ClientSession(f"http://127.0.0.1:{server.http_port}") as session:
        for parameters in (5, [5], "x", [[1]]):
            async with session.post("/v2/repository/models/mnist/load", json={"parameters": parameters}) as response:
                assert response.status == 400


async def test_a_long_head_that_comes_together_with_another_request_is_refused() -> None:
    """However the bytes arrive: here in one piece, of which the first request's head is the beginning."""

    async def answer_nothing(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    _, connection = await loop.connect_accepted_socket(HttpConnections(answer_nothing, 10).make, theirs)
    connection.data_received(LIVE + LIVE[:-2] + b"X: " + b"x" * 200_000 + b"\r\n\r\n")
    reader, writer = await asyncio.open_connection(sock=ours)
    async with asyncio.timeout(SOON):
        answer = await reader.read()
    assert [line.split()[1] for line in answer.splitlines() if line.startswith(b"HTTP/1.1 ")] == [b"200", b"431"]
    writer.close()
