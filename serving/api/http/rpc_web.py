"""gRPC's unary methods for browsers: gRPC-Web and Connect, spoken on the HTTP port.

1. Each unary method is at its gRPC path, `POST /package.Service/Method`, and runs as a gRPC call does: the same
   authentication, counts and statuses. Only the frame around its message differs.
2. gRPC-Web (`application/grpc-web`, or `-text` for base64): a frame for the message and one for the trailers.
3. Connect (`application/proto`, `application/json`): the message alone; an error is a status of HTTP and JSON.
4. Streams are not there: a browser has none in both directions.
"""

import asyncio
import base64
import binascii
import struct
import time
from collections.abc import Sequence
from urllib.parse import quote

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from serving.api.engine.call import NO_DEADLINE, OK, Call, Metadata, Method
from serving.api.http.application import Endpoint, Route, error_response, json_response
from serving.api.http.bodies import Bodies, RefusedError, header, unpacked
from serving.api.http.calls import HTTP_STATUS, Origin, refuse_plain_text

_FRAME = struct.Struct(">BI")  # flags and length, before a message or the trailers
_TRAILERS = 0x80  # flag
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}  # of grpc-timeout
_CONNECT_CODES = {code: "canceled" if code.name == "CANCELLED" else code.name.lower() for code in grpc.StatusCode}
_Types = tuple[type[Message], type[Message]]  # of a method's request and response
_Outcome = tuple[grpc.StatusCode, str, bytes | None]


class WebRpcs:
    """Routes of unary methods."""

    def __init__(
        self,
        methods: Sequence[Method],
        services: Sequence[ServiceDescriptor],
        bodies: Bodies,
        longest: int,
        is_closed: bool,
    ) -> None:
        """`services`: of the methods; Connect's JSON needs their messages' types.

        `longest`: body in bytes. `is_closed`: refuses every call, since gRPC requires TLS here.
        """
        self._methods = [method for method in methods if method.kind == "unary"]
        self._types = {
            f"/{service.full_name}/{method.name}": (
                GetMessageClass(method.input_type),
                GetMessageClass(method.output_type),
            )
            for service in services
            for method in service.methods
        }
        self._bodies = bodies
        self._longest = longest
        self._is_closed = is_closed

    def routes(self) -> list[Route]:
        """Returns the routes."""
        return [
            Route("POST", method.path, refuse_plain_text if self._is_closed else self._endpoint(method))
            for method in self._methods
        ]

    def _endpoint(self, method: Method) -> Endpoint:
        types = self._types[method.path]

        async def answer(request: Request) -> Response:
            body = bytearray()
            try:
                await self._bodies.read(request, body, self._longest)
                content_type = header(request, b"content-type", "").partition(";")[0].strip().lower()
                content = unpacked(request, body, self._longest)
                if content_type.startswith("application/grpc-web"):
                    return await _grpc_web(method, request, content_type, content)
                if content_type in ("application/proto", "application/json"):
                    return await _connect(method, types, request, content_type, content)
            except RefusedError as error:
                return error_response(error.status, error.code, str(error))
            except ClientDisconnect:
                return Response(status_code=499)  # nobody reads it
            finally:
                self._bodies.release(request, body)
            return error_response(
                415,
                "INVALID_ARGUMENT",
                "the Content-Type is application/grpc-web+proto or application/grpc-web-text (gRPC-Web),"
                " application/proto or application/json (Connect)",
            )

        return answer


class _WebCall(Call):
    """A unary call that came by HTTP. `outcome`: its status, details and message."""

    __slots__ = ("_origin", "_request", "outcome")

    def __init__(self, request: Request) -> None:
        super().__init__(_deadline(request))
        self._request = request
        self._origin = Origin(request)
        self.outcome: asyncio.Future[_Outcome] = asyncio.get_running_loop().create_future()

    def peer(self) -> str:
        return self._origin.peer()

    def invocation_metadata(self) -> Metadata:
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self._request.scope["headers"]]

    async def read(self) -> bytes | None:
        raise NotImplementedError("a unary call has one message")

    async def write(self, message: bytes) -> None:
        raise NotImplementedError("a unary call has one response")

    def _send(self, code: grpc.StatusCode, details: str, message: bytes | None) -> None:
        if not self.outcome.done():
            self.outcome.set_result((code, details, message))


