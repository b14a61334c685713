"""What calls return: predictions and the model's description."""

from dataclasses import dataclass
from functools import lru_cache

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.message import DecodeError

from mnist_digits import proto
from mnist_digits.errors import CallError


@dataclass(frozen=True, slots=True)
class Prediction:
    """The service's reading of one image."""

    digit: int  # 0 to 9, the most probable; given also when refused
    probability: float  # of `digit`, calibrated, 0.1 to 1
    probabilities: tuple[float, ...]  # of the digits 0 to 9, calibrated, summing to 1
    novelty: float  # 0: a typical digit; 1: no digit
    refused: bool  # True: not to be used; `refusal` has the reason
    # "novel" (unlike any digit), "blank" (no ink) or "several_glyphs" (a picture of several digits, for `read`).
    # None exactly when not refused.
    refusal: str | None
    quality: tuple[str, ...] = ()  # what may be wrong with a picture: "touches_border", "low_contrast", ...
    model_version: int = 0  # the version that answered
    request_id: str = ""  # for `feedback`; empty: the server takes none
    index: int = 0  # of the image in that request, which calls may share


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """The model that the server serves, and the limits of a call."""

    name: str  # "mnist"
    version: int  # 1 or more
    created: str  # RFC 3339, UTC
    test_accuracy: float  # share of MNIST's 10,000 test digits read right when exported, 0 to 1
    novelty_threshold: float  # predictions of a higher novelty are refused, 0 to 1
    device: str  # where inference runs: "cpu" or "cuda"
    max_images_per_request: int  # most images of one `classify`
    max_image_bytes: int  # longest picture file
    max_image_pixels: int  # largest width times height of a picture
    model_sha256: str  # of model.onnx, 64 lower-case hexadecimal characters
    precision: str  # of the convolutions: "float32" or "int8"
    inference_threads: int  # CPU threads of one inference, in each worker
    max_batch_size: int  # most images of one inference; the server divides larger calls
    is_tuned: bool  # precision, threads and batch size were measured on the server's machine
    takes_feedback: bool = False


def prediction(message: proto.Prediction, model_version: int) -> Prediction:
    """Converts one message of a response by `model_version`."""
    return Prediction(
        digit=message.digit,
        probability=message.probability,
        probabilities=tuple(message.probabilities),
        novelty=message.novelty,
        refused=message.refused,
        refusal=refusal_name(message.refusal) if message.refused else None,
        quality=tuple(enum_name(proto.Quality.DESCRIPTOR, remark) for remark in message.quality),
        model_version=model_version,
    )


@lru_cache(maxsize=8)
def refusal_name(refusal: int) -> str:
    """Name of a refusal, "novel"; its number where the server knows one that this client does not."""
    return enum_name(proto.Refusal.DESCRIPTOR, refusal)


def enum_name(enum: EnumDescriptor, number: int) -> str:
    """Name of an enum's value without the enum's own, in lower case; the number where this client knows no name."""
    known = enum.values_by_number.get(number)
    return known.name.removeprefix(f"{enum.name.upper()}_").lower() if known else str(number)


def model_description(content: bytes) -> ModelDescription:
    """Parses a serialized GetModelResponse. Raises CallError, code INTERNAL, for bytes that are no such response."""
    try:
        response = proto.GetModelResponse.FromString(content)
    except DecodeError as error:
        raise CallError("INTERNAL", f"the server's answer is no GetModelResponse: {error}") from error
    return ModelDescription(**{name: getattr(response, name) for name in ModelDescription.__slots__})
