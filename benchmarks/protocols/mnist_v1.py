"""mnist.v1, this project's own contract: Classify over gRPC, and POST /v1/classify over HTTP."""

import io
import json

from PIL import Image

from benchmarks.protocols.protocol import Pixels, Protocol
from protos.mnist.v1 import digits_pb2

SIDE, PNG_SIDE = 28, 200  # pixels of an image, and of the picture that a person would send


def _classify_request(pixels: Pixels) -> bytes:
    images = [digits_pb2.Image(pixels=row.tobytes()) for row in pixels]
    return digits_pb2.ClassifyRequest(images=images).SerializeToString()


def _classify_digits(response: bytes) -> list[int]:
    return [prediction.digit for prediction in digits_pb2.ClassifyResponse.FromString(response).predictions]


def _raw_request(pixels: Pixels) -> bytes:
    (row,) = pixels  # /v1/classify takes one image a request
    return bytes(row)


def png_request(pixels: Pixels) -> bytes:
    """A grey PNG of 200x200 pixels, ink dark on white paper, from pixels (1, 784) uint8."""
    (row,) = pixels
    picture = Image.fromarray(255 - row.reshape(SIDE, SIDE)).resize((PNG_SIDE, PNG_SIDE), Image.Resampling.BICUBIC)
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def http_digits(response: bytes) -> list[int]:
    """The digit in the JSON of /v1/classify, as a list of one. Raises ValueError or LookupError for anything else."""
    return [int(json.loads(response)["digit"])]


CLASSIFY = Protocol("mnist.v1", "/mnist.v1.DigitClassifier/Classify", _classify_request, _classify_digits)
HTTP_RAW = Protocol(
    "raw pixels", "/v1/classify", _raw_request, http_digits, is_grpc=False, content_type="application/octet-stream"
)
HTTP_PNG = Protocol("PNG", "/v1/classify", png_request, http_digits, is_grpc=False, content_type="image/png")
