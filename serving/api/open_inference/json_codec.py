"""Inference requests and responses of the protocol's REST form: JSON, with the tensors in it or in binary behind it.

1. The header `Inference-Header-Content-Length` says how many bytes of the body are JSON; the tensors follow, those with
   `binary_data_size`. Without it all is JSON. 0 stands for a body of raw pixels alone.
2. JSON becomes the protocol's protobuf message, whose checks and messages of errors then hold for both forms.
3. The requests of one client differ only in their pixels. So JSON that holds no data is parsed once and kept.
4. Elements of BYTES, picture files, are base64 in JSON, which has no bytes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from protos.inference.open_inference_pb2 import InferParameter, ModelInferRequest
from serving.api.http.bodies import LONGEST_JSON, is_mostly_brackets
from serving.api.image_lists import decoded_picture
from serving.api.open_inference.codec import AcceptedModel, InferHead, InferRequest, check_count, head_of
from serving.api.open_inference.outputs import OUTPUTS, RequestedOutput, raw_output, values_of
from serving.api.open_inference.tensor import BYTES, NAME, Images, clip, images_from_json, images_from_raw
from serving.core.picture_decoder import EncodedImage
from serving.errors import InvalidRequestError
from serving.predictions import PIXELS, Predictions

HEADER_LENGTH = "Inference-Header-Content-Length"
LONGEST_KEPT = 2048  # bytes of JSON; a usual one has 200 to 400
_MOST_PARAMETERS = 64  # of a request, a tensor or an output


@dataclass(frozen=True, slots=True)
class JsonHead:
    """The JSON of a request. `data`: of the input; None where it is binary, `binary_bytes` long."""

    head: InferHead
    data: Any
    binary_bytes: int
    are_binary: tuple[bool, ...]  # of the requested outputs


@dataclass(frozen=True, slots=True)
class JsonRequest:
    """A request, and which of its requested outputs are to be binary."""

    request: InferRequest
    are_binary: tuple[bool, ...]


def parse_json_infer(
    body: bytes, header_length: int | None, name: str, version: str, model: AcceptedModel
) -> JsonRequest:
    """Parses the body of a request to the model `name`. Raises the errors of codec.parse_infer."""
    model.check(name, version)
    if header_length == 0:  # Triton's raw binary request: one input, and nothing said of it
        body, header_length = _raw_pixels(body)
    if header_length is not None and header_length > len(body):
        raise InvalidRequestError(f"{HEADER_LENGTH} is {header_length}, and the body has {len(body)} bytes")
    text, binary = (body, b"") if header_length is None else (body[:header_length], body[header_length:])
    if header_length is not None and len(text) <= LONGEST_KEPT:
        parsed = _kept(text, name, version)
    else:
        parsed = _parse(text, name, version)
    head = parsed.head
    check_count(head.spec, model)  # not kept with the head: the limit is a setting, the head only bytes
    if len(binary) != parsed.binary_bytes:
        raise InvalidRequestError(
            f"{len(binary)} bytes follow the JSON, and its binary_data_size says {parsed.binary_bytes}"
        )
    images: Images
    if parsed.data is None:
        images = images_from_raw(head.spec, binary)
    elif head.spec.datatype == BYTES:
        images = _pictures(parsed.data, head.spec.images)
    else:
        images = images_from_json(head.spec, parsed.data)
    return JsonRequest(InferRequest(head, images, is_raw=parsed.data is None), parsed.are_binary)


def json_infer_response(request: JsonRequest, model: str, predictions: Predictions) -> tuple[bytes, int | None]:
    """Returns the response's body, and the length of its JSON where binary tensors follow it."""
    head, are_binary = request.request.head, request.are_binary
    parts = [
        raw_output(requested, predictions) if is_binary else None
        for requested, is_binary in zip(head.outputs, are_binary, strict=True)
    ]
    if all(are_binary) and not head.id:  # its JSON is that of every such response
        sizes = tuple(len(part or b"") for part in parts)
        text = _binary_header(model, predictions.version, head.outputs, predictions.images, sizes)
    else:
        described = [
            _described(requested, predictions.images)
            | ({"data": values_of(requested, predictions)} if part is None else _binary(len(part)))
            for requested, part in zip(head.outputs, parts, strict=True)
        ]
        text = _document(model, predictions.version, described, head.id)
    binary = [part for part in parts if part is not None]
    return (b"".join([text, *binary]), len(text)) if binary else (text, None)


@lru_cache(maxsize=256)
def _binary_header(
    model: str, version: int, outputs: tuple[RequestedOutput, ...], images: int, sizes: tuple[int, ...]
) -> bytes:
    described = [_described(each, images) | _binary(size) for each, size in zip(outputs, sizes, strict=True)]
    return _document(model, version, described, "")


def _document(model: str, version: int, outputs: list[dict[str, Any]], id: str) -> bytes:
    document = {"model_name": model, "model_version": str(version), "outputs": outputs} | ({"id": id} if id else {})
    return json.dumps(document, separators=(",", ":")).encode()


def _described(requested: RequestedOutput, images: int) -> dict[str, Any]:
    kind = OUTPUTS[requested.name]
    datatype, row_shape = (BYTES, (requested.classes,)) if requested.classes else (kind.datatype, kind.row_shape)
    return {"name": requested.name, "datatype": datatype, "shape": [images, *row_shape]}


def _binary(size: int) -> dict[str, Any]:
    return {"parameters": {"binary_data_size": size}}


