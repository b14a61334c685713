"""The client for asyncio."""

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable, Sequence
from types import TracebackType

import grpc

from protos.mnist.v1 import digits_pb2, digits_pb2_grpc
from serving.client import bulk
from serving.client.channel import CHANNEL_OPTIONS, CLASSIFY, key_metadata
from serving.client.classify_codec import image_bytes, version_bytes
from serving.client.coalescer import Coalescer
from serving.client.messages import ImageLike, ModelDescription, Prediction, call_error, model_description
from serving.client.share_queue import MAX_IMAGES, ShareQueue


class AsyncDigitClient:
    """Asks a digit service. Belongs to one event loop; close it, or use it as a context manager.

    `address`: HOST:PORT. `credentials`: for TLS, from grpc.ssl_channel_credentials(); None is plain text.
    `api_key`: shown with every call. `timeout_seconds`: the deadline of each call, retries included. `coalesce`:
    whether calls made at the same time share RPCs, which costs no delay and answers several times as many; False sends
    each call as an RPC of its own.
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
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(address, CHANNEL_OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(address, credentials, CHANNEL_OPTIONS)
        self._stub = digits_pb2_grpc.DigitClassifierStub(self._channel)
        self._classify: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(CLASSIFY)
        self._coalescer = Coalescer(self._rpc, ShareQueue(max_images=MAX_IMAGES if coalesce else 1))

    async def classify(
        self, images: Sequence[ImageLike], *, model_version: int = 0, timeout_seconds: float | None = None
    ) -> list[Prediction]:
        """One prediction an image, in order, from one RPC; retried with backoff while the server is busy or away.

        Calls of the same model version that wait at the same time may share that RPC. Each keeps its own deadline,
        errors and cancellation. Raises CallError, OSError for a file that cannot be read, ValueError for an array that
        is no image or a version that is none.
        """
        content = [image_bytes(image) for image in images]
        timeout = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        call = self._coalescer.submit(b"".join(content), len(content), version_bytes(model_version), timeout)
        return await self._coalescer.wait(call)

    def classify_many(
        self,
        images: AsyncIterable[ImageLike] | Iterable[ImageLike],
        *,
        model_version: int = 0,
        timeout_seconds: float | None = None,
    ) -> AsyncIterator[Prediction]:
        """One prediction an image, in order, for any number of images, even without end.

        Several RPCs are in flight and at most `bulk.IMAGES_AHEAD` images are held, fewer large ones. An ordinary
        iterable is read on the event loop. `timeout_seconds`: of each image, from when it is drawn. Raises
        ImageError at the place of an image that has no prediction, and what `images` raises. To leave early at once
        and not when collected, use contextlib.aclosing.
        """
        version = version_bytes(model_version)
        timeout = self._timeout_seconds if timeout_seconds is None else timeout_seconds

        def submit(image: ImageLike) -> bulk.AsyncCall:
            return self._coalescer.submit(image_bytes(image), 1, version, timeout)

        return bulk.predictions_async(images, self._coalescer, submit)

    async def get_model(self) -> ModelDescription:
        """What the server serves and accepts. Raises CallError."""
        try:
            asked = digits_pb2.GetModelRequest()
            told = await self._stub.GetModel(asked, timeout=self._timeout_seconds, metadata=self._metadata)
            return model_description(told)
        except grpc.RpcError as error:
            raise call_error(error) from error

    async def close(self) -> None:
        """Closes the connection; calls that wait or are in flight fail with CallError, code CANCELLED."""
        await self._coalescer.close()
        await self._channel.close()

    async def __aenter__(self) -> "AsyncDigitClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _rpc(self, request: bytes, timeout_seconds: float) -> Awaitable[bytes]:
        return self._classify(request, timeout=timeout_seconds, metadata=self._metadata)
