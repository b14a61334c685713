"""`/v1/classify`, `/v1/read`, `/v1/explain`, `/v1/feedback`: pictures, pixels or JSON in the body, and JSON back."""

import json
import time
from base64 import b64encode
from enum import IntFlag
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from protos.mnist.v1 import digits_pb2
from serving.api.digits.feedback_codec import feedback_of_json
from serving.api.digits.http_bodies import is_form, is_pixels, read_body, read_picture
from serving.api.digits.operations import DigitOperations
from serving.api.http.application import Route, json_response
from serving.api.http.bodies import RefusedError, header
from serving.api.http.calls import ANSWER_SECONDS, HttpCalls
from serving.auth.api_keys import CLASSIFY, Caller
from serving.core.classifier import Classifier
from serving.core.reader import Reader
from serving.errors import InvalidRequestError
from serving.predictions import PIXELS, Predictions, Refusal
from serving.readings import Glyph, Layout, Reading
from serving.version_policy import LARGEST_VERSION

CLASSIFY_PATH, READ_PATH, EXPLAIN_PATH = "/v1/classify", "/v1/read", "/v1/explain"
FEEDBACK_PATH = "/v1/feedback"
LONGEST_FEEDBACK = 4096  # bytes of a body
LONGEST_QUERY = 1024
_OPENAPI = Path(__file__).with_name("openapi.json")


class DigitEndpoints:
    """Endpoints of the four methods."""

    def __init__(
        self,
        classifier: Classifier,
        operations: DigitOperations,
        reader: Reader,
        calls: HttpCalls,
        longest_request: int,
    ) -> None:
        """`longest_request`: bytes of a body that may hold many images."""
        self._longest_image = max(classifier.pictures.limits.max_bytes, PIXELS)
        self._longest_request = max(longest_request, self._longest_image)
        self._classifier = classifier
        self._operations = operations
        self._reader = reader
        self._calls = calls

    def routes(self) -> list[Route]:
        """Returns the routes of the four methods and of their description."""
        classify = self._calls.endpoint("Classify", self._classify, CLASSIFY, self._longest_body)
        read = self._calls.endpoint("Read", self._read, CLASSIFY, self._longest_body)
        explain = self._calls.endpoint("Explain", self._explain, CLASSIFY, lambda _: self._longest_image)
        feedback = self._calls.endpoint("Feedback", self._feedback, CLASSIFY, lambda _: LONGEST_FEEDBACK)
        return [
            Route("POST", FEEDBACK_PATH, feedback),
            *(Route(method, CLASSIFY_PATH, classify) for method in ("POST", "PUT")),
            *(Route(method, READ_PATH, read) for method in ("POST", "PUT")),
            *(Route(method, EXPLAIN_PATH, explain) for method in ("POST", "PUT")),
            *(Route("GET", path, _describe) for path in ("/openapi.json", "/v1/openapi.json")),
        ]

    def _longest_body(self, request: Request) -> int:
        """Returns the bytes that a body may have: a form or JSON may hold many images."""
        content_type = header(request, b"content-type", "")
        return self._longest_request if is_form(content_type) or "json" in content_type else self._longest_image

    async def _classify(self, request: Request, content: bytes, caller: Caller) -> Response:
        version, content_type = _number(request, "model_version", LARGEST_VERSION), header(request, b"content-type", "")
        body = await read_body(content_type, content, self._classifier.max_images_per_request)
        until = time.monotonic() + ANSWER_SECONDS
        predictions = await self._classifier.classify(body.images, caller, version, until)
        found = [_prediction(predictions, index) for index in range(predictions.images)]
        document: dict[str, Any] = {"predictions": found} if body.is_list else found[0]
        if self._operations.takes_feedback:
            document["request_id"] = caller.request_id
        return json_response(document)

    async def _read(self, request: Request, content: bytes, caller: Caller) -> Response:
        version, layout = _number(request, "model_version", LARGEST_VERSION), _layout(request)
        picture = await read_picture(header(request, b"content-type", ""), content)
        until = time.monotonic() + ANSWER_SECONDS
        document = _reading(await self._reader.read(picture, caller, layout, version, until))
        if self._operations.takes_feedback:
            document["request_id"] = caller.request_id
        return json_response(document)

    async def _explain(self, request: Request, body: bytes, caller: Caller) -> Response:
        image = digits_pb2.Image(pixels=body) if is_pixels(body) else digits_pb2.Image(encoded=body)
        message = digits_pb2.ExplainRequest(
            image=image,
            model_version=_number(request, "model_version", LARGEST_VERSION),
            without_kernels=not _number(request, "kernels", 1, default="1"),
        )
        until = time.monotonic() + ANSWER_SECONDS
        return json_response(_explanation(await self._operations.explain(message.SerializeToString(), caller, until)))

    async def _feedback(self, _: Request, body: bytes, caller: Caller) -> Response:
        truth = feedback_of_json(_document(body))
        return json_response(await self._operations.give(truth, caller, time.monotonic() + ANSWER_SECONDS))


