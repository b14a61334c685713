"""The client for asyncio."""

from collections.abc import Sequence
from types import TracebackType

import grpc

from protos.mnist.v1 import digits_pb2, digits_pb2_grpc
from serving.client.channel import CHANNEL_OPTIONS
from serving.client.messages import (
    ImageLike,
    ModelDescription,
    Prediction,
    call_error,
    model_description,
    predictions,
    request_message,
)


class AsyncDigitClient:
    """Asks a digit service. Belongs to one event loop; close it, or use it as a context manager.

    `address`: HOST:PORT. `credentials`: for TLS, from grpc.ssl_channel_credentials(); None is plain text.
    `timeout_seconds`: the deadline of each call, retries included.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:50051",
        *,
        credentials: grpc.ChannelCredentials | None = None,
        timeout_seconds: float = 10.0,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(address, CHANNEL_OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(address, credentials, CHANNEL_OPTIONS)
        self._stub = digits_pb2_grpc.DigitClassifierStub(self._channel)

    async def classify(
        self, images: Sequence[ImageLike], *, model_version: int = 0, timeout_seconds: float | None = None
    ) -> list[Prediction]:
        """One prediction an image, in order, from one call; retried with backoff while the server is busy or away.

        Raises CallError, OSError for a file that cannot be read, ValueError for an array that is no image.
        """
        request = request_message(images, model_version)
        try:
            return predictions(await self._stub.Classify(request, timeout=timeout_seconds or self._timeout_seconds))
        except grpc.RpcError as error:
            raise call_error(error) from error

    async def get_model(self) -> ModelDescription:
        """What the server serves and accepts. Raises CallError."""
        try:
            return model_description(
                await self._stub.GetModel(digits_pb2.GetModelRequest(), timeout=self._timeout_seconds)
            )
        except grpc.RpcError as error:
            raise call_error(error) from error

    async def close(self) -> None:
        """Closes the connection; calls in flight fail."""
        await self._channel.close()

    async def __aenter__(self) -> "AsyncDigitClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
