"""The client for asyncio."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

import grpc

from mnist_digits import bulk, proto
from mnist_digits.channel import (
    CLASSIFY,
    EXPLAIN,
    FEEDBACK,
    GET_MODEL,
    READ,
    Metadata,
    Options,
    channel_options,
    key_metadata,
)
from mnist_digits.classify_codec import image_bytes, version_bytes
from mnist_digits.coalescing.coalescer import AsyncCall, Coalescer
from mnist_digits.coalescing.share_queue import MAX_IMAGES, ShareQueue
from mnist_digits.errors import call_error, closed_error
from mnist_digits.explanation import Explanation, explain_request, response_explanation
from mnist_digits.feedback import Answer, feedback_request
from mnist_digits.images import ImageLike, PictureLike, SingleImage, each_image
from mnist_digits.reading import Layout, Reading, read_request, response_reading
from mnist_digits.results import ModelDescription, Prediction, model_description

if TYPE_CHECKING:
    Method = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]


class _Connection:
    """The channel of one event loop, which gRPC binds it to, and the calls on it."""

    def __init__(
        self,
        address: str,
        credentials: grpc.ChannelCredentials | None,
        options: Options,
        metadata: Metadata,
        max_images: int,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(address, options)
        else:
            self._channel = grpc.aio.secure_channel(address, credentials, options)
        self._methods: dict[str, Method] = {
            method: self._channel.unary_unary(method) for method in (CLASSIFY, READ, EXPLAIN, FEEDBACK, GET_MODEL)
        }
        self._metadata = metadata
        self.coalescer = Coalescer(partial(self.send, CLASSIFY), ShareQueue(max_images=max_images))

    def send(self, method: str, request: bytes, timeout_seconds: float) -> Awaitable[bytes]:
        """Sends a serialized request. Awaiting the response raises grpc.RpcError."""
        return self._methods[method](request, timeout=timeout_seconds, metadata=self._metadata)

    async def close(self) -> None:
        """Fails the calls under way, and disconnects. May run in another loop once its own has ended."""
        if self.loop is asyncio.get_running_loop():
            await self.coalescer.close()
            await self._channel.close()
            return
        with suppress(RuntimeError):  # of a call that was under way when its loop was closed
            await self._channel.close()


class AsyncDigitClient:
    """Client of a digit service for asyncio. Close it, or use it as a context manager.

    It may be made before any event loop runs: it connects at its first call, and again at the first call in another
    loop, once the former one has ended. A call while the former loop runs, in another thread, raises RuntimeError.

    `address`: HOST:PORT, unix:PATH or another form that gRPC names; anything else raises ValueError. `credentials`: for
    TLS, from grpc.ssl_channel_credentials(); None connects in plain text. `api_key`: sent with every call.
    `timeout_seconds`: deadline of each call, retries included. `coalesce`: calls made at the same time share RPCs,
    which adds no delay and gives several times the throughput; False sends an RPC for each call.

    Calls are retried with backoff, within their deadline, while the server is busy or away. A call that is cancelled
    leaves the others alone.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:50051",
        *,
        credentials: grpc.ChannelCredentials | None = None,
        api_key: str | None = None,
        timeout_seconds: float = 10.0,
        coalesce: bool = True,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._metadata = key_metadata(api_key)
        self._address = address
        self._options = channel_options(address)
        self._credentials = credentials
        self._max_images = MAX_IMAGES if coalesce else 1
        self._connection: _Connection | None = None
        self._releasing: asyncio.Task[None] | None = None  # of the former loop's channel
        self._is_closed = False

    async def classify(
        self, images: SingleImage | Iterable[ImageLike], *, model_version: int = 0, timeout_seconds: float | None = None
    ) -> list[Prediction]:
        """Classifies the images in one RPC. Returns a prediction for each, in order; of one image, a list of one.

        `images`: one image or several, each of them bytes of a picture file, 784 bytes of pixels, the path of a file
        with either, a picture of Pillow's, or pixels, uint8 with 0 = paper and 255 = ink, as an array (784,), (28, 28)
        or (28, 28, 1) or lists of int; the forms may be mixed. An array (n, 784), (n, 28, 28) or (n, 28, 28, 1) is n
        images. `model_version`: the version that must answer, 0 for the served one. Calls for the same version that
        wait at the same time may share an RPC; each keeps its own deadline, errors and cancellation.

        Raises CallError, OSError for a file that cannot be read, ValueError for pixels of another shape or type, floats
        included, and for a version that is none, TypeError for anything else.
        """
        content = [image_bytes(image) for image in each_image(images)]
        timeout = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        calls = self._coalescer()
        return await calls.wait(calls.submit(b"".join(content), len(content), version_bytes(model_version), timeout))

    def classify_many(
        self,
        images: SingleImage | AsyncIterable[ImageLike] | Iterable[ImageLike],
        *,
        model_version: int = 0,
        timeout_seconds: float | None = None,
    ) -> AsyncIterator[Prediction]:
        """Classifies any number of images, even without end. Yields a prediction for each, in order.

        Several RPCs are in flight, and at most 256 images or 16 MiB of them are held. An ordinary iterable is read on
        the event loop. `timeout_seconds`: deadline of each image, from when it is drawn. To leave early at once, and
        not only when the iterator is collected, use contextlib.aclosing: it cancels what is in flight and closes a
        generator that was the source.

        Raises ImageError at the place of an image that has no prediction, and whatever `images` raises.
        """
        version = version_bytes(model_version)
        timeout = self._timeout_seconds if timeout_seconds is None else timeout_seconds

        def submit(image: ImageLike) -> AsyncCall:
            return self._coalescer().submit(image_bytes(image), 1, version, timeout)

        source = images if isinstance(images, AsyncIterable) else each_image(images)
        return bulk.predictions_async(source, self._coalescer, submit)

    async def read(
        self,
        picture: PictureLike,
        *,
        layout: Layout = "auto",
        model_version: int = 0,
        timeout_seconds: float | None = None,
    ) -> Reading:
        """Reads a picture of several digits: its lines, and each digit with its place.

        `picture`: bytes or path of a picture file, a picture of Pillow's, or an array of grey levels (h, w) or colours
        (h, w, 3), uint8. `layout`: what it holds, "digit", "line" or "page"; "auto": the server decides.

        Raises CallError, OSError for a file that cannot be read, ValueError for an array of another shape or type and
        for another layout or version, TypeError for anything else.
        """
        request = read_request(picture, layout, model_version)
        return response_reading(await self._call(READ, request, timeout_seconds))

    async def explain(
        self,
        image: ImageLike,
        *,
        model_version: int = 0,
        with_kernels: bool = True,
        timeout_seconds: float | None = None,
    ) -> Explanation:
        """Explains how the network saw one image: feature maps of every layer, and which pixels mattered.

        Takes the server a hundred times as long as `classify`, one image at a time. `with_kernels`: False leaves out
        the kernels and biases, which are the same for every image of a version; of a cascade, for every image that the
        same network answers.

        Raises what `classify` raises; CallError has the code FAILED_PRECONDITION where the model cannot be explained,
        and RESOURCE_EXHAUSTED while others wait for explanations.
        """
        request = explain_request(image, model_version, with_kernels)
        return response_explanation(await self._call(EXPLAIN, request, timeout_seconds))

    async def feedback(
        self,
        image: Answer | str,
        digit: int | str | None,
        *,
        index: int = 0,
        timeout_seconds: float | None = None,
    ) -> None:
        """Says what an image really shows; the server then keeps the image, its answer and this, on its disk.

        `image`: its prediction, a digit or a line that `read` has returned, or the id of its request, with its `index`
        there. `digit`: 0 to 9, or None for no digit; of a line its digits, as text: "2048". Feedback comes soon after
        the answer: the server holds recent images alone.

        Raises CallError: NOT_FOUND for an image that is not held or of another key, INVALID_ARGUMENT for a text of
        another number of digits than the line's, UNAVAILABLE where it cannot be kept, UNIMPLEMENTED for a server that
        takes no feedback. Raises ValueError for an answer without an id.
        """
        await self._call(FEEDBACK, feedback_request(image, digit, index), timeout_seconds)

    async def get_model(self) -> ModelDescription:
        """Describes the served model and the server's limits. Raises CallError."""
        return model_description(await self._call(GET_MODEL, proto.GetModelRequest().SerializeToString(), None))

    async def close(self) -> None:
        """Closes the connection. Calls under way fail with CallError, code CANCELLED, and so does any later one."""
        self._is_closed = True
        if self._connection:
            await self._connection.close()
        if self._releasing and self._releasing.get_loop() is asyncio.get_running_loop():
            await self._releasing

    async def __aenter__(self) -> "AsyncDigitClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _connected(self) -> "_Connection":
        """Returns the running loop's connection, a new one at the first call. Raises CallError when closed."""
        loop, former = asyncio.get_running_loop(), self._connection
        if former and former.loop is loop:
            return former
        if self._is_closed:
            raise closed_error()
        if former:
            if former.loop.is_running():
                raise RuntimeError("this client is in use in another event loop that runs: make one for each loop")
            self._releasing = loop.create_task(former.close())
        self._connection = _Connection(
            self._address, self._credentials, self._options, self._metadata, self._max_images
        )
        return self._connection

    def _coalescer(self) -> Coalescer:
        return self._connected().coalescer

    async def _call(self, method: str, request: bytes, timeout_seconds: float | None) -> bytes:
        connection = self._connected()
        if self._is_closed:
            raise closed_error()
        timeout = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        # In a task of its own: a channel that closes ends its calls with CancelledError, which the caller must not
        # take for its own cancellation.
        rpc = asyncio.ensure_future(connection.send(method, request, timeout))
        try:
            await asyncio.wait([rpc])
        finally:
            rpc.cancel()  # does nothing once it has ended
        if rpc.cancelled():
            raise closed_error()
        try:
            return rpc.result()
        except grpc.RpcError as error:
            raise call_error(error) from error
