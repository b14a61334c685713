"""Calls that share RPCs: each caller keeps its own answer, deadline, cancellation and error. Rules: share_queue.py."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence

import grpc
import numpy as np
import pytest

from mnist_digits import AsyncDigitClient, CallError, ImageLike, Prediction
from mnist_digits.coalescing.share_queue import MAX_IMAGES, MAX_RPCS
from serving.process.standalone import Standalone
from tests.support.held_service import HeldRpc, HeldService, served
from tests.support.servers import StartServer
from tests.support.tiny_model import image_of, image_that_fails

BAD_PICTURE = b"\x89PNG but not really"


@pytest.fixture
async def service() -> AsyncIterator[HeldService]:
    async with served() as running:
        yield running


@pytest.fixture
async def client(service: HeldService) -> AsyncIterator[AsyncDigitClient]:
    async with AsyncDigitClient(service.address, timeout_seconds=60) as opened:
        yield opened


def ask(client: AsyncDigitClient, digit: int, **options: float) -> "asyncio.Task[list[Prediction]]":
    return asyncio.create_task(client.classify([image_of(digit)], **options))  # type: ignore[arg-type]  # one test sets a version


async def fill(
    client: AsyncDigitClient, service: HeldService
) -> "list[tuple[asyncio.Task[list[Prediction]], HeldRpc]]":
    """As many RPCs in flight as there may be: what is asked now waits for their end."""
    return [(ask(client, 0), await service.next_rpc()) for _ in range(MAX_RPCS)]


async def within_ten_seconds(answer: Awaitable[list[Prediction]]) -> int:
    async with asyncio.timeout(10):
        return (await answer)[0].digit


def digits_in(rpc: HeldRpc) -> list[int]:
    return [image.pixels.index(255) for image in rpc.request.images]


async def test_the_first_calls_leave_alone_and_what_comes_meanwhile_shares_the_next_rpc(
    client: AsyncDigitClient, service: HeldService
) -> None:
    first = await fill(client, service)
    assert [digits_in(rpc) for _, rpc in first] == [[0]] * MAX_RPCS
    later = [ask(client, digit) for digit in range(1, 10)]
    first[0][1].answer()
    shared = await service.next_rpc()
    assert digits_in(shared) == list(range(1, 10))
    shared.answer()
    assert [await within_ten_seconds(answer) for answer in later] == list(range(1, 10))
    assert not service.has_another_rpc()
    for _, rpc in first[1:]:
        rpc.answer()
    await asyncio.gather(*(answer for answer, _ in first))


async def test_calls_of_several_images_get_their_own_rows(client: AsyncDigitClient, service: HeldService) -> None:
    first = await fill(client, service)
    groups: list[list[ImageLike]] = [[image_of(n) for n in range(start, start + 3)] for start in range(5)]
    later = [asyncio.create_task(client.classify(group)) for group in groups]
    for _, rpc in first:
        rpc.answer()
    (await service.next_rpc()).answer()
    answers = [[p.digit for p in answer] for answer in await asyncio.gather(*later)]
    assert answers == [[start, start + 1, start + 2] for start in range(5)]


async def test_an_rpc_carries_no_more_than_its_images(client: AsyncDigitClient, service: HeldService) -> None:
    first = await fill(client, service)
    later = [ask(client, 1) for _ in range(MAX_IMAGES + 1)]
    for _, rpc in first:
        rpc.answer()
    rpcs = await service.next_rpcs(2)
    assert sorted(len(rpc.request.images) for rpc in rpcs) == [1, MAX_IMAGES]
    for rpc in rpcs:
        rpc.answer()
    await asyncio.gather(*later)


async def test_a_call_that_fills_an_rpc_does_not_wait_for_others(
    client: AsyncDigitClient, service: HeldService
) -> None:
    await fill(client, service)
    large = asyncio.create_task(client.classify([image_of(5)] * MAX_IMAGES))
    (rpc := await service.next_rpc()).answer()
    assert len(rpc.request.images) == len(await large) == MAX_IMAGES


async def test_a_client_that_shall_not_coalesce_sends_each_call_at_once(service: HeldService) -> None:
    async with AsyncDigitClient(service.address, coalesce=False) as client:
        calls = [ask(client, digit) for digit in range(10)]
        rpcs = await service.next_rpcs(10)
        assert sorted(digits_in(rpc) for rpc in rpcs) == [[digit] for digit in range(10)]
        for rpc in rpcs:
            rpc.answer()
        assert [await within_ten_seconds(call) for call in calls] == list(range(10))


async def test_a_deadline_that_passes_in_the_queue_is_told_then_and_the_call_never_sent(
    client: AsyncDigitClient, service: HeldService
) -> None:
    first = await fill(client, service)
    patient = ask(client, 1)
    with pytest.raises(CallError) as raised:
        await within_ten_seconds(ask(client, 2, timeout_seconds=0.05))
    assert raised.value.code == "DEADLINE_EXCEEDED"
    first[0][1].answer()
    (rpc := await service.next_rpc()).answer()
    assert digits_in(rpc) == [1]
    assert await within_ten_seconds(patient) == 1


async def test_a_short_deadline_in_a_shared_rpc_is_kept_and_the_others_are_answered(
    client: AsyncDigitClient, service: HeldService
) -> None:
    first = await fill(client, service)
    patient, hasty = ask(client, 1, timeout_seconds=60), ask(client, 2, timeout_seconds=0.3)
    first[0][1].answer()
    rpc = await service.next_rpc()
    assert digits_in(rpc) == [1, 2]
    assert rpc.seconds_left is not None
    assert rpc.seconds_left > 30  # the most patient caller's
    with pytest.raises(CallError, match="DEADLINE_EXCEEDED"):
        await within_ten_seconds(hasty)
    rpc.answer()
    assert await within_ten_seconds(patient) == 1


async def test_one_cancelled_caller_leaves_the_others_their_answers(
    client: AsyncDigitClient, service: HeldService
) -> None:
    first = await fill(client, service)
    stays, leaves_in_flight, leaves_waiting = ask(client, 1), ask(client, 2), ask(client, 3)
    await asyncio.sleep(0)  # a turn of the loop, in which all three join
    await cancelled_soon(leaves_waiting)
    first[0][1].answer()
    rpc = await service.next_rpc()
    assert digits_in(rpc) == [1, 2]
    await cancelled_soon(leaves_in_flight)
    rpc.answer()
    assert await within_ten_seconds(stays) == 1
    assert not rpc.was_cancelled.is_set()


async def cancelled_soon(task: "asyncio.Task[list[Prediction]]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_when_every_caller_has_gone_the_rpc_is_cancelled_and_its_place_is_free(
    client: AsyncDigitClient, service: HeldService
) -> None:
    first = await fill(client, service)
    later = [ask(client, 1), ask(client, 2)]
    first[0][1].answer()
    rpc = await service.next_rpc()
    for task in later:
        await cancelled_soon(task)
    async with asyncio.timeout(10):
        await rpc.was_cancelled.wait()
    last = ask(client, 3)
    (await service.next_rpc()).answer()
    assert await within_ten_seconds(last) == 3


async def test_callers_who_leave_before_the_rpc_has_begun_leave_its_place_free(
    client: AsyncDigitClient, service: HeldService
) -> None:
    for _ in range(MAX_RPCS + 1):
        with pytest.raises(CallError, match="DEADLINE_EXCEEDED"):
            await within_ten_seconds(ask(client, 1, timeout_seconds=0))
    last = ask(client, 3)
    while digits_in(rpc := await service.next_rpc()) != [3]:  # those before may have reached the server
        pass
    rpc.answer()
    assert await within_ten_seconds(last) == 3


@pytest.mark.parametrize(
    ("bad", "code", "count", "places"),
    [(BAD_PICTURE, "INVALID_ARGUMENT", 10, (2, 7)), (image_that_fails(), "INTERNAL", 3, (1,))],
    ids=["picture", "inference"],
)
async def test_a_bad_image_fails_its_own_caller_only(
    server: Standalone, bad: bytes, code: str, count: int, places: tuple[int, ...]
) -> None:
    images = [bad if n in places else image_of(n) for n in range(count)]
    async with AsyncDigitClient(f"127.0.0.1:{server.grpc_port}") as client:
        answers = await asyncio.gather(*(client.classify([image]) for image in images), return_exceptions=True)
    for number, answer in enumerate(answers):
        if number in places:
            assert isinstance(answer, CallError)
            assert answer.code == code
            assert code != "INVALID_ARGUMENT" or answer.message.startswith("image 0: not an image")
        else:
            assert not isinstance(answer, BaseException)
            assert answer[0].digit == number


async def test_a_server_that_takes_less_than_an_rpc_carries_answers_everybody(start_server: StartServer) -> None:
    for limits in ({"max_images_per_request": 9}, {"max_request_bytes": 20_000}):
        async with start_server(**limits) as server, AsyncDigitClient(f"127.0.0.1:{server.grpc_port}") as client:
            answers = await asyncio.gather(*(client.classify([image_of(n % 10)]) for n in range(40)))
            assert [answer[0].digit for answer in answers] == [n % 10 for n in range(40)]


@pytest.mark.parametrize("code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE])
async def test_a_full_or_absent_server_is_told_to_all_that_shared_and_not_asked_more(
    client: AsyncDigitClient, service: HeldService, code: grpc.StatusCode
) -> None:
    first = await fill(client, service)
    later = [ask(client, digit) for digit in range(5)]
    first[0][1].answer()
    for _ in range(5):  # the attempts that channel.py makes
        rpc = await service.next_rpc()
        assert digits_in(rpc) == list(range(5))
        rpc.fail(code)
    for task in later:
        with pytest.raises(CallError) as raised:
            await within_ten_seconds(task)
        assert raised.value.code == code.name
    assert not service.has_another_rpc()


async def test_what_is_seen_to_be_wrong_is_refused_before_it_joins(
    client: AsyncDigitClient, service: HeldService
) -> None:
    first = await fill(client, service)
    good = ask(client, 4)
    with pytest.raises(ValueError, match=r"expected pixels of shape .* got \(783,\)"):
        await client.classify([np.zeros(783, np.uint8)])
    with pytest.raises(TypeError, match=r"expected an image: .* got dict"):
        await client.classify([{}])  # type: ignore[list-item]  # a mistake, on purpose
    with pytest.raises(ValueError, match="out of range"):
        await client.classify([image_of(4)], model_version=2**70)
    first[0][1].answer()
    (rpc := await service.next_rpc()).answer()
    assert digits_in(rpc) == [4]
    assert await within_ten_seconds(good) == 4


async def test_different_model_versions_never_share_an_rpc(client: AsyncDigitClient, service: HeldService) -> None:
    first = await fill(client, service)
    later = [ask(client, n, model_version=n % 3) for n in range(9)]
    for _, rpc in first:
        rpc.answer()
    seen = {}
    for _ in range(3):
        (rpc := await service.next_rpc()).answer()
        seen[rpc.request.model_version] = digits_in(rpc)
    assert seen == {0: [0, 3, 6], 1: [1, 4, 7], 2: [2, 5, 8]}
    assert [await within_ten_seconds(task) for task in later] == list(range(9))


async def test_closing_ends_calls_in_flight_and_waiting_and_lets_none_follow(
    client: AsyncDigitClient, service: HeldService
) -> None:
    first = await fill(client, service)
    everybody: Sequence[asyncio.Task[list[Prediction]]] = [*(task for task, _ in first), ask(client, 1), ask(client, 2)]
    large = asyncio.create_task(client.classify([image_of(5)] * MAX_IMAGES))
    await service.next_rpc()
    await client.close()
    for task in [*everybody, large]:
        with pytest.raises(CallError, match="CANCELLED: the client is closed"):
            await within_ten_seconds(task)
    with pytest.raises(CallError, match="CANCELLED: the client is closed"):
        await client.classify([image_of(1)])
