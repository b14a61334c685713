"""Bodies of requests, read within limits on their length, their time and all of them together, and unpacked."""

import asyncio
import zlib

from starlette.requests import ClientDisconnect, Request

from serving.core.admission import Admission

BODY_SECONDS = 10.0  # for a body to arrive: a client that sends a byte a minute must not hold its place
MAX_BYTES_HELD = 64 * 2**20  # of bodies that are being read or answered, of all clients together
DISCARDED_FACTOR = 8  # times the longest body: so much of a longer one is read, so that its client sees the response
LONGEST_ON_LOOP = 1024  # of a packed body: it may hold a thousand times as much
LONGEST_JSON = 512 * 1024  # whoever parses it holds the interpreter meanwhile: it bounds what other calls wait
# Of JSON. Half a megabyte of empty lists takes 50 ms to parse, of numbers 5. The innermost lists of a request hold a
# number each at least: "[0],".
FEWEST_BYTES_A_LIST = 3.5
SHORT_JSON = 4096  # whatever it holds is parsed in no time
WINDOW = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}  # zlib's name for each Content-Encoding


class RefusedError(Exception):
    """Refusal of a request for what HTTP alone knows: an HTTP status, the code that gRPC would use, a message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Bodies:
    """Bodies of all requests of this process."""

    def __init__(self, longest: int) -> None:
        """`longest`: body of any request, in bytes."""
        # Bytes are counted by client address, not by connection: one client can open many connections.
        self._held = Admission(max(MAX_BYTES_HELD, 2 * longest))

    def release(self, request: Request, body: bytearray) -> None:
        """Gives the room of a body back: call it when the request has been answered, however read() has ended."""
        if body:  # exactly what read() admitted, also where it gave up half-way
            self._held.release(_host(request), len(body))

    async def read(self, request: Request, body: bytearray, longest: int) -> None:
        """Reads the body into `body`, the only copy of it. Raises RefusedError or ClientDisconnect."""
        host, length = _host(request), int(header(request, b"content-length", "0"))  # the parser has checked it
        is_too_long = length > longest
        if length > longest * DISCARDED_FACTOR:
            raise _too_long(longest)
        discarded = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                has_more = True
                while has_more:
                    message = await request.receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    chunk, has_more = message.get("body", b""), message.get("more_body", False)
                    if is_too_long or len(body) + len(chunk) > longest:
                        is_too_long, discarded = True, discarded + len(chunk)
                        if discarded > longest * DISCARDED_FACTOR:
                            break
                    elif chunk and not self._held.admit(host, len(chunk)):
                        raise RefusedError(429, "RESOURCE_EXHAUSTED", "too many bodies are being read; try again soon")
                    else:
                        body += chunk
        except TimeoutError:
            late = f"the body did not come within {BODY_SECONDS:g} seconds"
            raise RefusedError(408, "DEADLINE_EXCEEDED", late) from None
        if is_too_long:
            raise _too_long(longest)

    async def unpack(self, request: Request, body: bytearray, longest: int) -> bytes:
        """Returns the body without its Content-Encoding, counted as it is then. Raises RefusedError."""
        encoding = header(request, b"content-encoding", "identity").lower()
        if encoding == "identity":
            return bytes(body)
        if encoding not in WINDOW:
            raise RefusedError(415, "INVALID_ARGUMENT", "the body's Content-Encoding may be gzip or deflate, or none")
        if len(body) > LONGEST_ON_LOOP:
            content = await asyncio.to_thread(_unpacked, encoding, bytes(body), longest)
        else:
            content = _unpacked(encoding, body, longest)
        more = len(content) - len(body)
        if more > 0 and not self._held.admit(_host(request), more):
            raise RefusedError(429, "RESOURCE_EXHAUSTED", "too many bodies are being read; try again soon")
        if more < 0:
            self._held.release(_host(request), -more)
        body[:] = content  # release() gives back its length
        return content


def header(request: Request, name: bytes, default: str) -> str:
    """Returns a header. Without the object that Starlette makes for all of them."""
    for key, value in request.scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return default


def is_mostly_brackets(text: bytes) -> bool:
    """Returns True for JSON that holds more lists and objects than any request does."""
    return len(text) > SHORT_JSON and (text.count(b"[") + text.count(b"{")) * FEWEST_BYTES_A_LIST > len(text)


def _host(request: Request) -> str:
    client = request.scope["client"]
    return str(client[0]) if client else ""


def _too_long(longest: int) -> RefusedError:
    return RefusedError(413, "INVALID_ARGUMENT", f"the body is longer than {longest} bytes")


def _unpacked(encoding: str, body: bytes | bytearray, longest: int) -> bytes:
    unpacker = zlib.decompressobj(WINDOW[encoding])
    try:
        content = unpacker.decompress(body, longest + 1)  # bounded: a body of megabytes could hold gigabytes
    except zlib.error as error:
        raise RefusedError(400, "INVALID_ARGUMENT", f"the body is no {encoding}: {error}") from error
    if len(content) > longest:
        raise _too_long(longest)
    if not unpacker.eof or unpacker.unused_data:
        raise RefusedError(400, "INVALID_ARGUMENT", f"the body's {encoding} is cut off, or something follows it")
    return content
