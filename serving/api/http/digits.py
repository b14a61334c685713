"""`POST /v1/classify` and `/v1/explain`: a picture or 784 pixels in the body, JSON back; for clients without gRPC.

A body becomes the request that a gRPC client would send. So limits, keys and errors are those of gRPC.
"""

import asyncio
import json
import math
from base64 import b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from google.protobuf.message import Message

from protos.mnist.v1 import digits_pb2
from serving.api.forwarding import ForwardedRequest, ForwardedResponse, Method
from serving.api.status import ErrorStatus
from serving.core.admission import Admission

Forward = Callable[[ForwardedRequest], Awaitable[ForwardedResponse]]

CLASSIFY_PATH, EXPLAIN_PATH = "/v1/classify", "/v1/explain"
PIXELS = 784  # not from serving.predictions: the supervisor loads no NumPy
BODY_SECONDS = 10.0  # for a body to arrive: a client that sends a byte a minute must not hold its place
ANSWER_SECONDS = 30.0  # deadline of a request: HTTP has none of its own
WRITE_SECONDS = 30.0  # for a client to read its response
MAX_BYTES_HELD = 64 * 2**20  # of bodies that are being read or answered, of all clients together
LARGEST_VERSION = 2**63 - 1
# HTTP statuses of gRPC codes, as google.rpc.Code maps them.
HTTP_STATUS = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
    "INTERNAL": 500,
}
_SIGNATURES = (
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"BM",
    b"RIFF",
    b"II*\0",
    b"MM\0*",
)  # a picture file may be 784 bytes long, too
_OPENAPI = Path(__file__).with_name("openapi.json")


class DigitRoutes:
    """HTTP routes that answer through `forward`. `max_image_bytes`: longest body accepted."""

    def __init__(self, forward: Forward, max_image_bytes: int) -> None:
        self._forward = forward
        self._longest = max(max_image_bytes, PIXELS)
        # Bytes are counted by client address, not by connection: one client can open many connections.
        self._bodies = Admission(max(MAX_BYTES_HELD, 2 * self._longest))

    def routes(self) -> list[web.RouteDef]:
        """Returns the routes of both methods and of /v1/openapi.json."""
        return [
            web.post(CLASSIFY_PATH, self._classify),
            web.post(EXPLAIN_PATH, self._explain),
            web.get("/v1/openapi.json", self._describe),
        ]

    async def _describe(self, _: web.Request) -> web.StreamResponse:
        return web.Response(body=_OPENAPI.read_bytes(), content_type="application/json")

    async def _classify(self, request: web.Request) -> web.StreamResponse:
        def message(image: digits_pb2.Image) -> Message:
            version = _number(request, "model_version", LARGEST_VERSION)
            return digits_pb2.ClassifyRequest(images=[image], model_version=version)

        return await self._answer(request, "Classify", message, _classification)

    async def _explain(self, request: web.Request) -> web.StreamResponse:
        def message(image: digits_pb2.Image) -> Message:
            version = _number(request, "model_version", LARGEST_VERSION)
            without = not _number(request, "kernels", 1, default="1")
            return digits_pb2.ExplainRequest(image=image, model_version=version, without_kernels=without)

        return await self._answer(request, "Explain", message, _explanation)

    async def _answer(
        self,
        request: web.Request,
        method: Method,
        message: Callable[[digits_pb2.Image], Message],
        to_json: Callable[[bytes], dict[str, Any]],
    ) -> web.StreamResponse:
        content = bytearray()
        try:
            message(digits_pb2.Image())  # refuses a bad query before the body is read
            await self._read(request, content)
            serialised = message(_image(bytes(content))).SerializeToString()
            call = ForwardedRequest(method, serialised, ANSWER_SECONDS, _address(request), _keys(request))
            response = await self._forward(call)
            if isinstance(response, ErrorStatus):
                code = response.code.name
                return _error(HTTP_STATUS[code], code, response.message, response.retry_after_seconds)
            return await _written(request, to_json(response))
        except _RefusedError as error:
            return _error(error.status, error.code, error.message)
        finally:
            if content:  # exactly what _read() admitted, also where it gave up half-way
                self._bodies.release(_host(request), len(content))

    async def _read(self, request: web.Request, content: bytearray) -> None:
        """Reads the body into `content`, the only copy of it. Raises _RefusedError."""
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise _RefusedError(415, "INVALID_ARGUMENT", "the body must not have a Content-Encoding")
        if (request.content_length or 0) > self._longest:  # None where the body is chunked: counted below
            raise self._too_long()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in request.content.iter_any():
                    if len(content) + len(chunk) > self._longest:
                        raise self._too_long()
                    if chunk and not self._bodies.admit(_host(request), len(chunk)):
                        raise _RefusedError(429, "RESOURCE_EXHAUSTED", "too many bodies are being read; try again soon")
                    content += chunk
        except TimeoutError:
            raise _RefusedError(
                408, "DEADLINE_EXCEEDED", f"the body did not come within {BODY_SECONDS:g} seconds"
            ) from None

    def _too_long(self) -> "_RefusedError":
        return _RefusedError(413, "INVALID_ARGUMENT", f"the body is longer than {self._longest} bytes")


