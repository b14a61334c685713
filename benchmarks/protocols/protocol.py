"""A contract by which a server classifies digits: path, headers, and how to write requests and read responses."""

from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection

import grpc
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

GRPC_HEADERS = {"content-type": "application/grpc", "te": "trailers"}
GRPC_PREFIX_BYTES = 5


class RequestError(Exception):
    """A request failed: no response, an error status, or a response without digits."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """One contract. Pixels are (n, 784) uint8, 0 = paper, 255 = ink.

    `request` makes a request's message from pixels; `digits` reads the n digits from a response's message.
    """

    name: str
    path: str
    request: Callable[[Pixels], bytes]
    digits: Callable[[bytes], list[int]]
    is_grpc: bool = True
    content_type: str = "application/grpc"
    headers: tuple[tuple[str, str], ...] = ()  # of HTTP, beyond the Content-Type
    carries_pictures: bool = False  # one file a request, which shows one digit

    def body(self, pixels: Pixels) -> bytes:
        """The body of the HTTP request: the message, with gRPC's prefix where the protocol is gRPC."""
        message = self.request(pixels)
        return grpc_message(message) if self.is_grpc else message

    def call(self, port: int, pixels: Pixels, timeout_seconds: float = 10.0) -> bytes:
        """Sends one request to a port of the loopback and returns the response's message.

        Raises RequestError unless the status is OK (gRPC) or 200 (HTTP/1.1).
        """
        message = self.request(pixels)
        send = _call_grpc if self.is_grpc else _call_http
        return send(self, port, message, timeout_seconds)

    def classify(self, port: int, pixels: Pixels, timeout_seconds: float = 10.0) -> list[int]:
        """The digits in the response to one request. Raises RequestError."""
        response = self.call(port, pixels, timeout_seconds)
        try:
            return self.digits(response)
        except (ValueError, LookupError) as error:
            raise RequestError(f"{self.name}: no digits in a response of {len(response)} bytes: {error!r}") from error


def grpc_message(message: bytes) -> bytes:
    """An uncompressed message with gRPC's prefix of five bytes: a flag and the length."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def _call_grpc(protocol: Protocol, port: int, message: bytes, timeout_seconds: float) -> bytes:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(protocol.path)
        try:
            response = method(message, timeout=timeout_seconds)
        except grpc.RpcError as error:
            raise RequestError(f"{protocol.path}: {error.code().name}: {error.details()}") from error
    return response


def _call_http(protocol: Protocol, port: int, message: bytes, timeout_seconds: float) -> bytes:
    connection = HTTPConnection("127.0.0.1", port, timeout=timeout_seconds)
    try:
        headers = {"content-type": protocol.content_type, **dict(protocol.headers)}
        connection.request("POST", protocol.path, message, headers)
        response = connection.getresponse()
        content = response.read()
    except OSError as error:
        raise RequestError(f"{protocol.path}: {error!r}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise RequestError(f"{protocol.path}: HTTP {response.status}: {content[:200]!r}")
    return content
