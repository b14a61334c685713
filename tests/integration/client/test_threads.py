"""The blocking client's calls share RPCs between threads, under the rules of asyncio's."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from mnist_digits import CallError, DigitClient
from mnist_digits.channel import CLASSIFY
from mnist_digits.classify_codec import image_bytes, version_bytes
from mnist_digits.coalescing.share_queue import MAX_RPCS, ShareQueue
from mnist_digits.coalescing.thread_coalescer import ThreadCall, ThreadCoalescer
from serving.process.standalone import Standalone
from tests.support.held_service import HeldRpc, HeldService, served
from tests.support.tiny_model import image_of


@pytest.fixture
async def service() -> AsyncIterator[HeldService]:
    async with served() as running:
        yield running


@pytest.fixture
async def coalescer(service: HeldService) -> AsyncIterator[ThreadCoalescer]:
    with grpc.insecure_channel(service.address) as channel:
        calls = ThreadCoalescer(channel.unary_unary(CLASSIFY), ShareQueue())
        yield calls
        calls.close()


def submit(coalescer: ThreadCoalescer, digit: int, timeout_seconds: float = 60) -> ThreadCall:
    call = coalescer.new_call(image_bytes(image_of(digit)), 1, version_bytes(0), timeout_seconds)
    coalescer.submit([call])
    return call


async def fill(coalescer: ThreadCoalescer, service: HeldService) -> list[HeldRpc]:
    """As many RPCs in flight as there may be: what is submitted now waits for their end."""
    rpcs = []
    for _ in range(MAX_RPCS):
        submit(coalescer, 0)
        rpcs.append(await service.next_rpc())
    return rpcs


async def digit(coalescer: ThreadCoalescer, call: ThreadCall) -> int:
    return (await asyncio.to_thread(coalescer.wait, call))[0].digit


def digits_in(rpc: HeldRpc) -> list[int]:
    return [image.pixels.index(255) for image in rpc.request.images]


async def test_every_thread_gets_its_own_answer(server: Standalone) -> None:
    def ask_for(number: int) -> list[int]:
        return [client.classify([image_of(number % 10)])[0].digit for _ in range(20)]

    with DigitClient(f"127.0.0.1:{server.grpc_port}") as client, ThreadPoolExecutor(30) as threads:
        answers = await asyncio.gather(
            *(asyncio.get_running_loop().run_in_executor(threads, ask_for, number) for number in range(30))
        )
    assert answers == [[number % 10] * 20 for number in range(30)]


async def test_a_bad_picture_fails_its_own_thread_only(server: Standalone) -> None:
    def ask_for(number: int) -> int | str:
        try:
            return client.classify([b"no picture" if number % 10 == 7 else image_of(number % 10)])[0].digit
        except CallError as error:
            return error.code

    with DigitClient(f"127.0.0.1:{server.grpc_port}") as client, ThreadPoolExecutor(30) as threads:
        answers = await asyncio.gather(
            *(asyncio.get_running_loop().run_in_executor(threads, ask_for, number) for number in range(60))
        )
    assert answers == [number % 10 if number % 10 != 7 else "INVALID_ARGUMENT" for number in range(60)]


async def test_what_is_asked_while_rpcs_are_in_flight_shares_the_next(
    coalescer: ThreadCoalescer, service: HeldService
) -> None:
    first = await fill(coalescer, service)
    later = [submit(coalescer, number) for number in range(10)]
    first[0].answer()
    (rpc := await service.next_rpc()).answer()
    assert digits_in(rpc) == list(range(10))
    assert [await digit(coalescer, call) for call in later] == list(range(10))


async def test_a_deadline_is_kept_while_waiting_and_in_a_shared_rpc(
    coalescer: ThreadCoalescer, service: HeldService
) -> None:
    first = await fill(coalescer, service)
    patient, hasty = submit(coalescer, 1), submit(coalescer, 2, timeout_seconds=0.05)
    with pytest.raises(CallError, match="DEADLINE_EXCEEDED"):
        await digit(coalescer, hasty)
    short = submit(coalescer, 3, timeout_seconds=0.3)
    first[0].answer()
    rpc = await service.next_rpc()
    assert digits_in(rpc) == [1, 3]
    with pytest.raises(CallError, match="DEADLINE_EXCEEDED"):
        await digit(coalescer, short)
    rpc.answer()
    assert await digit(coalescer, patient) == 1
    assert not rpc.was_cancelled.is_set()


async def test_when_nobody_waits_any_longer_the_rpc_is_cancelled(
    coalescer: ThreadCoalescer, service: HeldService
) -> None:
    first = await fill(coalescer, service)
    later = [submit(coalescer, 1), submit(coalescer, 2)]
    first[0].answer()
    rpc = await service.next_rpc()
    for call in later:
        coalescer.abandon(call)
    async with asyncio.timeout(10):
        await rpc.was_cancelled.wait()
    last = submit(coalescer, 3)
    (await service.next_rpc()).answer()
    assert await digit(coalescer, last) == 3


async def test_closing_the_client_ends_a_call_in_another_thread(service: HeldService) -> None:
    client = DigitClient(service.address)
    call = asyncio.create_task(asyncio.to_thread(client.classify, [image_of(1)]))
    await service.next_rpc()
    await asyncio.to_thread(client.close)
    with pytest.raises(CallError, match="CANCELLED: the client is closed"):
        await call
    with pytest.raises(CallError, match="CANCELLED: the client is closed"):
        client.classify([image_of(1)])


async def test_closing_ends_what_waits_and_what_shares_an_rpc(coalescer: ThreadCoalescer, service: HeldService) -> None:
    first = await fill(coalescer, service)
    shared = [submit(coalescer, 1), submit(coalescer, 2)]
    first[0].answer()
    await service.next_rpc()
    waiting = submit(coalescer, 3)
    coalescer.close()
    for call in [*shared, waiting]:
        with pytest.raises(CallError, match="CANCELLED: the client is closed"):
            await digit(coalescer, call)