def closed_routes() -> list[web.RouteDef]:
    """Returns routes that refuse every request: the server requires TLS, which the HTTP port does not offer."""

    async def refuse(_: web.Request) -> web.Response:
        return _error(403, "PERMISSION_DENIED", "this server takes pictures by TLS alone, and so by gRPC alone")

    return [web.post(path, refuse) for path in (CLASSIFY_PATH, EXPLAIN_PATH)]


class _RefusedError(Exception):
    """Refusal of a request before it is forwarded: an HTTP status, the code that gRPC would use, a message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def _number(request: web.Request, name: str, largest: int, default: str = "0") -> int:
    """Returns the query parameter `name`, 0 to `largest`. Raises _RefusedError."""
    text = request.query.get(name, default)
    # Digits and length first: int() takes signs, underscores and other scripts, and time for very long texts.
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= largest):
        raise _RefusedError(400, "INVALID_ARGUMENT", f"{name}: expected a number, 0 to {largest}")
    return int(text)


def _image(content: bytes) -> digits_pb2.Image:
    """Makes the request's image of the body: 784 bytes that begin like no file are pixels, all else a file."""
    if len(content) == PIXELS and not content.startswith(_SIGNATURES):
        return digits_pb2.Image(pixels=content)
    return digits_pb2.Image(encoded=content)


async def _written(request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
    """Writes JSON, which may be megabytes long, and drops the connection of a client that does not read it."""
    content = json.dumps(document).encode()
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": str(len(content))})
    try:
        async with asyncio.timeout(WRITE_SECONDS):
            await response.prepare(request)
            await response.write(content)
            await response.write_eof()
    except TimeoutError:
        if request.transport:
            request.transport.abort()  # not close(), which would wait until the buffer is written
    return response


def _address(request: web.Request) -> str:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return f"http:{peer[0]}:{peer[1]}" if peer else "http:gone"


def _host(request: web.Request) -> str:
    return request.remote or ""


def _keys(request: web.Request) -> tuple[tuple[str, str], ...]:
    return tuple((name, request.headers[name]) for name in ("authorization", "x-api-key") if name in request.headers)


def _classification(content: bytes) -> dict[str, Any]:
    response = digits_pb2.ClassifyResponse.FromString(content)
    return _prediction(response.predictions[0], response.model_version)


def _prediction(prediction: digits_pb2.Prediction, version: int) -> dict[str, Any]:
    """Returns the fields of mnist.v1.Prediction and the model version, enumerations as lower-case names."""
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


def _explanation(content: bytes) -> dict[str, Any]:
    response = digits_pb2.ExplainResponse.FromString(content)
    return {
        "prediction": _prediction(response.prediction, response.model_version),
        "pixels": b64encode(response.pixels).decode(),
        "layers": [_layer(layer) for layer in response.layers],
        "importance": _tensor(response.importance),
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


def _error(status: int, code: str, message: str, retry_after_seconds: float | None = None) -> web.Response:
    headers = {}
    if retry_after_seconds is not None:
        headers["Retry-After"] = str(max(1, math.ceil(retry_after_seconds)))  # whole seconds, by RFC 9110
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"  # which RFC 9110 requires with 401
    body = json.dumps({"code": code, "message": message})
    return web.Response(status=status, text=body, content_type="application/json", headers=headers)
