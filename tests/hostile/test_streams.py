"""Callers that begin and do not go on cost the server little and others nothing; gone, they leave nothing."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from protos.mnist.v1 import digits_pb2
from protos.mnist.v1.digits_pb2_grpc import DigitClassifierStub
from tests.hostile import streams as hostile_streams
from tests.hostile.calls import GOOD
from tests.hostile.load import Attack, assert_unharmed, attacked
from tests.hostile.server import ServerProcess, server_process, write_sturdy_version
from tests.hostile.streams import UNREADING, connections
from tests.support.servers import StartServer

pytestmark = pytest.mark.serial  # memory and time are measured

CALLS = 2000  # at once, and twice
BURST = 2000  # on one connection, of which a client that keeps the rules has CONNECTION_CALLS in flight
CONNECTIONS = 300
STREAMS = 6  # that nobody reads
DESCRIPTORS = 200
END_SECONDS = 3.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    root = tmp_path_factory.mktemp("sturdy")
    write_sturdy_version(root)
    with server_process(root) as running:
        yield running


@pytest.mark.parametrize("attack", [hostile_streams.half_open, hostile_streams.cancelled])
async def test_thousands_of_calls_that_go_away_leave_nothing(attack: Attack, server: ServerProcess) -> None:
    first = await attacked(server, attack, CALLS)
    assert_unharmed(first, most_mebibytes=256)
    again = await attacked(server, attack, CALLS)  # in the memory that the process has kept
    assert_unharmed(again, most_mebibytes=32)


async def test_no_task_is_left_of_calls_that_go_away(start_server: StartServer) -> None:
    async with start_server() as running:
        before = len(asyncio.all_tasks())
        await hostile_streams.half_open(running.grpc_port, 500)
        await hostile_streams.cancelled(running.grpc_port, 500)
        async with asyncio.timeout(10), grpc.aio.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel:
            while len(asyncio.all_tasks()) > before + 2 or running.server.images_in_flight:  # 2: the channel's own
                await DigitClassifierStub(channel).Classify(digits_pb2.ClassifyRequest.FromString(GOOD))


@pytest.mark.parametrize("attack", [hostile_streams.slow, hostile_streams.silent])
async def test_hundreds_of_slow_connections_hold_up_no_other_call(attack: Attack, server: ServerProcess) -> None:
    report = await attacked(server, attack, CONNECTIONS)
    assert_unharmed(report)
    assert report.outcomes.total() == CONNECTIONS


async def test_unread_responses_take_little_memory(tmp_path: Path) -> None:
    write_sturdy_version(tmp_path)
    with server_process(tmp_path) as server:
        report = await attacked(server, hostile_streams.unread_answers, STREAMS)
        assert report.outcomes["took a part"] == STREAMS
        assert_unharmed(report, most_mebibytes=64)


async def test_a_watcher_that_reads_nothing_does_not_hold_up_the_end(tmp_path: Path) -> None:
    write_sturdy_version(tmp_path)
    with server_process(tmp_path) as server:
        async with connections(server.grpc_port, 1, preface=UNREADING) as [watcher]:
            await watcher.settled()
            hostile_streams.begin_watch(watcher)
            await hostile_streams.burst(server.grpc_port, 1)
            assert await asyncio.to_thread(server.end, END_SECONDS) == 0


async def test_a_burst_on_one_connection_is_answered(server: ServerProcess) -> None:
    report = await attacked(server, hostile_streams.burst, BURST)
    assert_unharmed(report, most_mebibytes=256)
    assert report.outcomes == {"OK": BURST}


async def test_connections_that_say_nothing_leave_descriptors_for_others(tmp_path: Path) -> None:
    write_sturdy_version(tmp_path)
    with server_process(tmp_path, most_descriptors=DESCRIPTORS) as server:
        async with connections(server.grpc_port, 2 * DESCRIPTORS, preface=b""):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
            writer.write(b"GET /livez HTTP/1.0\r\n\r\n")
            async with asyncio.timeout(5):
                assert (await reader.read()).split()[1] == b"200"
            writer.close()
