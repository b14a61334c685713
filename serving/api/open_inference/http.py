"""The Open Inference Protocol over HTTP, version 2 as Triton and KServe speak it, and KServe's version 1.

Errors are `{"error": "..."}` with Triton's HTTP statuses. What gRPC's methods of the same names promise holds here too.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response

from protos.inference import open_inference_pb2 as protocol
from serving.api.http.application import Endpoint, Route, json_response
from serving.api.http.bodies import header
from serving.api.http.calls import ANSWER_SECONDS, HttpCalls
from serving.api.open_inference import json_codec
from serving.api.open_inference.codec import AcceptedModel
from serving.api.open_inference.description import model_config, model_metadata, server_metadata
from serving.api.open_inference.instances import parse_instances, predictions_of_instances
from serving.api.open_inference.operations import (
    NO_SETTINGS,
    NO_SHARED_MEMORY,
    NO_UNLOADING,
    OpenInferenceOperations,
)
from serving.api.open_inference.settings import LOG_SETTINGS, TRACE_SETTINGS
from serving.auth.api_keys import ADMIN, CLASSIFY, Caller
from serving.errors import InvalidRequestError, NotSupportedError

# Answers a request that has no caller to know, with its body.
Answer = Callable[[Request, bytes], Awaitable[Response]]
_MODEL = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")
LONGEST_ON_LOOP = 64 * 1024  # of JSON that is parsed without another thread
_HEADER_LENGTH = json_codec.HEADER_LENGTH.lower().encode()
_LONGEST_HEADER = 10  # digits of Inference-Header-Content-Length


def error_document(status: int, _: str, message: str, headers: dict[str, str]) -> Response:
    """Makes the response for a failure."""
    return json_response({"error": message}, status, headers)


class OpenInferenceEndpoints:
    """Endpoints of /v2 and /v1/models."""

    def __init__(self, operations: OpenInferenceOperations, calls: HttpCalls, longest: int) -> None:
        """`longest`: body in bytes."""
        self._operations = operations
        self._calls = calls
        self._longest = longest

    def routes(self) -> list[Route]:
        """Returns the routes."""
        infer = self._endpoint("ModelInfer", self._infer, CLASSIFY)
        predict = self._endpoint("Predict", self._predict, CLASSIFY)
        return [
            *(Route("POST", f"{path}/infer", infer) for path in _MODEL),
            Route("POST", "/v1/models/{name}:predict", predict),
            *self._descriptions(),
            *self._repository(),
            *self._settings(),
        ]

    def _descriptions(self) -> list[Route]:
        models = [
            ("", "ModelMetadata", self._metadata),
            ("/config", "ModelConfig", self._config),
            ("/ready", "ModelReady", self._ready),
            ("/stats", "ModelStatistics", self._statistics),
        ]
        return [
            Route("GET", "/v2", self._open("ServerMetadata", self._server)),
            Route("GET", "/v2/health/live", self._open("ServerLive", self._live)),
            Route("GET", "/v2/health/ready", self._open("ServerReady", self._server_ready)),
            Route("GET", "/v2/models/stats", self._open("ModelStatistics", self._statistics)),
            *(Route("GET", path + end, self._open(name, of)) for path in _MODEL for end, name, of in models),
            Route("GET", "/v1/models", self._open("ListModels", self._list)),
            Route("GET", "/v1/models/{name}", self._open("ModelReady", self._ready_v1)),
        ]

    def _repository(self) -> list[Route]:
        path = "/v2/repository/models/{name}"
        routes = [
            Route("POST", "/v2/repository/index", self._open("RepositoryIndex", self._index)),
            Route("POST", f"{path}/unload", self._refusing("RepositoryModelUnload", NO_UNLOADING)),
        ]
        if self._operations.has_administration:
            routes.append(Route("POST", f"{path}/load", self._endpoint("RepositoryModelLoad", self._load, ADMIN)))
        return routes

    def _settings(self) -> list[Route]:
        trace = self._open("TraceSetting", partial(self._setting, TRACE_SETTINGS))
        log = self._open("LogSettings", partial(self._setting, LOG_SETTINGS))
        paths = [("/v2/logging", log), ("/v2/trace/setting", trace), ("/v2/models/{name}/trace/setting", trace)]
        routes = [Route(method, path, endpoint) for path, endpoint in paths for method in ("GET", "POST")]
        for kind in ("systemsharedmemory", "cudasharedmemory"):
            for path in (f"/v2/{kind}", f"/v2/{kind}/region/{{region}}"):
                routes.append(Route("GET", f"{path}/status", self._open("SharedMemoryStatus", self._no_regions)))
                routes.append(Route("POST", f"{path}/unregister", self._open("SharedMemoryUnregister", self._done)))
            register = self._refusing("SharedMemoryRegister", NO_SHARED_MEMORY)
            routes.append(Route("POST", f"/v2/{kind}/region/{{region}}/register", register))
        return routes

    def _endpoint(
        self, name: str, handler: Callable[[Request, bytes, Caller], Awaitable[Response]], scope: str | None
    ) -> Endpoint:
        return self._calls.endpoint(name, handler, scope, lambda _: self._longest, error_document)

    def _open(self, name: str, answer: Answer) -> Endpoint:
        """Makes an endpoint that any caller may use."""

        async def handler(request: Request, body: bytes, _: Caller) -> Response:
            return await answer(request, body)

        return self._endpoint(name, handler, None)

    def _refusing(self, name: str, why: str) -> Endpoint:
        async def refuse(_: Request, __: bytes) -> Response:
            raise NotSupportedError(why)

        return self._open(name, refuse)

    async def _infer(self, request: Request, body: bytes, caller: Caller) -> Response:
        began, is_answered = time.perf_counter(), False
        try:
            model = self._operations.model()
            name, version = request.path_params["name"], request.path_params.get("version", "")
            length = _header_length(request)
            parse = partial(json_codec.parse_json_infer, body, length, name, version, model)
            is_long = (len(body) if length is None else length) > LONGEST_ON_LOOP
            parsed = await asyncio.to_thread(parse) if is_long else parse()
            until = time.monotonic() + ANSWER_SECONDS
            predictions = await self._operations.infer(parsed.request, caller, until)
            encoded = time.perf_counter()
            content, length = json_codec.json_infer_response(parsed, model.name, predictions)
            self._operations.totals.add_stages(predictions, time.perf_counter() - encoded)
            is_answered = True
        finally:
            self._operations.totals.add(time.perf_counter() - began, is_answered)
        if length is None:
            return Response(content, media_type="application/json")
        return Response(content, 200, {json_codec.HEADER_LENGTH: str(length)}, "application/octet-stream")

    async def _predict(self, request: Request, body: bytes, caller: Caller) -> Response:
        model = self._checked(request)
        images = await asyncio.to_thread(lambda: parse_instances(json_codec.loads(body), model.max_images))
        predictions = await self._operations.classify(images, caller, time.monotonic() + ANSWER_SECONDS)
        return json_response({"predictions": predictions_of_instances(predictions)})

    def _checked(self, request: Request) -> AcceptedModel:
        return self._operations.checked(request.path_params["name"], request.path_params.get("version", ""))

    async def _server(self, _: Request, __: bytes) -> Response:
        return _message(server_metadata())

    # Triton's clients read the status, and KServe's the document.
    async def _live(self, _: Request, __: bytes) -> Response:
        return json_response({"live": True})

    async def _server_ready(self, _: Request, __: bytes) -> Response:
        is_ready = self._operations.model_if_ready() is not None
        return json_response({"ready": is_ready}, 200 if is_ready else 503)

    async def _ready(self, request: Request, _: bytes) -> Response:
        name, version = request.path_params["name"], request.path_params.get("version", "")
        is_ready = self._operations.is_ready(name, version)
        return json_response({"name": name, "ready": is_ready}, 200 if is_ready else 400)  # 400: as Triton says it

    async def _ready_v1(self, request: Request, _: bytes) -> Response:
        model = self._checked(request)
        return json_response({"name": model.name, "ready": True})

    async def _list(self, _: Request, __: bytes) -> Response:
        model = self._operations.model_if_ready()
        return json_response({"models": [model.name] if model else []})

    async def _metadata(self, request: Request, _: bytes) -> Response:
        return _message(model_metadata(self._checked(request)))

    async def _config(self, request: Request, _: bytes) -> Response:
        return json_response(_document(model_config(self._checked(request)))["config"])

    async def _statistics(self, request: Request, _: bytes) -> Response:
        name, version = request.path_params.get("name", ""), request.path_params.get("version", "")
        return _message(await self._operations.statistics(name, version))

    async def _index(self, _: Request, body: bytes) -> Response:
        wish = json_codec.loads(body) if body.strip() else {}
        index = self._operations.index(isinstance(wish, dict) and wish.get("ready") is True)
        return json_response(_document(index).get("models", []))

    async def _load(self, request: Request, body: bytes, _: Caller) -> Response:
        document = json_codec.loads(body) if body.strip() else {}
        parameters = document.get("parameters") if isinstance(document, dict) else None
        if not isinstance(parameters or {}, dict):
            raise InvalidRequestError("`parameters` is a JSON object")
        await self._operations.load(request.path_params["name"], list(parameters or {}))
        return Response()

    async def _setting(self, settings: dict[str, Any], request: Request, body: bytes) -> Response:
        if request.method == "POST" and body.strip() and json_codec.loads(body):
            raise NotSupportedError(NO_SETTINGS)
        return json_response(settings)

    async def _no_regions(self, _: Request, __: bytes) -> Response:
        return json_response([])

    async def _done(self, _: Request, __: bytes) -> Response:
        return Response()


def _header_length(request: Request) -> int | None:
    text = header(request, _HEADER_LENGTH, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST_HEADER):
        raise InvalidRequestError(f"{json_codec.HEADER_LENGTH} is a number of bytes")
    return int(text)


def _message(message: Message) -> Response:
    return json_response(_document(message))


def _document(message: Message) -> dict[str, Any]:
    """Returns a message as JSON has it in Triton's REST form: its own names, and numbers as numbers."""
    document: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    numbers: dict[str, Any] = _with_numbers(document)
    return numbers


def _with_numbers(value: Any, key: str = "") -> Any:
    """Turns the texts that protobuf makes of 64-bit numbers back into numbers, except where a text is meant."""
    if isinstance(value, dict):
        return {name: _with_numbers(each, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_numbers(each, key) for each in value]
    return int(value) if key in _NUMBERS and isinstance(value, str) else value


_NUMBERS = {
    field.name
    for message in protocol.DESCRIPTOR.message_types_by_name.values()
    for field in message.fields
    if field.type in (field.TYPE_INT64, field.TYPE_UINT64)
} | {"shape"}
