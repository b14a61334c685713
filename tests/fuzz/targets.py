"""What is fuzzed, and what counts as a finding. Knows no fuzzer: a target is a function of bytes that raises.

1. A target may answer with a value of the right shape, or refuse with a DigitServiceError. Whatever else leaves it is
   a finding.
2. decode() turns whatever Pillow raises into a refusal, and with it whatever our own steps raise. So the reason behind
   a refusal is looked at: it must come from Pillow, and must not be a lack of memory.
3. The codecs have a short way past protobuf; each input goes both ways, and both must say the same.
4. RuntimeWarning is what NumPy says of a division by zero: a finding. Pillow's remarks on damaged files are not.
"""

import resource
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np

import serving.image
from protos.inference.open_inference_pb2 import ModelInferRequest
from protos.mnist.v1 import digits_pb2
from serving.api.digits.codec import parse_request, request_images
from serving.api.open_inference.codec import AcceptedModel, InferRequest, infer_request, parse_infer
from serving.api.wire_format import parse_message
from serving.core.picture_decoder import EncodedImage, ImageInput
from serving.core.picture_decoder import Images as ClassifyImages
from serving.errors import DigitServiceError
from serving.image.decode import decode
from serving.image.framing import frame
from serving.image.header import UNIT, decoding_units
from serving.image.picture import ImageLimits
from serving.image.segmentation.segmentation import segment
from serving.predictions import PIXELS
from serving.readings import Layout
from tests.support.segmentations import faults_of, read_at_random

# As in production but for the numbers: a picture at the limit takes milliseconds, a larger one is refused all the same.
LIMITS = ImageLimits(max_bytes=64 * 1024, max_pixels=256 * 256)
MAX_IMAGES = 8  # so that a short message can hold too many
MODEL = AcceptedModel("mnist", 3, MAX_IMAGES)

# Of memory, by one input. A picture at the limit takes some 3 MB; one that was decoded before it was refused, far more.
MAX_GROWTH_BYTES = 64 * 2**20
IN_GREY = 4  # times as many pixels are accepted as in colour
MAX_MESSAGE = 1000  # characters: a refusal travels in the answer's trailers

_OURS = Path(serving.image.__file__).parent


T = TypeVar("T")


class FindingError(Exception):
    """An input was handled wrongly; the message says how."""


def intake(content: bytes) -> None:
    """A picture file to MNIST's frame."""
    try:
        grey = decode(content, LIMITS)
    except DigitServiceError as error:
        _check_refusal(error)
        _check_cause(error.__cause__)
        return
    _require(grey.dtype == np.uint8 and grey.ndim == 2, f"grey levels of {grey.dtype} {grey.shape}")
    _require(0 < grey.size <= IN_GREY * LIMITS.max_pixels, f"a picture of {grey.shape}")
    _require(grey.size <= IN_GREY * UNIT * decoding_units(content, LIMITS), f"{grey.shape} for too few units")
    framed = frame(grey)
    pixels = framed.pixels
    _require(pixels.dtype == np.uint8 and pixels.shape == (PIXELS,), f"pixels of {pixels.dtype} {pixels.shape}")
    _require(framed.is_blank != pixels.any(), f"is_blank is {framed.is_blank}, and the pixels say otherwise")


def read(content: bytes) -> None:
    """A picture file to candidates for digits, in a layout that its checksum chooses."""
    layout = Layout(zlib.crc32(content) % len(Layout))
    try:
        found = segment(content, LIMITS, layout, read_at_random)
    except DigitServiceError as error:
        _check_refusal(error)
        _check_cause(error.__cause__)
        return
    size = found.width * found.height
    _require(0 < size <= IN_GREY * LIMITS.max_pixels, f"a picture of {found.width} x {found.height}")
    faults = faults_of(found, layout)
    _require(not faults, "; ".join(faults))


