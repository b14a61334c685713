"""The blocking client."""

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING

import grpc

from mnist_digits import bulk, proto
from mnist_digits.channel import CLASSIFY, EXPLAIN, FEEDBACK, GET_MODEL, READ, channel_options, key_metadata
from mnist_digits.classify_codec import image_bytes, version_bytes
from mnist_digits.coalescing.share_queue import MAX_IMAGES, ShareQueue
from mnist_digits.coalescing.thread_coalescer import ThreadCall, ThreadCoalescer, ThreadFuture
from mnist_digits.errors import call_error, closed_error
from mnist_digits.explanation import Explanation, explain_request, response_explanation
from mnist_digits.feedback import Answer, feedback_request
from mnist_digits.images import ImageLike, PictureLike, SingleImage, each_image
from mnist_digits.reading import Layout, Reading, read_request, response_reading
from mnist_digits.results import ModelDescription, Prediction, model_description

if TYPE_CHECKING:
    Method = grpc.UnaryUnaryMultiCallable[bytes, bytes]


class DigitClient:
    """Client of a digit service, for any number of threads. Close it, or use it as a context manager.

    `address`: HOST:PORT, unix:PATH or another form that gRPC names; anything else raises ValueError. `credentials`: for
    TLS, from grpc.ssl_channel_credentials(); None connects in plain text. `api_key`: sent with every call.
    `timeout_seconds`: deadline of each call, retries included. `coalesce`: calls that several threads make at the same
    time share RPCs, which adds no delay; False sends an RPC for each call.

    Calls are retried with backoff, within their deadline, while the server is busy or away.
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
        options = channel_options(address)
        if credentials is None:
            self._channel = grpc.insecure_channel(address, options)
        else:
            self._channel = grpc.secure_channel(address, credentials, options)
        self._read: Method = self._channel.unary_unary(READ)
        self._explain: Method = self._channel.unary_unary(EXPLAIN)
        self._feedback: Method = self._channel.unary_unary(FEEDBACK)
        self._get_model: Method = self._channel.unary_unary(GET_MODEL)
        queue = ShareQueue[ThreadFuture](max_images=MAX_IMAGES if coalesce else 1)
        self._coalescer = ThreadCoalescer(self._channel.unary_unary(CLASSIFY), queue, self._metadata)

    def classify(
        self, images: SingleImage | Iterable[ImageLike], *, model_version: int = 0, timeout_seconds: float | None = None
    ) -> list[Prediction]:
        """Classifies the images in one RPC. Returns a prediction for each, in order; of one image, a list of one.

        `images`: one image or several, each of them bytes of a picture file, 784 bytes of pixels, the path of a file
        with either, a picture of Pillow's, or pixels, uint8 with 0 = paper and 255 = ink, as an array (784,), (28, 28)
        or (28, 28, 1) or lists of int; the forms may be mixed. An array (n, 784), (n, 28, 28) or (n, 28, 28, 1) is n
        images. `model_version`: the version that must answer, 0 for the served one. Calls for the same version that
        wait at the same time may share an RPC; each keeps its own deadline and errors.

        Raises CallError, OSError for a file that cannot be read, ValueError for pixels of another shape or type, floats
        included, and for a version that is none, TypeError for anything else.
        """
        content = [image_bytes(image) for image in each_image(images)]
        timeout = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        call = self._coalescer.new_call(b"".join(content), len(content), version_bytes(model_version), timeout)
        return self._coalescer.send_and_wait(call)

    def classify_many(
        self, images: SingleImage | Iterable[ImageLike], *, model_version: int = 0, timeout_seconds: float | None = None
    ) -> Iterator[Prediction]:
        """Classifies any number of images, even without end. Yields a prediction for each, in order.

        Several RPCs are in flight, and at most 256 images or 16 MiB of them are held. Images are drawn 64 at a time:
        where they come slowly, `classify` answers sooner. `timeout_seconds`: deadline of each image, from when it is
        drawn. Leaving early cancels what is in flight and closes a generator that was the source.

        Raises ImageError at the place of an image that has no prediction, and whatever `images` raises.
        """
        version = version_bytes(model_version)
        timeout = self._timeout_seconds if timeout_seconds is None else timeout_seconds

        def new_call(image: ImageLike) -> ThreadCall:
            return self._coalescer.new_call(image_bytes(image), 1, version, timeout)

        return bulk.predictions(each_image(images), self._coalescer, new_call)

    def read(
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
        return response_reading(self._call(self._read, request, timeout_seconds))

    def explain(
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
        return response_explanation(self._call(self._explain, request, timeout_seconds))

    def feedback(
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
        self._call(self._feedback, feedback_request(image, digit, index), timeout_seconds)

    def get_model(self) -> ModelDescription:
        """Describes the served model and the server's limits. Raises CallError."""
        return model_description(self._call(self._get_model, proto.GetModelRequest().SerializeToString(), None))

    def close(self) -> None:
        """Closes the connection. Calls under way fail with CallError, code CANCELLED, and so does any later one."""
        self._coalescer.close()
        self._channel.close()

    def __enter__(self) -> "DigitClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _call(self, method: "Method", request: bytes, timeout_seconds: float | None) -> bytes:
        timeout = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        try:
            return method(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise call_error(error) from error
        except ValueError as error:  # grpc's error for a channel that is closed
            raise closed_error() from error
