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

from serving.api.engine.call import OK, Call, Metadata, Method
from serving.api.http.application import ID_KEY, Endpoint, Route, error_response, json_response
from serving.api.http.bodies import LONGEST_JSON, Bodies, RefusedError, header, is_mostly_brackets
from serving.api.http.calls import HTTP_STATUS, Origin, refuse_plain_text
from serving.core.batch_queue import NO_DEADLINE

_FRAME = struct.Struct(">BI")  # flags and length, before a message or the trailers
_TRAILERS = 0x80  # flag
_TEXT = "application/grpc-web-text"
_UNQUOTED = " !#$&'()*+,/:;=?@[]\"<>^`{|}~"  # of grpc-message: all that is printable but the percent sign
_TYPES_KNOWN = (
    "the Content-Type is application/grpc-web+proto or application/grpc-web-text (gRPC-Web),"
    " application/proto or application/json (Connect)"
)
LONGEST_ON_LOOP = 4 * 1024  # of JSON: protobuf parses it in Python, 3 ms for a kilobyte of {}
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
            content_type = header(request, b"content-type", "").partition(";")[0].strip().lower()
            if not content_type.startswith(("application/grpc-web", "application/proto", "application/json")):
                return error_response(415, "INVALID_ARGUMENT", _TYPES_KNOWN)
            call, body = _WebCall(request), bytearray()
            method.arrive(call)
            try:
                if not call.is_over:  # refused before its body is read: for its key, or since there is no room
                    await self._bodies.read(request, body, self._longest)
                    content = await self._bodies.unpack(request, body, self._longest)
                    method.begin(call, await _message(content_type, content, types[0]))
                return _response(content_type, *await call.until_over(), call.trailing_metadata, types[1])
            except RefusedError as error:
                call.finish(grpc.StatusCode.INVALID_ARGUMENT, str(error))
                return error_response(error.status, error.code, str(error))
            except ClientDisconnect:
                call.cancelled()
                return Response(status_code=499)  # nobody reads it
            except asyncio.CancelledError:  # the client has left
                call.cancelled()
                raise
            finally:
                self._bodies.release(request, body)

        return answer


class _WebCall(Call):
    """A unary call that came by HTTP. `outcome`: its status, details and message."""

    __slots__ = ("_origin", "_request", "outcome")

    def __init__(self, request: Request) -> None:
        super().__init__(_deadline(request))
        self._request = request
        self._origin = Origin(request)
        self.identify(request.scope[ID_KEY])
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

    async def until_over(self) -> _Outcome:
        """Waits for the call's end, or for its deadline."""
        left = None if self.deadline == NO_DEADLINE else max(0.0, self.deadline - time.monotonic())
        try:
            async with asyncio.timeout(left):
                return await self.outcome
        except TimeoutError:
            self.cancelled()
            return grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded", None


async def _message(content_type: str, content: bytes, request_type: type[Message]) -> bytes:
    """Returns the message of a request's body. Raises RefusedError."""
    if content_type.startswith("application/grpc-web"):
        return _framed_message(content, is_text=content_type.startswith(_TEXT))
    if content_type != "application/json":
        return content
    if len(content) > LONGEST_JSON:
        raise RefusedError(413, "INVALID_ARGUMENT", f"JSON is at most {LONGEST_JSON} bytes; send application/proto")
    if is_mostly_brackets(content):
        raise RefusedError(400, "INVALID_ARGUMENT", "the JSON holds hardly anything but brackets")
    if len(content) > LONGEST_ON_LOOP:
        return await asyncio.to_thread(_from_json, content, request_type())
    return _from_json(content, request_type())


def _response(
    content_type: str,
    code: grpc.StatusCode,
    details: str,
    answer: bytes | None,
    trailing: tuple[tuple[str, str], ...],
    response_type: type[Message],
) -> Response:
    if content_type.startswith("application/grpc-web"):
        return _grpc_web_response(content_type, code, details, answer, trailing)
    headers = {f"trailer-{name}": value for name, value in trailing}
    if code is not OK or answer is None:
        document = {"code": _CONNECT_CODES[code], "message": details}
        return json_response(document, HTTP_STATUS.get(code.name, 500), headers)
    if content_type == "application/json":
        answer = json_format.MessageToJson(response_type.FromString(answer), indent=None).encode()
    return Response(answer, 200, headers, content_type)


def _grpc_web_response(
    content_type: str, code: grpc.StatusCode, details: str, answer: bytes | None, trailing: tuple[tuple[str, str], ...]
) -> Response:
    frames = [] if answer is None else [_FRAME.pack(0, len(answer)), answer]
    message = [("grpc-message", quote(details, safe=_UNQUOTED))] if details else []
    fields = [("grpc-status", str(code.value[0])), *message, *trailing]
    trailers = "".join(f"{name}:{value}\r\n" for name, value in fields).encode()
    body = b"".join([*frames, _FRAME.pack(_TRAILERS, len(trailers)), trailers])
    return Response(base64.b64encode(body) if content_type.startswith(_TEXT) else body, media_type=content_type)


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