async def _run(method: Method, call: _WebCall, message: bytes) -> _Outcome:
    """Runs a call to its end, or to its deadline."""
    method.arrive(call)
    if not call.is_over:
        method.begin(call, message)
    left = None if call.deadline == NO_DEADLINE else max(0.0, call.deadline - time.monotonic())
    try:
        async with asyncio.timeout(left):
            return await call.outcome
    except TimeoutError:
        call.cancelled()
        return grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", None
    except asyncio.CancelledError:  # the client has left
        call.cancelled()
        raise


async def _grpc_web(method: Method, request: Request, content_type: str, content: bytes) -> Response:
    is_text = content_type.startswith("application/grpc-web-text")
    call = _WebCall(request)
    code, details, answer = await _run(method, call, _framed_message(content, is_text=is_text))
    frames = [] if answer is None else [_FRAME.pack(0, len(answer)), answer]
    fields = [("grpc-status", str(code.value[0])), *call.trailing_metadata]
    if details:
        fields.insert(1, ("grpc-message", quote(details, safe=" !#$&'()*+,/:;=?@[]\"<>^`{|}~")))
    trailers = "".join(f"{name}:{value}\r\n" for name, value in fields).encode()
    body = b"".join([*frames, _FRAME.pack(_TRAILERS, len(trailers)), trailers])
    return Response(base64.b64encode(body) if is_text else body, media_type=content_type)


def _framed_message(content: bytes, *, is_text: bool) -> bytes:
    """Returns the one message of a request. Raises RefusedError."""
    if is_text:
        try:
            content = base64.b64decode(content, validate=True)
        except binascii.Error as error:
            raise RefusedError(400, "INVALID_ARGUMENT", f"the body is no base64: {error}") from error
    flags, length = _FRAME.unpack_from(content) if len(content) >= _FRAME.size else (0, -1)
    if flags or length != len(content) - _FRAME.size:
        raise RefusedError(
            400,
            "INVALID_ARGUMENT",
            "the body is one frame of gRPC-Web: a byte 0, the length in four bytes, the message",
        )
    return content[_FRAME.size :]


async def _connect(method: Method, types: _Types, request: Request, content_type: str, content: bytes) -> Response:
    is_json, call = content_type == "application/json", _WebCall(request)
    if is_json:
        content = _from_json(content, types[0]())
    code, details, answer = await _run(method, call, content)
    headers = {f"trailer-{name}": value for name, value in call.trailing_metadata}
    if code is not OK or answer is None:
        document = {"code": _CONNECT_CODES[code], "message": details}
        return json_response(document, HTTP_STATUS.get(code.name, 500), headers)
    if is_json:
        answer = json_format.MessageToJson(types[1].FromString(answer), indent=None).encode()
    return Response(answer, 200, headers, content_type)


def _from_json(content: bytes, message: Message) -> bytes:
    try:
        json_format.Parse(content, message, max_recursion_depth=20)
    except (json_format.ParseError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(
            400, "INVALID_ARGUMENT", f"the body is no JSON of the message: {str(error)[:200]}"
        ) from error
    return message.SerializeToString()


def _deadline(request: Request) -> float:
    """Returns the deadline that gRPC-Web's or Connect's header sets, in time.monotonic() seconds."""
    seconds = None
    if text := header(request, b"connect-timeout-ms", ""):
        seconds = int(text) / 1000 if text.isascii() and text.isdecimal() and len(text) <= 10 else None
    elif text := header(request, b"grpc-timeout", ""):
        number, unit = text[:-1], _UNITS.get(text[-1:])
        if unit and number.isascii() and number.isdecimal() and len(number) <= 8:
            seconds = int(number) * unit
    return NO_DEADLINE if seconds is None else time.monotonic() + seconds
