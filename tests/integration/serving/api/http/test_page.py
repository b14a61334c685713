"""The page is a few files, each with its content type; nothing else is read from the disk."""

import asyncio

import aiohttp
import pytest

from serving.api.http.page import DOCS_FOLDER, FOLDER, TYPES
from tests.support.servers import StartServer


async def test_every_file_of_the_page_is_served_as_what_it_is(start_server: StartServer) -> None:
    async with start_server() as server, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{server.http_port}"
        async with session.get(url) as response:
            assert await response.json() == {"status": "alive"}  # to a program
        async with session.get(url, headers={"Accept": "text/html,*/*;q=0.8"}) as response:
            assert response.content_type == "text/html"
            assert "default-src 'self'" in response.headers["Content-Security-Policy"]
            assert await response.read() == (FOLDER / "index.html").read_bytes()
        pages = [(f"{url}/page/{path.name}", path) for path in FOLDER.iterdir() if path.is_file()]
        pages += [(f"{url}/docs/{path.name}", path) for path in DOCS_FOLDER.iterdir() if path.suffix in TYPES]
        for address, path in pages:
            async with session.get(address) as response:
                assert response.status == 200
                assert response.content_type == TYPES[path.suffix]
                assert response.headers["X-Content-Type-Options"] == "nosniff"
                assert await response.read() == path.read_bytes()
                known = {"If-None-Match": response.headers["ETag"]}
            async with session.get(address, headers=known) as again:
                assert again.status == 304


async def test_cookies_of_other_programs_on_the_host_do_no_harm_and_are_not_echoed(start_server: StartServer) -> None:
    # A browser sends the cookies of every port of a host to each of them.
    cookies = "; ".join(f"program{number}=secret-{number:080}" for number in range(100))
    assert len(cookies) > 9_000
    files = ["/", *(f"/page/{path.name}" for path in FOLDER.iterdir() if path.is_file())]
    async with start_server() as server, aiohttp.ClientSession(headers={"Cookie": cookies}) as session:
        url = f"http://127.0.0.1:{server.http_port}"
        for path in [*files, "/readyz", "/metrics", "/v1/openapi.json", "/nothing", "/v1/classify"]:
            async with session.get(url + path, headers={"Accept": "text/html"}) as response:
                assert response.status == {"/nothing": 404, "/v1/classify": 405}.get(path, 200)
                assert b"secret" not in await response.read()
                assert "secret" not in str(response.raw_headers)
        async with session.post(f"{url}/v1/classify", data=b"no picture") as response:
            assert response.status == 400
            assert b"secret" not in await response.read()


@pytest.mark.parametrize(
    "path",
    [
        "/page/",
        "/page/nothing.js",
        "/page/docs",
        "/docs/LICENSE.txt",
        "/page/../config.py",
        "/page/..%2fconfig.py",
        "/page/%2e%2e/config.py",
        "/config.py",
    ],
)
async def test_nothing_else_is_there(start_server: StartServer, path: str) -> None:
    async with start_server() as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())  # as it stands: a client would tidy it up
        assert b" 404 " in await reader.readline()
        writer.close()
