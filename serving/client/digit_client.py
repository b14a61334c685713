"""The blocking client."""

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType

import grpc

from protos.mnist.v1 import digits_pb2, digits_pb2_grpc
from serving.client import bulk, thread_coalescer
from serving.client.channel import CHANNEL_OPTIONS, CLASSIFY, key_metadata
from serving.client.classify_codec import image_bytes, version_bytes
from serving.client.messages import ImageLike, ModelDescription, Prediction, call_error, model_description
from serving.client.share_queue import MAX_IMAGES, ShareQueue
from serving.client.thread_coalescer import ThreadCoalescer


class DigitClient:
    """Asks a digit service. May be used from several threads; close it, or use it as a context manager.

    `address`: HOST:PORT. `credentials`: for TLS, from grpc.ssl_channel_credentials(); None is plain text.
    `api_key`: shown with every call. `timeout_seconds`: the deadline of each call, retries included. `coalesce`:
    whether calls that several threads make at the same time share RPCs, which costs no delay; False sends each call as
    an RPC of its own.
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
            self._channel = grpc.insecure_channel(address, CHANNEL_OPTIONS)
        else:
            self._channel = grpc.secure_channel(address, credentials, CHANNEL_OPTIONS)
        self._stub = digits_pb2_grpc.DigitClassifierStub(self._channel)
        queue = ShareQueue[thread_coalescer.Answer](max_images=MAX_IMAGES if coalesce else 1)
        self._coalescer = ThreadCoalescer(self._channel.unary_unary(CLASSIFY), queue, self._metadata)

    def classify(
        self, images: Sequence[ImageLike], *, model_version: int = 0, timeout_seconds: float | None = None
    ) -> list[Prediction]:
        """One prediction an image, in order, from one RPC; retried with backoff while the server is busy or away.

        Calls of the same model version that wait at the same time may share that RPC. Each keeps its own deadline and
        errors. Raises CallError, OSError for a file that cannot be read, ValueError for an array that is no image or a
        version that is none.
        """
        content = [image_bytes(image) for image in images]
        timeout = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        call = self._coalescer.call(b"".join(content), len(content), version_bytes(model_version), timeout)
        return self._coalescer.ask(call)

    def classify_many(
        self, images: Iterable[ImageLike], *, model_version: int = 0, timeout_seconds: float | None = None
    ) -> Iterator[Prediction]:
        """One prediction an image, in order, for any number of images, even without end.

        Several RPCs are in flight and at most `bulk.IMAGES_AHEAD` images are held, fewer large ones; they are drawn an
        RPC's worth at a time, so for images that come slowly `classify` answers sooner. `timeout_seconds`: of each
        image, from when it is drawn. Raises ImageError at the place of an image that has no prediction, and what
        `images` raises.
        """
        version = version_bytes(model_version)
        timeout = self._timeout_seconds if timeout_seconds is None else timeout_seconds

        def make_call(image: ImageLike) -> bulk.ThreadCall:
            return self._coalescer.call(image_bytes(image), 1, version, timeout)

        return bulk.predictions(images, self._coalescer, make_call)

    def get_model(self) -> ModelDescription:
        """What the server serves and accepts. Raises CallError."""
        try:
            asked = digits_pb2.GetModelRequest()
            told = self._stub.GetModel(asked, timeout=self._timeout_seconds, metadata=self._metadata)
            return model_description(told)
        except grpc.RpcError as error:
            raise call_error(error) from error

    def close(self) -> None:
        """Closes the connection; calls that wait or are in flight fail with CallError, code CANCELLED."""
        self._coalescer.close()
        self._channel.close()

    def __enter__(self) -> "DigitClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