def classify(content: bytes) -> None:
    """A ClassifyRequest."""
    request = _same_both_ways(
        lambda: _one_by_one(*parse_request(content, MAX_IMAGES)),
        lambda: _one_by_one(*request_images(parse_message(digits_pb2.ClassifyRequest, content), MAX_IMAGES)),
    )
    if request is None:
        return
    images, version = request
    _require(len(images) <= MAX_IMAGES, f"{len(images)} images")
    _require(all(isinstance(image, bytes | EncodedImage) for image in images), "images of another type")
    _require(isinstance(version, int), f"version {version!r}")


def infer(content: bytes) -> None:
    """A ModelInferRequest."""
    request = _same_both_ways(
        lambda: parse_infer(content, MODEL),
        lambda: infer_request(parse_message(ModelInferRequest, content), MODEL),
    )
    if request is not None:
        _check_infer(request)


TARGETS: dict[str, Callable[[bytes], None]] = {target.__name__: target for target in (intake, read, classify, infer)}
OF_PICTURES = ("intake", "read")  # these share a corpus and its words: that of intake


def bounded(target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """The target, with a FindingError where one input makes the process larger by more than MAX_GROWTH_BYTES.

    libFuzzer's own limit is looked at once a second and blames whichever input runs then.
    """

    def run(content: bytes) -> None:
        before = _peak_bytes()
        target(content)
        grown = _peak_bytes() - before
        _require(grown <= MAX_GROWTH_BYTES, f"one input took {grown / 2**20:.0f} MB of memory")

    return run


def warnings_are_findings() -> None:
    """For the whole process: NumPy's warnings raise, Pillow's remarks are silent."""
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", RuntimeWarning)


def _same_both_ways(short: Callable[[], T], long: Callable[[], T]) -> T | None:
    """What both say; None where both refuse."""
    (value, refusal), other = _outcome(short), _outcome(long)
    _require((value, refusal) == other, f"the short way says {(value, refusal)!r:.300}, protobuf {other!r:.300}")
    return value


def _outcome(way: Callable[[], T]) -> tuple[T | None, str]:
    try:
        return way(), ""
    except DigitServiceError as error:
        _check_refusal(error)
        return None, f"{type(error).__name__}: {error}"


def _one_by_one(images: ClassifyImages, version: int) -> tuple[list[ImageInput], int]:
    """The images as a list, raw ones as bytes: an array and a list of equal images are equal then."""
    if not isinstance(images, np.ndarray):
        return list(images), version
    _require(images.dtype == np.uint8 and images.ndim == 2 and images.shape[1] == PIXELS, f"an array {images.shape}")
    _require(bool(images.flags.c_contiguous), "an array that is not contiguous")
    return [row.tobytes() for row in images], version


def _check_infer(request: InferRequest) -> None:
    head, images = request.head, request.images
    _require(1 <= head.spec.images <= MAX_IMAGES, f"{head.spec.images} images")
    _require(head.model_name == MODEL.name and head.timeout_seconds > 0, f"accepted: {head}")
    _require(len({output.name for output in head.outputs}) == len(head.outputs) > 0, f"outputs {head.outputs}")
    if isinstance(images, bytes):
        _require(len(images) == head.spec.images * PIXELS, f"{len(images)} bytes for {head.spec.images} images")
    else:
        _require(len(images) == head.spec.images, f"{len(images)} pictures for {head.spec.images} images")
        _require(all(isinstance(image, EncodedImage) for image in images), "pictures of another type")


def _check_refusal(error: DigitServiceError) -> None:
    text = str(error)
    _require(0 < len(text) <= MAX_MESSAGE and text.isprintable(), f"a refusal that cannot be sent: {text!r:.300}")


def _check_cause(cause: BaseException | None) -> None:
    if cause is None:
        return
    is_ours = any(path.parent == _OURS and path.name != "decode.py" for path in _files(cause.__traceback__))
    if is_ours or isinstance(cause, MemoryError | RecursionError | RuntimeWarning):
        raise FindingError(f"refused as damaged for {cause!r:.300}") from cause


def _files(trace: TracebackType | None) -> Iterator[Path]:
    while trace is not None:
        yield Path(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise FindingError(otherwise)
