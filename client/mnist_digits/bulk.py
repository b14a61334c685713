"""Classifies many images in order, and holds no more of them than the RPCs in flight carry: `classify_many`.

1. An image is drawn from the source only while fewer than `IMAGES_AHEAD` are held, drawn and not yet yielded, and these
   are less than `BYTES_AHEAD` together: of large photos only a few are held.
2. Each image is a call of its own that shares RPCs, so a bad image alone gets its error.
3. An error comes at its place: first every prediction before it, then ImageError, or what the source itself raised.
   Nothing is drawn after it.
4. However the consumer ends, calls in flight are given up, and a generator that was the source is closed.
"""

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from typing import TypeVar

from mnist_digits.coalescing.coalescer import AsyncCall, Coalescer
from mnist_digits.coalescing.share_queue import MAX_BYTES, MAX_IMAGES, MAX_RPCS, Call
from mnist_digits.coalescing.thread_coalescer import ThreadCall, ThreadCoalescer
from mnist_digits.errors import ImageError
from mnist_digits.images import ImageLike
from mnist_digits.results import Prediction

IMAGES_AHEAD = MAX_RPCS * MAX_IMAGES
BYTES_AHEAD = 16 * MAX_BYTES

C = TypeVar("C")


class Room:
    """Counts the images that are held, and their bytes."""

    def __init__(self) -> None:
        self._images = 0
        self._bytes = 0

    def is_free(self) -> bool:
        """Returns True while another image may be drawn."""
        return self._images < IMAGES_AHEAD and self._bytes < BYTES_AHEAD

    def is_free_for_an_rpc(self) -> bool:
        """Returns True while as many images as one RPC carries may be drawn."""
        return self.is_free() and self._images + MAX_IMAGES <= IMAGES_AHEAD

    def enter(self, size_bytes: int) -> None:
        """Counts an image that was drawn."""
        self._images += 1
        self._bytes += size_bytes

    def leave(self, size_bytes: int) -> None:
        """Forgets an image whose prediction is about to be yielded."""
        self._images -= 1
        self._bytes -= size_bytes


async def predictions_async(
    source: AsyncIterable[ImageLike] | Iterable[ImageLike],
    calls: Callable[[], Coalescer],
    submit: Callable[[ImageLike], AsyncCall],
) -> AsyncIterator[Prediction]:
    """Classifies for asyncio. A task reads the source, so that predictions come while it waits for the next image.

    `calls`: returns the coalescer of the running loop.
    """
    room, has_left = Room(), asyncio.Event()
    ahead: asyncio.Queue[AsyncCall | Exception | None] = asyncio.Queue()  # bounded by `room`
    feeder = asyncio.create_task(_feed(source, submit, room, has_left, ahead))
    index = 0
    try:
        while (entry := await ahead.get()) is not None:
            if isinstance(entry, Exception):
                raise entry
            try:
                [prediction] = await calls().wait(entry)
            except Exception as error:  # the border of one image
                raise ImageError(index, error) from error
            room.leave(len(entry.content))
            has_left.set()
            index += 1
            yield prediction
    finally:
        feeder.cancel()
        await asyncio.gather(feeder, return_exceptions=True)
        while not ahead.empty():
            if isinstance(entry := ahead.get_nowait(), Call):
                calls().abandon(entry)


async def _feed(
    source: AsyncIterable[ImageLike] | Iterable[ImageLike],
    submit: Callable[[ImageLike], AsyncCall],
    room: Room,
    has_left: asyncio.Event,
    ahead: asyncio.Queue[AsyncCall | Exception | None],
) -> None:
    index, images = 0, None
    try:
        images = aiter(source) if isinstance(source, AsyncIterable) else _each(source)
        while True:
            while not room.is_free():
                has_left.clear()
                await has_left.wait()
            image = await anext(images)
            call = _made(submit, image, index)
            room.enter(len(call.content))
            ahead.put_nowait(call)
            index += 1
    except StopAsyncIteration:
        pass
    except Exception as error:  # raised at its place, after the images before it
        ahead.put_nowait(error)
    finally:
        ahead.put_nowait(None)
        if inspect.isasyncgen(images):
            await images.aclose()


def _made(make: Callable[[ImageLike], C], image: ImageLike, index: int) -> C:
    try:
        return make(image)
    except Exception as error:  # the border of one image
        raise ImageError(index, error) from error


async def _each(source: Iterable[ImageLike]) -> AsyncIterator[ImageLike]:
    try:
        for image in source:
            yield image
    finally:
        if isinstance(source, Generator):
            source.close()


def predictions(
    source: Iterable[ImageLike], calls: ThreadCoalescer, new_call: Callable[[ImageLike], ThreadCall]
) -> Iterator[Prediction]:
    """Classifies for threads. The consumer's own thread reads the source, an RPC's images at a time."""
    images = iter(source)
    ahead: deque[ThreadCall] = deque()
    room = Room()
    failure: Exception | None = None
    index = 0
    try:
        while True:
            while failure is None and room.is_free_for_an_rpc():
                drawn, failure = _draw(images, new_call, index + len(ahead), room)
                ahead += drawn
                calls.submit(drawn)
            if not ahead:  # there was room to draw, so the source is at its end
                break
            call = ahead.popleft()
            try:
                [prediction] = calls.wait(call)
            except Exception as error:  # the border of one image
                raise ImageError(index, error) from error
            room.leave(len(call.content))
            index += 1
            yield prediction
        if failure and not isinstance(failure, StopIteration):
            raise failure
    finally:
        for call in ahead:
            calls.abandon(call)
        if isinstance(source, Generator):
            source.close()


def _draw(
    images: Iterator[ImageLike], new_call: Callable[[ImageLike], ThreadCall], index: int, room: Room
) -> tuple[list[ThreadCall], Exception | None]:
    """Draws images and makes calls of them. The second value ends the source: StopIteration, or an error."""
    drawn: list[ThreadCall] = []
    try:
        while len(drawn) < MAX_IMAGES and room.is_free():
            image = next(images)
            drawn.append(_made(new_call, image, index + len(drawn)))
            room.enter(len(drawn[-1].content))
    except Exception as error:  # raised at its place, after the images before it
        return drawn, error
    return drawn, None
