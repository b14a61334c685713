"""Calls that break gRPC's rules end with a status and cost nobody else anything."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from serving.api.engine.engines import LISTENERS
from tests.hostile.calls import (
    Call,
    bombs,
    held_messages,
    make,
    make_all,
    odd_calls,
    paths_that_are_no_text,
    swelling_messages,
    unfinished_calls,
)
from tests.hostile.connection import HostileConnection
from tests.hostile.load import MEBIBYTE, Report, assert_unharmed, attacked
from tests.hostile.server import ServerProcess, server_process, write_sturdy_version
from tests.support.engine import ENGINE
from tests.support.good_calls import GoodCalls

pytestmark = pytest.mark.serial  # memory and time are measured

ROUNDS = 1
HELD = 150  # of MESSAGE_BYTES each
MESSAGE_BYTES = 2**21
PATHS = 40
SOON_SECONDS = 0.5


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    root = tmp_path_factory.mktemp("sturdy")
    write_sturdy_version(root)
    with server_process(root) as running:
        yield running


async def test_odd_calls_end_with_the_status_that_is_right_for_them(server: ServerProcess) -> None:
    report = await attacked(server, partial(_make, odd_calls()), ROUNDS)
    assert_unharmed(report)
    _assert_right(report)


async def test_paths_that_are_no_text_leave_the_server_up(tmp_path: Path) -> None:
    write_sturdy_version(tmp_path)
    with server_process(tmp_path) as server:
        outcomes = await _bad_paths(server.grpc_port, PATHS)
        if ENGINE == "aio":
            assert outcomes["CANCELLED"] > LISTENERS
            # More than there were, so that replacements ended, too. Not as many as were cancelled: a listener that is
            # ending already cancels further calls.
            await asyncio.to_thread(server.wait_until_logged, "listener_replaced", LISTENERS + 1)
        else:
            assert outcomes == {"UNIMPLEMENTED": PATHS}
        with GoodCalls(server.grpc_port, patience_seconds=1.0) as afterwards:
            pass
        assert not afterwards.failures


async def _bad_paths(port: int, count: int) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    for call in paths_that_are_no_text() * (count // 2):
        try:
            async with HostileConnection(port) as connection:
                outcomes[await make(connection, call, SOON_SECONDS)] += 1
        except OSError as error:  # nobody listens any more
            outcomes[repr(error)] += 1
    return outcomes


@pytest.mark.parametrize("call", unfinished_calls(), ids=lambda call: call.name)
@pytest.mark.xfail(
    ENGINE == "aio",
    strict=True,
    raises=AssertionError,
    reason="grpc.aio returns from a unary call without a message and sends no status",
)
async def test_call_that_ends_before_its_message_gets_a_status(call: Call, server: ServerProcess) -> None:
    async with HostileConnection(server.grpc_port) as connection:
        assert await make(connection, call, SOON_SECONDS) in call.endings


async def test_what_would_unpack_to_a_gigabyte_is_refused_before_it_does(server: ServerProcess) -> None:
    report = await attacked(server, partial(_make, bombs()), ROUNDS)
    assert_unharmed(report, most_mebibytes=128)
    _assert_right(report)


async def test_a_refused_request_is_let_go(server: ServerProcess) -> None:
    report = await attacked(server, partial(_make, held_messages(MESSAGE_BYTES)), HELD)
    assert_unharmed(report, most_mebibytes=100)
    assert report.outcomes == {"INVALID_ARGUMENT": HELD}


async def test_messages_of_the_cheapest_entries_take_little_memory(tmp_path: Path) -> None:
    """One after the other: eight at once are 32 MiB before anybody has read them."""

    async def in_turn(port: int, rounds: int) -> Counter[str]:
        outcomes: Counter[str] = Counter()
        for call in swelling_messages(MESSAGE_BYTES):
            outcomes += await make_all(port, [call], rounds)
        return outcomes

    write_sturdy_version(tmp_path)
    with server_process(tmp_path) as server:  # that has no memory yet from other messages
        report = await attacked(server, in_turn, ROUNDS)
    assert_unharmed(report, most_mebibytes=10 * MESSAGE_BYTES // MEBIBYTE + 20)
    _assert_right(report)


async def _make(calls: list[Call], port: int, rounds: int) -> Counter[str]:
    return await make_all(port, calls, rounds)


def _assert_right(report: Report) -> None:
    assert not [outcome for outcome in report.outcomes if ":" in outcome]
