"""mnist.v1, this project's own contract: Classify with raw pixels."""

from benchmarks.wire.protocol import Pixels, Protocol
from protos.mnist.v1 import digits_pb2


def _request(pixels: Pixels) -> bytes:
    images = [digits_pb2.Image(pixels=row.tobytes()) for row in pixels]
    return digits_pb2.ClassifyRequest(images=images).SerializeToString()


def _digits(answer: bytes) -> list[int]:
    return [prediction.digit for prediction in digits_pb2.ClassifyResponse.FromString(answer).predictions]


CLASSIFY = Protocol("mnist.v1", "/mnist.v1.DigitClassifier/Classify", _request, _digits)
