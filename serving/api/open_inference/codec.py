"""ModelInfer's messages from and to bytes, with a short way for one raw input.

1. One client's requests differ in their last field alone, the raw pixels: what stands before them, the head, is the
   same bytes each time. So heads are parsed once and kept; a request costs a look-up and a copy of its pixels.
2. Every raw tensor but BYTES is k x 784 bytes, and a head is shorter than that. So the request's length gives k and,
   with it, where the pixels must begin and what must stand before them.
3. A head that is no whole message, or holds data itself, is no head: such a request goes through protobuf, as does
   every other. Protobuf reads two messages in a row as one, so both ways read the same; a property test compares them.
4. Errors are raised on the way through protobuf alone, and the model is checked before its inputs.
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
    """All that a ModelInfer says but its data. `timeout_seconds`: infinity when there is none."""

    model_name: str
    model_version: str
    id: str
    timeout_seconds: float
    outputs: tuple[RequestedOutput, ...]
    spec: TensorSpec


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A ModelInfer. `is_raw`: the data came as raw contents, and so goes the answer."""

    head: InferHead
    images: Images
    is_raw: bool


@dataclass(frozen=True, slots=True)
class AcceptedModel:
    """The one model that is served, and the most images that a request to it may hold."""

    name: str
    version: int  # that answers those who name none
    max_images: int
    versions: tuple[int, ...] = ()  # the others that are served too, and this

    def check(self, name: str, version: str) -> None:
        """Raises UnknownModelError or UnknownVersionError for another than this; an empty version is any."""
        if name != self.name:
            raise UnknownModelError(requested=clip(name), served=self.name)
        versions = self.versions or (self.version,)
        if version and version not in map(str, versions):
            raise UnknownVersionError(requested=clip(version), served=versions)


def parse_infer(content: bytes, model: AcceptedModel) -> InferRequest:
    """A ModelInferRequest. Raises InvalidRequestError, UnknownModelError or UnknownVersionError."""
    cut = _cut(content)
    if cut is not None:
        head, raw = cut
        model.check(head.model_name, head.model_version)
        _check_count(head.spec, model)
        return InferRequest(head, images_from_raw(head.spec, raw), is_raw=True)
    return infer_request(parse_message(ModelInferRequest, content), model)


def infer_request(message: ModelInferRequest, model: AcceptedModel) -> InferRequest:
    """The same of a message that protobuf has parsed."""
    model.check(message.model_name, message.model_version)
    head = _head(message)
    _check_count(head.spec, model)
    (tensor,) = message.inputs
    raws = message.raw_input_contents
    if not raws:
        return InferRequest(head, images_from_contents(head.spec, tensor.contents), is_raw=False)
    if len(raws) != 1:
        raise InvalidRequestError(f"raw_input_contents holds {len(raws)} entries for 1 input")
    if tensor.HasField("contents"):
        raise InvalidRequestError(f"input `{NAME}`: both contents and raw_input_contents are set, send one of them")
    return InferRequest(head, images_from_raw(head.spec, raws[0]), is_raw=True)


def infer_response(request: InferRequest, model: str, predictions: Predictions) -> bytes:
    """The serialised ModelInferResponse, raw or typed as the request was."""
    respond = raw_response if request.is_raw else typed_response
    return respond(model, request.head.id, request.head.outputs, predictions)


def _cut(content: bytes) -> tuple[InferHead, bytes] | None:
    """The parsed head and the raw data of a request that has one raw input and nothing behind it."""
    count, start = divmod(len(content), PIXELS)
    header = _raw_header(count)
    end = start - len(header)
    if end <= 0 or not content.startswith(header, end):
        return None
    head = _parse_head(content[:end])
    return None if head is None else (head, content[start:])


@lru_cache(maxsize=4096)
def _raw_header(count: int) -> bytes:
    return sized_field(ModelInferRequest, "raw_input_contents", count * PIXELS)


@lru_cache(maxsize=256)
def _parse_head(content: bytes) -> InferHead | None:
    try:
        message = ModelInferRequest.FromString(content)
        head = _head(message)
    except (DecodeError, InvalidRequestError):
        return None
    holds_data = message.raw_input_contents or message.inputs[0].HasField("contents") or head.spec.datatype == BYTES
    return None if holds_data else head


def _head(message: ModelInferRequest) -> InferHead:
    names = [tensor.name for tensor in message.inputs[:3]]
    if names != [NAME]:
        got = f"{len(message.inputs)}: {', '.join(map(clip, names))}" if names else "none"
        raise InvalidRequestError(f"the model takes exactly one input, `{NAME}`; the request holds {got}")
    return InferHead(
        model_name=message.model_name,
        model_version=message.model_version,
        id=message.id,
        timeout_seconds=_timeout(message),
        outputs=_outputs(message),
        spec=tensor_spec(message.inputs[0]),
    )


def _check_count(spec: TensorSpec, model: AcceptedModel) -> None:
    if spec.images > model.max_images:
        raise InvalidRequestError(f"the request holds {spec.images} images, at most {model.max_images} are accepted")


def _timeout(message: ModelInferRequest) -> float:
    if "timeout" not in message.parameters:
        return float("inf")
    microseconds = _whole_number(message.parameters["timeout"])
    if microseconds is None or microseconds < 0:
        raise InvalidRequestError("parameter `timeout`: expected microseconds, an int64 of 0 (none) or more")
    return microseconds / 1e6 if microseconds else float("inf")


def _outputs(message: ModelInferRequest) -> tuple[RequestedOutput, ...]:
    if not message.outputs:
        return ALL_OUTPUTS
    if len(message.outputs) > len(OUTPUTS):
        raise InvalidRequestError(f"{len(message.outputs)} outputs are asked for, the model has {len(OUTPUTS)}")
    outputs = tuple(map(_output, message.outputs))
    if len({output.name for output in outputs}) != len(outputs):
        raise InvalidRequestError("an output is asked for twice")
    return outputs


def _output(asked: ModelInferRequest.InferRequestedOutputTensor) -> RequestedOutput:
    name = asked.name
    if name not in OUTPUTS:
        raise InvalidRequestError(f"the model has no output {clip(name)}; it has {', '.join(OUTPUTS)}")
    if "shared_memory_region" in asked.parameters:
        raise InvalidRequestError(f"output `{name}`: shared memory is not supported")
    if "classification" not in asked.parameters:
        return RequestedOutput(name)
    if name != PROBABILITIES:
        raise InvalidRequestError(f"output `{name}`: only `{PROBABILITIES}` has classes")
    classes = _whole_number(asked.parameters["classification"])
    if classes is None or classes < 1:
        raise InvalidRequestError(f"output `{name}`: parameter `classification`: expected an int64 of 1 or more")
    return RequestedOutput(name, min(classes, DIGITS))  # more than there are: all, as Triton does


def _whole_number(parameter: InferParameter) -> int | None:
    kind = parameter.WhichOneof("parameter_choice")
    return int(getattr(parameter, kind)) if kind in ("int64_param", "uint64_param") else None
