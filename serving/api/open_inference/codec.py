"""ModelInfer's messages from and to bytes, with a short way for one raw input.

1. The requests of one client differ only in their last field, the raw pixels. The bytes before them, the head, are the
   same each time. So heads are parsed once and kept; a request costs a look-up and a copy of its pixels.
2. Every raw tensor but BYTES has k x 784 bytes, and a head is shorter than 784. So the length of the request gives k,
   and with k where the pixels must begin and which bytes must stand before them.
3. A head that is no whole message, or holds data itself, is none: such a request is parsed by protobuf, as all others
   are. Protobuf reads two messages in a row as one, so both ways read the same; a property test compares them.
4. Malformed requests fail on the way through protobuf alone, and the model is checked before the inputs.

Decision 0020 has the figures.
"""

from dataclasses import dataclass
from functools import lru_cache

from google.protobuf.message import DecodeError

from protos.inference.open_inference_pb2 import InferParameter, ModelInferRequest
from serving.api.open_inference.outputs import (
    ALL_OUTPUTS,
    OUTPUTS,
    PROBABILITIES,
    RequestedOutput,
    raw_response,
    typed_response,
)
from serving.api.open_inference.tensor import (
    BYTES,
    NAME,
    Images,
    TensorSpec,
    clip,
    images_from_contents,
    images_from_raw,
    tensor_spec,
)
from serving.api.wire_format import parse_message, sized_field
from serving.errors import InvalidRequestError, UnknownModelError, UnknownVersionError
from serving.predictions import DIGITS, PIXELS, Predictions


