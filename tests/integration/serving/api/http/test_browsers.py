"""Pages of other origins may call the HTTP port where that is switched on; what browsers bring along does no harm."""

import asyncio
import gzip
import json
import zlib
from dataclasses import fields

import aiohttp
import pytest

from serving.config import Config
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of

PAGE = "https://page.example"
PREFLIGHT = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type,x-api-key",
}


async def test_by_default_no_page_of_another_origin_may_call(start_server: StartServer) -> None:
    async with start_server() as server, aiohttp.ClientSession(f"http://127.0.0.1:{server.http_port}") as session:
        async with session.options("/v1/classify", headers=PREFLIGHT) as response:
            assert response.status == 405
        async with session.post("/v1/classify", data=image_of(1), headers={"Origin": PAGE}) as response:
            assert response.status == 403
            assert "Access-Control-Allow-Origin" not in response.headers


# All that a page may make a browser send without a preflight.
COSTLY = ["/v1/classify", "/v1/read", "/v1/explain", "/v1/models/mnist:predict", "/v2/models/mnist/infer"]
COSTLY += ["/v2/repository/models/mnist/load", "/v2/repository/models/mnist/unload", "/v2/repository/index"]
COSTLY += ["/mnist.v1.DigitClassifier/Classify", "/inference.GRPCInferenceService/RepositoryModelLoad"]


@pytest.mark.parametrize("path", COSTLY)
async def test_what_costs_is_refused_to_a_page_of_another_origin(start_server: StartServer, path: str) -> None:
    async with start_server() as server, aiohttp.ClientSession(f"http://127.0.0.1:{server.http_port}") as session:
        async with session.post(path, data=image_of(1), headers={"Origin": PAGE}) as response:
            document = await response.json()
            assert (response.status, document["code"]) == (403, "PERMISSION_DENIED")
            assert "--cors-origin" in document["message"]
            assert document["message"] == document["error"]  # where clients of the Open Inference Protocol look
        own = f"http://127.0.0.1:{server.http_port}"
        for headers in ({}, {"Origin": own}):
            async with session.post(path, data=image_of(1), headers=headers) as response:
                assert response.status not in (403, 421)


@pytest.mark.parametrize("path", ["/", "/livez", "/metrics", "/v2", "/docs", "/nothing"])
async def test_a_name_that_points_here_is_not_answered_on_loopback(start_server: StartServer, path: str) -> None:
    async with (
        start_server(metrics_address="127.0.0.1:0", http_hosts="digits.example") as server,
        aiohttp.ClientSession() as session,
    ):
        for port in (server.http_port, server.metrics_port):
            url = f"http://127.0.0.1:{port}{path}"
            async with session.get(url, headers={"Host": "evil.example"}) as response:
                assert (response.status, (await response.json())["code"]) == (421, "PERMISSION_DENIED")
            for host in ("localhost", f"127.0.0.1:{port}", "digits.example:80"):
                async with session.get(url, headers={"Host": host}) as response:
                    assert response.status in (200, 404)


async def test_every_response_is_taken_for_what_it_says_it_is(start_server: StartServer) -> None:
    requests = [f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" for path in ("/", "/docs")]
    requests += [f"POST {path} HTTP/1.0\r\nContent-Length: 9\r\n\r\nno digits" for path in COSTLY]
    requests += ["GET /livez HTTP/1.0\r\n\r\n", "GET /no HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nHost: evil\r\n\r\n"]
    requests += ["no HTTP\r\n\r\n", "GET / HTTP/1.0\r\nX: " + "x" * 100_000, "DELETE /livez HTTP/1.0\r\n\r\n"]
    async with start_server(admin=False) as server:
        for request in requests:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
            writer.write(request.encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            writer.transport.abort()
            assert head.count(b"\r\nx-content-type-options: nosniff\r\n") == 1, (request[:60], head)
            assert b"\r\nserver:" not in head


@pytest.mark.parametrize("setting", [PAGE, f"http://other.example:8000,{PAGE}", "*"])
async def test_a_page_whose_origin_is_named_may_call(start_server: StartServer, setting: str) -> None:
    async with (
        start_server(cors_origin=setting) as server,
        aiohttp.ClientSession(f"http://127.0.0.1:{server.http_port}") as session,
    ):
        async with session.options("/v1/classify", headers=PREFLIGHT) as response:
            assert response.status == 200
            assert response.headers["Access-Control-Allow-Origin"] in (PAGE, "*")
            assert "POST" in response.headers["Access-Control-Allow-Methods"]
        async with session.post("/v1/classify", data=image_of(1), headers={"Origin": PAGE}) as response:
            assert response.headers["Access-Control-Allow-Origin"] in (PAGE, "*")
            assert (await response.json())["digit"] == 1
        async with session.options("/v1/classify", headers=PREFLIGHT | {"Origin": "https://evil.example"}) as response:
            assert (response.status == 200) is (setting == "*")


@pytest.mark.parametrize(
    "wrong", ["page.example", "https://page.example/", "https://a.example,", "ftp://a.example", "https://"]
)
def test_an_origin_of_another_form_is_refused(wrong: str) -> None:
    [parse] = [each.metadata["parse"] for each in fields(Config) if each.name == "cors_origin"]
    with pytest.raises(ValueError, match="expected SCHEME"):
        parse(wrong)


async def test_a_long_response_is_packed_as_the_client_accepts_it(start_server: StartServer) -> None:
    images = json.dumps([list(image_of(digit)) for digit in range(10)]).encode()
    async with (
        start_server() as server,
        aiohttp.ClientSession(f"http://127.0.0.1:{server.http_port}", auto_decompress=False) as session,
    ):

        async def read(accept: str) -> tuple[str, bytes]:
            async with session.post("/v1/classify", data=images, headers={"Accept-Encoding": accept}) as response:
                assert response.headers["Vary"] == "Accept-Encoding"
                return response.headers.get("Content-Encoding", ""), await response.read()

        encoding, plain = await read("identity")
        assert (encoding, len(json.loads(plain)["predictions"])) == ("", 10)
        encoding, content = await read("br, gzip")
        assert (encoding, gzip.decompress(content)) == ("gzip", plain)
        encoding, content = await read("deflate;q=0.5")
        assert (encoding, zlib.decompress(content)) == ("deflate", plain)
        assert (await read("gzip;q=0, br"))[0] == ""
        async with session.get("/metrics", headers={"Accept-Encoding": "gzip"}) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            metrics = gzip.decompress(await response.read())
        assert b"# HELP mnist_decode_seconds " in metrics
        assert b"_created" not in metrics  # in this format each would be a series of its own