def _document(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequestError(f"the body is no JSON: {str(error)[:100]}") from error


async def _describe(_: Request) -> Response:
    return Response(_OPENAPI.read_bytes(), media_type="application/json")


def _number(request: Request, name: str, largest: int, default: str = "0") -> int:
    """Returns the query parameter `name`, 0 to `largest`. Raises RefusedError."""
    text = _parameter(request, name, default)
    # Digits and length first: int() takes signs, underscores and other scripts, and time for very long texts.
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= largest):
        raise RefusedError(400, "INVALID_ARGUMENT", f"{name}: expected a number, 0 to {largest}")
    return int(text)


def _layout(request: Request) -> Layout:
    """Returns the query parameter `layout`. Raises RefusedError."""
    text = _parameter(request, "layout", "auto")
    layout = next((each for each in Layout if each.name.lower() == text), None)
    if layout is None:
        names = ", ".join(each.name.lower() for each in Layout)
        raise RefusedError(400, "INVALID_ARGUMENT", f"layout: expected one of {names}")
    return layout


def _parameter(request: Request, name: str, default: str) -> str:
    """Returns the query parameter `name`. Raises RefusedError for a query that is too long."""
    if not request.scope["query_string"]:  # as nearly always
        return default
    if len(request.scope["query_string"]) > LONGEST_QUERY:  # parsing 64 KiB of it would take a tenth of a second
        raise RefusedError(400, "INVALID_ARGUMENT", f"the query is longer than {LONGEST_QUERY} bytes")
    return request.query_params.get(name, default)


def _prediction(predictions: Predictions, index: int) -> dict[str, Any]:
    """Returns the fields of mnist.v1.Prediction and the model version, enumerations as lower-case names."""
    batch, row = predictions.batch, predictions.start + index
    digit, probabilities = int(batch.digits[row]), batch.probabilities[row].tolist()
    refusal = int(batch.refusals[row])
    quality = predictions.remarks.get(index)
    return {
        "digit": digit,
        "probability": probabilities[digit],
        "probabilities": probabilities,
        "novelty": float(batch.novelties[row]),
        "refused": refusal != Refusal.NONE,
        "refusal": Refusal(refusal).name.lower() if refusal else None,
        "quality": _names(quality) if quality else [],
        "model_version": batch.version,
    }


def _reading(reading: Reading) -> dict[str, Any]:
    """Returns the fields of mnist.v1.ReadResponse; a box as [x, y, width, height]."""
    return {
        "lines": [
            {
                "text": line.text,
                "probability": line.probability,
                "refused": line.refused,
                "digits": [_glyph(glyph) for glyph in line.glyphs],
            }
            for line in reading.lines
        ],
        "model_version": reading.version,
        "quality": _names(reading.quality),
        "width": reading.width,
        "height": reading.height,
    }


def _glyph(glyph: Glyph) -> dict[str, Any]:
    return {
        "digit": glyph.digit,
        "probability": float(glyph.probabilities[glyph.digit]),
        "novelty": glyph.novelty,
        "refused": glyph.refused,
        "box": glyph.box,
    }


def _names(quality: IntFlag) -> list[str]:
    return [(remark.name or "").lower() for remark in quality]


def _explanation(content: bytes) -> dict[str, Any]:
    response = digits_pb2.ExplainResponse.FromString(content)
    return {
        "prediction": _message(response.prediction, response.model_version),
        "pixels": b64encode(response.pixels).decode(),
        "layers": [_layer(layer) for layer in response.layers],
        "importance": _tensor(response.importance),
        **({"request_id": response.request_id} if response.request_id else {}),
    }


def _message(prediction: digits_pb2.Prediction, version: int) -> dict[str, Any]:
    refusal, quality = digits_pb2.Refusal, digits_pb2.Quality
    return {
        "digit": prediction.digit,
        "probability": prediction.probability,
        "probabilities": list(prediction.probabilities),
        "novelty": prediction.novelty,
        "refused": prediction.refused,
        "refusal": refusal.Name(prediction.refusal).removeprefix("REFUSAL_").lower() if prediction.refused else None,
        "quality": [quality.Name(each).removeprefix("QUALITY_").lower() for each in prediction.quality],
        "model_version": version,
    }


def _layer(layer: digits_pb2.Layer) -> dict[str, Any]:
    tensors = ("kernel", "bias", "before_activation", "output")
    return {
        "name": layer.name,
        "kind": digits_pb2.Kind.Name(layer.kind).removeprefix("KIND_").lower(),
        "inputs": list(layer.inputs),
        "kernel_size": list(layer.kernel_size),
        "strides": list(layer.strides),
        "padding": list(layer.padding),
        **{name: _tensor(getattr(layer, name)) if layer.HasField(name) else None for name in tensors},
    }


def _tensor(tensor: digits_pb2.Tensor) -> dict[str, Any]:
    """Returns the values as base64 of 4 bytes each: a JSON list would be three times as long, and rounded."""
    return {"shape": list(tensor.shape), "float32": b64encode(tensor.values).decode()}