@dataclass(frozen=True, slots=True)
class InferHead:
    """A ModelInfer request without its data. `timeout_seconds`: infinity when there is none."""

    model_name: str
    model_version: str
    id: str
    timeout_seconds: float
    says_final: bool  # a streamed response must say whether it is the last one of its request
    outputs: tuple[RequestedOutput, ...]
    spec: TensorSpec


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A ModelInfer request. `is_raw`: the data came as raw contents, so the response has raw contents as well."""

    head: InferHead
    images: Images
    is_raw: bool


@dataclass(frozen=True, slots=True)
class AcceptedModel:
    """The model that is served, and the most images that a request to it may hold."""

    name: str
    version: int  # answers requests that name none
    max_images: int
    versions: tuple[int, ...] = ()  # all that are served; empty: `version` alone

    def check(self, name: str, version: str) -> None:
        """Raises UnknownModelError or UnknownVersionError unless it is served. An empty version means any."""
        if name != self.name:
            raise UnknownModelError(requested=clip(name), served=self.name)
        versions = self.versions or (self.version,)
        if version and version not in map(str, versions):
            raise UnknownVersionError(requested=clip(version), served=versions)


def parse_infer(content: bytes, model: AcceptedModel) -> InferRequest:
    """Parses a serialised ModelInferRequest. Raises InvalidRequestError, UnknownModelError or UnknownVersionError."""
    cut = _cut(content)
    if cut is not None:
        head, raw = cut
        model.check(head.model_name, head.model_version)  # first: a wrong name explains whatever else is wrong
        check_count(head.spec, model)  # not kept with the head: the limit is a setting, the head only bytes
        return InferRequest(head, images_from_raw(head.spec, raw), is_raw=True)
    return infer_request(parse_message(ModelInferRequest, content), model)


def infer_request(message: ModelInferRequest, model: AcceptedModel) -> InferRequest:
    """Reads a ModelInferRequest that protobuf has parsed. Raises the errors of parse_infer."""
    model.check(message.model_name, message.model_version)
    head = head_of(message)
    check_count(head.spec, model)
    (tensor,) = message.inputs  # head_of() has refused any other number
    raws = message.raw_input_contents  # one entry for each input
    if not raws:
        return InferRequest(head, images_from_contents(head.spec, tensor.contents), is_raw=False)
    if len(raws) != 1:
        raise InvalidRequestError(f"raw_input_contents holds {len(raws)} entries for 1 input")
    if tensor.HasField("contents") and tensor.contents.ListFields():  # empty, as MLServer sends it, it is no data
        raise InvalidRequestError(f"input `{NAME}`: both contents and raw_input_contents are set, send one of them")
    return InferRequest(head, images_from_raw(head.spec, raws[0]), is_raw=True)


def infer_response(request: InferRequest, model: str, predictions: Predictions) -> bytes:
    """Returns the serialised ModelInferResponse, raw or typed as the request was."""
    respond = raw_response if request.is_raw else typed_response
    return respond(model, request.head.id, request.head.outputs, predictions)


def _cut(content: bytes) -> tuple[InferHead, bytes] | None:
    """Returns the head and the raw data of a request with one raw input as its last field; None for any other."""
    count, start = divmod(len(content), PIXELS)  # `start`, less than 784: where the data would begin
    header = _raw_header(count)
    end = start - len(header)
    if end <= 0 or not content.startswith(header, end):
        return None
    # These bytes may also be part of another field. Then those before them are no whole message, and no head either.
    head = _parse_head(content[:end])
    return None if head is None else (head, content[start:])


@lru_cache(maxsize=4096)  # a few bytes for each number of images
def _raw_header(count: int) -> bytes:
    """Returns the tag and length before `count` images in raw_input_contents."""
    return sized_field(ModelInferRequest, "raw_input_contents", count * PIXELS)


# Bounded: a client that gives each request a new id makes a new head each time. An entry has less than 784 bytes.
@lru_cache(maxsize=256)
def _parse_head(content: bytes) -> InferHead | None:
    """Parses the bytes before the raw data; None when they are no head. None is cached as well."""
    try:
        message = ModelInferRequest.FromString(content)  # shorter than 784 bytes: no entries to count
        head = head_of(message)
    except (DecodeError, InvalidRequestError):
        return None  # protobuf parses the whole request, and raises the error that the caller gets
    # Data before the cut belongs to another entry or a second form, and BYTES elements have their own lengths.
    holds_data = message.raw_input_contents or message.inputs[0].HasField("contents") or head.spec.datatype == BYTES
    return None if holds_data else head


def head_of(message: ModelInferRequest) -> InferHead:
    """Returns the request without its data. Raises InvalidRequestError."""
    names = [tensor.name for tensor in message.inputs[:3]]  # enough for a message, however many there are
    if names != [NAME]:
        got = f"{len(message.inputs)}: {', '.join(map(clip, names))}" if names else "none"
        raise InvalidRequestError(f"the model takes exactly one input, `{NAME}`; the request holds {got}")
    return InferHead(
        model_name=message.model_name,
        model_version=message.model_version,
        id=message.id,
        timeout_seconds=_timeout(message),
        says_final="triton_enable_empty_final_response" in message.parameters,
        outputs=_outputs(message),
        spec=tensor_spec(message.inputs[0]),
    )


def check_count(spec: TensorSpec, model: AcceptedModel) -> None:
    """Raises InvalidRequestError for more images than the model accepts."""
    if spec.images > model.max_images:
        raise InvalidRequestError(f"the request holds {spec.images} images, at most {model.max_images} are accepted")


def _timeout(message: ModelInferRequest) -> float:
    """Returns the parameter `timeout` in seconds. tritonclient sends it as an int64 in microseconds; 0: none."""
    if "timeout" not in message.parameters:
        return float("inf")
    # int64 or uint64: tritonclient sends the one, hand-written clients may send the other.
    microseconds = _whole_number(message.parameters["timeout"])
    if microseconds is None or microseconds < 0:
        raise InvalidRequestError("parameter `timeout`: expected microseconds, an int64 of 0 (none) or more")
    return microseconds / 1e6 if microseconds else float("inf")


def _outputs(message: ModelInferRequest) -> tuple[RequestedOutput, ...]:
    if not message.outputs:
        return ALL_OUTPUTS
    if len(message.outputs) > len(OUTPUTS):
        raise InvalidRequestError(f"{len(message.outputs)} outputs are requested, the model has {len(OUTPUTS)}")
    # In the order of the request, which is the order of the response.
    outputs = tuple(map(_output, message.outputs))
    # tritonclient looks outputs up by name, and would see one of the two.
    if len({output.name for output in outputs}) != len(outputs):
        raise InvalidRequestError("an output is requested twice")
    return outputs


def _output(requested: ModelInferRequest.InferRequestedOutputTensor) -> RequestedOutput:
    name = requested.name
    if name not in OUTPUTS:
        raise InvalidRequestError(f"the model has no output {clip(name)}; it has {', '.join(OUTPUTS)}")
    if "shared_memory_region" in requested.parameters:
        raise InvalidRequestError(f"output `{name}`: shared memory is not supported")
    if "classification" not in requested.parameters:
        return RequestedOutput(name)
    if name != PROBABILITIES:
        raise InvalidRequestError(f"output `{name}`: only `{PROBABILITIES}` has classes")
    classes = _whole_number(requested.parameters["classification"])
    if classes is None or classes < 1:
        raise InvalidRequestError(f"output `{name}`: parameter `classification`: expected an int64 of 1 or more")
    return RequestedOutput(name, min(classes, DIGITS))  # more than there are: all, as Triton does


def _whole_number(parameter: InferParameter) -> int | None:
    """Returns an integer parameter; None for one of another type."""
    kind = parameter.WhichOneof("parameter_choice")
    return int(getattr(parameter, kind)) if kind in ("int64_param", "uint64_param") else None
