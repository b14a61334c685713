"""`POST /v1/classify`: a picture or 784 pixels as the body, JSON back; for people without gRPC. Decides nothing itself.

What comes is made a question as gRPC's Classify would ask it, so that limits, keys and errors are the same.
"""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from protos.mnist.v1 import digits_pb2
from serving.error_status import ErrorStatus
from serving.question import Answer, Question

Ask = Callable[[Question], Awaitable[Answer]]

PATH = "/v1/classify"
PIXELS = 784  # not from where the model is: this process may be one that has none, nor NumPy
BODY_SECONDS = 10.0  # for a body to come
ANSWER_SECONDS = 30.0
MOST_BYTES_HELD = 64 * 2**20  # of bodies, of all callers together
LARGEST_VERSION = 2**63 - 1
# As google.rpc.Code maps them.
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
_SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"RIFF", b"II*\0", b"MM\0*")  # of pictures that are 784 bytes long
_OPENAPI = Path(__file__).with_name("openapi.json")


class HttpClassify:
    """The routes, over `ask`. `max_image_bytes`: longest body read."""

    def __init__(self, ask: Ask, max_image_bytes: int) -> None:
        self._ask = ask
        self._longest = max(max_image_bytes, PIXELS)
        self._held = 0

    def routes(self) -> list[web.RouteDef]:
        """/v1/classify and its description."""
        return [web.post(PATH, self._classify), web.get("/v1/openapi.json", self._describe)]

    async def _describe(self, _: web.Request) -> web.StreamResponse:
        return web.Response(body=_OPENAPI.read_bytes(), content_type="application/json")

    async def _classify(self, request: web.Request) -> web.Response:
        content = bytearray()
        try:
            version = _version(request.query.get("model_version", "0"))
            await self._read(request, content)
            question = Question(_message(bytes(content), version), ANSWER_SECONDS, _address(request), _keys(request))
            return _response(await self._ask(question))
        except _RefusedError as error:
            return _error(error.status, error.code, error.message)
        finally:
            self._held -= len(content)

    async def _read(self, request: web.Request, content: bytearray) -> None:
        """The body, into `content`, which is all that is held of it."""
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise _RefusedError(415, "INVALID_ARGUMENT", "the body must not have a Content-Encoding")
        if (request.content_length or 0) > self._longest:
            raise self._too_long()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in request.content.iter_any():
                    if len(content) + len(chunk) > self._longest:
                        raise self._too_long()
                    if self._held + len(chunk) > MOST_BYTES_HELD:
                        raise _RefusedError(429, "RESOURCE_EXHAUSTED", "too many bodies are being read; try again soon")
                    content += chunk
                    self._held += len(chunk)
        except TimeoutError:
            raise _RefusedError(
                408, "DEADLINE_EXCEEDED", f"the body did not come within {BODY_SECONDS:g} seconds"
            ) from None

    def _too_long(self) -> "_RefusedError":
        return _RefusedError(413, "INVALID_ARGUMENT", f"the body is longer than {self._longest} bytes")


def closed_routes() -> list[web.RouteDef]:
    """For a server that wants TLS, which the HTTP port has not."""

    async def refuse(_: web.Request) -> web.Response:
        return _error(403, "PERMISSION_DENIED", "this server takes pictures by TLS alone, and so by gRPC alone")

    return [web.post(PATH, refuse)]


class _RefusedError(Exception):
    """Why a request is answered without a question."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def _version(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= LARGEST_VERSION):
        raise _RefusedError(400, "INVALID_ARGUMENT", "model_version: expected a number, 0 or more")
    return int(text)


def _message(content: bytes, version: int) -> bytes:
    """The body as Classify has it: 784 bytes that begin like no picture are pixels."""
    if len(content) == PIXELS and not content.startswith(_SIGNATURES):
        image = digits_pb2.Image(pixels=content)
    else:
        image = digits_pb2.Image(encoded=content)
    return digits_pb2.ClassifyRequest(images=[image], model_version=version).SerializeToString()


def _address(request: web.Request) -> str:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return f"http:{peer[0]}:{peer[1]}" if peer else "http:gone"


def _keys(request: web.Request) -> tuple[tuple[str, str], ...]:
    return tuple((name, request.headers[name]) for name in ("authorization", "x-api-key") if name in request.headers)


def _response(answer: Answer) -> web.Response:
    if isinstance(answer, ErrorStatus):
        return _error(HTTP_STATUS[answer.code.name], answer.code.name, answer.message, answer.retry_after_seconds)
    response = digits_pb2.ClassifyResponse.FromString(answer)
    return web.json_response(_described(response.predictions[0], response.model_version))


def _described(prediction: digits_pb2.Prediction, version: int) -> dict[str, Any]:
    """The names of mnist.v1.Prediction, and its enumerations by name."""
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


def _error(status: int, code: str, message: str, retry_after_seconds: float | None = None) -> web.Response:
    headers = {}
    if retry_after_seconds is not None:
        headers["Retry-After"] = str(max(1, math.ceil(retry_after_seconds)))
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = json.dumps({"code": code, "message": message})
    return web.Response(status=status, text=body, content_type="application/json", headers=headers)