def loads(text: bytes) -> Any:
    """Parses JSON. Raises InvalidRequestError for what is none, is too long, nests too deep, or holds NaN."""
    if len(text) > LONGEST_JSON:
        raise InvalidRequestError(
            f"{len(text)} bytes of JSON, at most {LONGEST_JSON} are read: send the tensor in binary, or fewer images"
        )
    if is_mostly_brackets(text):
        raise InvalidRequestError("the JSON holds hardly anything but brackets")
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # of text that is no UTF-8, too
        raise InvalidRequestError(f"the request is no JSON: {str(error)[:100]}") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


@lru_cache(maxsize=256)  # an entry has a few kilobytes at most
def _kept(text: bytes, name: str, version: str) -> JsonHead:
    return _parse(text, name, version)


def _parse(text: bytes, name: str, version: str) -> JsonHead:
    document = _object(loads(text), "the request")
    message = ModelInferRequest(model_name=name, model_version=version)
    message.id = _text(document, "id", "the request")
    _set_parameters(message.parameters, document, "the request")
    inputs = _list(document, "inputs", "the request")
    for each in inputs[:2]:  # codec.head_of() refuses any other number than one
        tensor, what = _object(each, "an input"), "an input"
        added = message.inputs.add(name=_text(tensor, "name", what), datatype=_text(tensor, "datatype", what))
        try:
            added.shape.extend(_list(tensor, "shape", what))
        except (TypeError, ValueError) as error:
            raise InvalidRequestError("an input's shape is a list of whole numbers") from error
        _set_parameters(added.parameters, tensor, what)
    default = _is_set(message.parameters, "binary_data_output", default=False)
    are_binary = []
    for each in _list(document, "outputs", "the request")[: len(OUTPUTS) + 1]:
        requested = message.outputs.add(name=_text(_object(each, "an output"), "name", "an output"))
        _set_parameters(requested.parameters, each, "an output")
        are_binary.append(_is_set(requested.parameters, "binary_data", default=default))
    head = head_of(message)
    tensor, size = inputs[0], message.inputs[0].parameters.get("binary_data_size")
    if (size is None) == ("data" not in tensor):
        raise InvalidRequestError(f"input `{NAME}` has either `data` or the parameter binary_data_size")
    return JsonHead(
        head,
        tensor.get("data"),
        size.int64_param if size is not None else 0,
        tuple(are_binary or [default] * len(head.outputs)),
    )


def _is_set(parameters: Any, name: str, *, default: bool) -> bool:
    parameter = parameters.get(name)
    return default if parameter is None else bool(parameter.bool_param)


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequestError(f"{what} is a JSON object, and not {clip(json.dumps(value)[:60])}")
    return value


def _list(document: Mapping[str, Any], key: str, what: str) -> list[Any]:
    value = document.get(key, [])
    if not isinstance(value, list):
        raise InvalidRequestError(f"{what}: `{key}` is a list")
    return value


def _text(document: Mapping[str, Any], key: str, what: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str):
        raise InvalidRequestError(f"{what}: `{key}` is a text")
    try:
        value.encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair
        raise InvalidRequestError(f"{what}: `{key}` is no Unicode text") from error
    return value


def _set_parameters(parameters: Any, document: Mapping[str, Any], what: str) -> None:
    given = _object(document.get("parameters") or {}, f"`parameters` of {what}")
    if len(given) > _MOST_PARAMETERS:
        raise InvalidRequestError(f"{what} has {len(given)} parameters, at most {_MOST_PARAMETERS} are read")
    for name, value in given.items():
        parameter = _parameter(value)
        if parameter is not None:  # others, such as MLServer's nested ones, mean nothing here
            parameters[_text({"name": name}, "name", what)].CopyFrom(parameter)


def _parameter(value: Any) -> InferParameter | None:
    try:
        if isinstance(value, bool):
            return InferParameter(bool_param=value)
        if isinstance(value, int):
            return InferParameter(int64_param=value)
        if isinstance(value, str):
            return InferParameter(string_param=value)
    except ValueError as error:  # a number of more than 64 bits, half of a surrogate pair
        raise InvalidRequestError("a parameter is out of range") from error
    return None


def _pictures(data: Any, images: int) -> list[EncodedImage]:
    elements = _flat(data)
    if len(elements) != images:
        raise InvalidRequestError(f"input `{NAME}`: its shape makes {images} elements, `data` holds {len(elements)}")
    return [EncodedImage(decoded_picture(element)) for element in elements]


def _flat(data: Any) -> list[Any]:
    """Returns the elements of [a, b] or [[a], [b]]."""
    if not isinstance(data, list):
        raise InvalidRequestError(f"input `{NAME}`: `data` is a list")
    return [inner for each in data for inner in (each if isinstance(each, list) else [each])]


def _raw_pixels(body: bytes) -> tuple[bytes, int]:
    """Returns the body of an equal request with JSON in front, and the length of that."""
    count, rest = divmod(len(body), PIXELS)
    if rest or not count:
        raise InvalidRequestError(f"a raw request is n x {PIXELS} bytes, one for each pixel; got {len(body)}")
    text = b'{"inputs":[{"name":"%s","datatype":"UINT8","shape":[%d,%d],"parameters":{"binary_data_size":%d}}]}' % (
        NAME.encode(), count, PIXELS, len(body),
    )  # fmt: skip
    return text + body, len(text)
