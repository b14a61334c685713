"""Pages of other origins may call the HTTP port where that is switched on; what browsers bring along does no harm."""

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
            assert "Access-Control-Allow-Origin" not in response.headers


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
