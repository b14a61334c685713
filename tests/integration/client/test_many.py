"""classify_many: any number of images in, predictions out in order, few of them held."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import aclosing

import numpy as np
import pytest

from mnist_digits import AsyncDigitClient, CallError, DigitClient, ImageError, ImageLike
from mnist_digits.bulk import BYTES_AHEAD, IMAGES_AHEAD
from mnist_digits.coalescing.share_queue import MAX_RPCS
from serving.process.standalone import Standalone
from tests.support.held_service import HeldService, served
from tests.support.tiny_model import image_of

Ask = Callable[[Iterable[ImageLike]], AsyncIterator[int]]


@pytest.fixture
async def service() -> AsyncIterator[HeldService]:
    async with served() as running:
        yield running


@pytest.fixture(params=["async", "blocking"])
def ask(server: Standalone, request: pytest.FixtureRequest) -> Ask:
    """The digits that classify_many of either client gives, asked for in the same words."""
    address = f"127.0.0.1:{server.grpc_port}"

    async def asynchronously(images: Iterable[ImageLike]) -> AsyncIterator[int]:
        async with AsyncDigitClient(address) as client:
            async for prediction in client.classify_many(images):
                yield prediction.digit

    async def blocking(images: Iterable[ImageLike]) -> AsyncIterator[int]:
        with DigitClient(address) as client:
            predictions = client.classify_many(images)
            while (prediction := await asyncio.to_thread(next, predictions, None)) is not None:
                yield prediction.digit

    return asynchronously if request.param == "async" else blocking


async def collect(digits: AsyncIterator[int], into: list[int]) -> None:
    async for digit in digits:
        into.append(digit)


@pytest.mark.parametrize("count", [0, 1, IMAGES_AHEAD - 1, IMAGES_AHEAD, 5 * IMAGES_AHEAD + 3])
async def test_any_number_of_images_is_answered_in_order(ask: Ask, count: int) -> None:
    digits = [number * 7 % 10 for number in range(count)]
    assert [digit async for digit in ask(map(image_of, digits))] == digits


async def test_an_endless_source_is_never_drawn_further_ahead_than_the_bound(ask: Ask) -> None:
    drawn = consumed = furthest = 0

    def endless() -> Iterator[ImageLike]:
        nonlocal drawn, furthest
        while True:
            drawn += 1
            furthest = max(furthest, drawn - consumed)
            yield image_of(drawn % 10)

    async with aclosing(ask(endless())) as digits:  # type: ignore[type-var]  # an async generator, in fact
        async for _ in digits:
            consumed += 1
            if consumed == 10 * IMAGES_AHEAD:
                break
    assert IMAGES_AHEAD // 2 < furthest <= IMAGES_AHEAD


@pytest.mark.parametrize("bad", [b"no picture", np.zeros(3, np.uint8)], ids=["server", "client"])
async def test_an_error_comes_at_its_place_with_the_images_index(ask: Ask, bad: ImageLike) -> None:
    place = IMAGES_AHEAD + 5
    images = [*(image_of(number % 10) for number in range(place)), bad, image_of(1)]
    answered: list[int] = []
    with pytest.raises(ImageError, match=f"image {place}: ") as raised:
        await collect(ask(images), answered)
    assert answered == [number % 10 for number in range(place)]
    assert raised.value.index == place
    assert isinstance(raised.value.__cause__, CallError if isinstance(bad, bytes) else ValueError)


async def test_what_the_source_raises_comes_behind_the_predictions_before_it(ask: Ask) -> None:
    def failing() -> Iterator[ImageLike]:
        yield from (image_of(number % 10) for number in range(100))
        raise LookupError("no more film")

    answered: list[int] = []
    with pytest.raises(LookupError, match="no more film"):
        await collect(ask(failing()), answered)
    assert answered == [number % 10 for number in range(100)]


async def test_a_source_that_cannot_be_begun_raises_what_it_says(server: Standalone) -> None:
    class Consumed:
        def __aiter__(self) -> AsyncIterator[ImageLike]:
            raise RuntimeError("already consumed")

    async with AsyncDigitClient(f"127.0.0.1:{server.grpc_port}") as client, asyncio.timeout(10):
        with pytest.raises(RuntimeError, match="already consumed"):
            await anext(client.classify_many(Consumed()))


async def test_several_rpcs_are_in_flight_and_leaving_early_cancels_them_and_closes_the_source(
    service: HeldService,
) -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[ImageLike]:
        try:
            yield image_of(2)
            while True:
                yield image_of(1)
        finally:
            closed.set()

    async with AsyncDigitClient(service.address, timeout_seconds=60) as client:
        source = endless()  # kept, so that it is not closed by being collected
        predictions = client.classify_many(source)
        first = asyncio.ensure_future(anext(predictions))
        rpcs = await service.next_rpcs(MAX_RPCS)
        (answered,) = (rpc for rpc in rpcs if rpc.request.images[0].pixels == image_of(2))
        answered.answer()
        assert (await first).digit == 2
        await predictions.aclose()  # type: ignore[attr-defined]  # an async generator, in fact
        assert closed.is_set()
        async with asyncio.timeout(10):
            await asyncio.gather(*(rpc.was_cancelled.wait() for rpc in rpcs if rpc is not answered))


async def test_leaving_the_blocking_one_early_cancels_its_rpcs_and_closes_the_source(service: HeldService) -> None:
    closed = asyncio.Event()

    def endless() -> Iterator[ImageLike]:
        try:
            yield image_of(2)
            while True:
                yield image_of(1)
        finally:
            closed.set()

    with DigitClient(service.address, timeout_seconds=60) as client:
        source = endless()  # kept, so that it is not closed by being collected
        predictions = client.classify_many(source)
        first = asyncio.create_task(asyncio.to_thread(next, predictions))
        rpcs = await service.next_rpcs(MAX_RPCS)
        (answered,) = (rpc for rpc in rpcs if rpc.request.images[0].pixels == image_of(2))
        answered.answer()
        assert (await first).digit == 2
        await asyncio.to_thread(predictions.close)  # type: ignore[attr-defined]  # a generator, in fact
        assert closed.is_set()
        async with asyncio.timeout(10):
            await asyncio.gather(*(rpc.was_cancelled.wait() for rpc in rpcs if rpc is not answered))


async def test_an_answer_does_not_wait_for_the_next_image(server: Standalone) -> None:
    answered = asyncio.Event()

    async def slow() -> AsyncIterator[ImageLike]:
        yield image_of(4)
        await answered.wait()
        yield image_of(5)

    digits = []
    async with AsyncDigitClient(f"127.0.0.1:{server.grpc_port}") as client, asyncio.timeout(10):
        async for prediction in client.classify_many(slow()):
            digits.append(prediction.digit)
            answered.set()
    assert digits == [4, 5]


async def test_a_cancelled_consumer_of_a_silent_source_ends(service: HeldService) -> None:
    waiting = asyncio.Event()

    async def silent() -> AsyncIterator[ImageLike]:
        waiting.set()
        await asyncio.Event().wait()
        yield image_of(1)

    async with AsyncDigitClient(service.address, timeout_seconds=60) as client:
        consumer = asyncio.ensure_future(anext(client.classify_many(silent())))
        await waiting.wait()
        consumer.cancel()
        async with asyncio.timeout(10):
            with pytest.raises(asyncio.CancelledError):
                await consumer


async def test_large_pictures_are_held_by_their_bytes_and_not_by_their_number(ask: Ask) -> None:
    photo = picture_of(BYTES_AHEAD // 4)
    drawn = consumed = furthest = 0

    def photos() -> Iterator[ImageLike]:
        nonlocal drawn, furthest
        for _ in range(12):
            drawn += 1
            furthest = max(furthest, drawn - consumed)
            yield photo

    with pytest.raises(ImageError, match="image 0: INVALID_ARGUMENT: image 0: "):  # larger than this server takes
        await collect(ask(photos()), [])
    assert furthest == 4


def picture_of(size_bytes: int) -> bytes:
    """A picture file of that many bytes: a signature and nothing."""
    return b"\x89PNG".ljust(size_bytes, b"\0")
