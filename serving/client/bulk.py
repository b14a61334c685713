"""Many images in, their predictions out, in order, with no more images held than the RPCs in flight carry.

1. An image is drawn from the source only while fewer than `IMAGES_AHEAD` are held, drawn and not yet handed out, and
   these are less than `BYTES_AHEAD` together: photos are few at a time.
2. Each image is a call of its own that shares RPCs, so one that is bad has its error alone.
3. What goes wrong comes at its place: first every prediction before it, then ImageError, or what the source itself
   raised. Nothing is drawn after it.
4. However the consumer ends, calls in flight are given up, and a generator that was the source is closed.
"""

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from typing import TypeVar

from serving.client import coalescer, thread_coalescer
from serving.client.coalescer import Coalescer
from serving.client.messages import ImageError, ImageLike, Prediction
from serving.client.share_queue import MAX_BYTES, MAX_IMAGES, MAX_RPCS, Call
from serving.client.thread_coalescer import ThreadCoalescer

IMAGES_AHEAD = MAX_RPCS * MAX_IMAGES
BYTES_AHEAD = 16 * MAX_BYTES

AsyncCall = Call[coalescer.Answer]
ThreadCall = Call[thread_coalescer.Answer]
C = TypeVar("C")


class Room:
    """How much is held."""

    def __init__(self) -> None:
        self._images = 0
        self._bytes = 0

    def is_free(self) -> bool:
        """Whether one image more may be drawn."""
        return self._images < IMAGES_AHEAD and self._bytes < BYTES_AHEAD

    def has_an_rpcs(self) -> bool:
        """Whether as many as an RPC carries may be drawn, by their number."""
        return self.is_free() and self._images + MAX_IMAGES <= IMAGES_AHEAD

    def enter(self, size_bytes: int) -> None:
        """An image is held."""
        self._images += 1
        self._bytes += size_bytes

    def leave(self, size_bytes: int) -> None:
        """An image is held no longer."""
        self._images -= 1
        self._bytes -= size_bytes


async def predictions_async(
    source: AsyncIterable[ImageLike] | Iterable[ImageLike],
    calls: Coalescer,
    submit: Callable[[ImageLike], AsyncCall],
) -> AsyncIterator[Prediction]:
    """For asyncio. A task reads the source, so that answers come while the next image is waited for."""
    room, has_left = Room(), asyncio.Event()
    ahead: asyncio.Queue[AsyncCall | Exception | None] = asyncio.Queue()  # bounded by `room`
    feeder = asyncio.create_task(_feed(source, submit, room, has_left, ahead))
    index = 0
    try:
        while (entry := await ahead.get()) is not None:
            if isinstance(entry, Exception):
                raise entry
            try:
                answer = await calls.wait(entry)
            except Exception as error:  # the border of one image
                raise ImageError(index, error) from error
            room.leave(len(entry.content))
            has_left.set()
            index += 1
            yield answer[0]
    finally:
        feeder.cancel()
        await asyncio.gather(feeder, return_exceptions=True)
        while not ahead.empty():
            if isinstance(entry := ahead.get_nowait(), Call):
                calls.abandon(entry)


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
    except Exception as error:  # at its place, behind what was drawn before it
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
    source: Iterable[ImageLike], calls: ThreadCoalescer, make_call: Callable[[ImageLike], ThreadCall]
) -> Iterator[Prediction]:
    """For threads: the consumer's own thread reads the source, an RPC's images at a time."""
    images = iter(source)
    ahead: deque[ThreadCall] = deque()
    room = Room()
    failure: Exception | None = None
    index = 0
    try:
        while True:
            while failure is None and room.has_an_rpcs():
                drawn, failure = _draw(images, make_call, index + len(ahead), room)
                ahead += drawn
                calls.submit(drawn)
            if not ahead:  # and there was room: nothing is left to draw
                break
            call = ahead.popleft()
            try:
                answer = calls.wait(call)
            except Exception as error:  # the border of one image
                raise ImageError(index, error) from error
            room.leave(len(call.content))
            index += 1
            yield answer[0]
        if failure and not isinstance(failure, StopIteration):
            raise failure
    finally:
        for call in ahead:
            calls.abandon(call)
        if isinstance(source, Generator):
            source.close()


def _draw(
    images: Iterator[ImageLike], make_call: Callable[[ImageLike], ThreadCall], index: int, room: Room
) -> tuple[list[ThreadCall], Exception | None]:
    """The next images as calls, and what stands behind the last of them: StopIteration, or what went wrong."""
    drawn: list[ThreadCall] = []
    try:
        while len(drawn) < MAX_IMAGES and room.is_free():
            image = next(images)
            drawn.append(_made(make_call, image, index + len(drawn)))
            room.enter(len(drawn[-1].content))
    except Exception as error:  # at its place, behind what was drawn before it
        return drawn, error
    return drawn, None
