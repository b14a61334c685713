"""The HTTP port answers what it does not understand with a 4xx, and bears callers that do not come to an end."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile import http as hostile_http
from tests.hostile import streams as hostile_streams
from tests.hostile.http import HELD, fetch, held
from tests.hostile.load import assert_unharmed, attacked
from tests.hostile.server import ServerProcess, server_process, write_sturdy_version

pytestmark = pytest.mark.serial  # memory and time are measured

ROUNDS = 1
REQUESTS = 500
CONNECTIONS = 300
SCRAPES = 150
DESCRIPTORS = 200
PROBE = b"GET /readyz HTTP/1.0\r\n\r\n"
GRACEFUL = {"100", "200", "400", "404", "405", "413", "414", "417", "421", "431", "hung up"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    root = tmp_path_factory.mktemp("sturdy")
    write_sturdy_version(root)
    with server_process(root) as running:
        yield running


async def test_odd_requests_are_refused(server: ServerProcess) -> None:
    report = await attacked(server, hostile_http.odd_requests, ROUNDS, is_http=True)
    assert_unharmed(report)
    assert set(report.outcomes) <= GRACEFUL


async def test_garbage_fills_no_log(server: ServerProcess) -> None:
    lines = len(server.log)
    await attacked(server, hostile_http.garbage, REQUESTS, is_http=True)
    assert len(server.log) < lines + 10


async def test_no_wish_of_a_scraper_is_a_fault_of_the_server(server: ServerProcess) -> None:
    report = await attacked(server, hostile_http.odd_accepts, ROUNDS, is_http=True)
    assert_unharmed(report)
    assert set(report.outcomes) <= GRACEFUL


async def test_garbage_is_refused(server: ServerProcess) -> None:
    report = await attacked(server, hostile_http.garbage, REQUESTS, is_http=True)
    assert_unharmed(report)
    assert set(report.outcomes) <= GRACEFUL


async def test_a_flood_of_scrapes_holds_up_no_call(server: ServerProcess) -> None:
    report = await attacked(server, hostile_http.scrapes, SCRAPES, is_http=True)
    assert_unharmed(report)
    assert report.outcomes == {"200": SCRAPES}


async def test_slow_connections_hold_up_no_call_and_are_closed(server: ServerProcess) -> None:
    report = await attacked(server, hostile_http.slow, CONNECTIONS, is_http=True)
    assert_unharmed(report)
    assert await hostile_http.fetch(server.http_port, b"GET /readyz HTTP/1.0\r\n\r\n") == "200"


@pytest.mark.parametrize("beginning", HELD.values(), ids=HELD)
async def test_connections_that_are_held_leave_descriptors_for_probes_and_calls(
    beginning: bytes, tmp_path: Path
) -> None:
    write_sturdy_version(tmp_path)
    with server_process(tmp_path, most_descriptors=DESCRIPTORS) as server:
        async with held(server.http_port, 2 * DESCRIPTORS, beginning):
            assert [await fetch(server.http_port, PROBE) for _ in range(3)] == ["200"] * 3
            assert server.descriptors() < DESCRIPTORS // 2
            assert (await hostile_streams.burst(server.grpc_port, 1)) == {"OK": 1}
        assert not any("callback_failed" in line for line in server.log)


@pytest.mark.parametrize("protocol", ["gRPC", "HTTP"])
async def test_a_worker_that_is_killed_while_connections_are_held_is_replaced(protocol: str, tmp_path: Path) -> None:
    write_sturdy_version(tmp_path)
    with server_process(tmp_path, "--workers", "2", most_descriptors=DESCRIPTORS) as server:
        port = server.grpc_port if protocol == "gRPC" else server.http_port
        async with held(port, 3 * DESCRIPTORS, b""):
            os.kill(server.worker_pids()[0], signal.SIGKILL)
            await asyncio.to_thread(server.wait_until_logged, "worker_replaced", 1)
            assert [await fetch(server.http_port, PROBE) for _ in range(3)] == ["200"] * 3
