"""A way of asking a server for digits: address, headers, request and answer as bytes."""

from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPConnection

import grpc
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

GRPC_HEADERS = {"content-type": "application/grpc", "te": "trailers"}


class AskError(Exception):
    """A server did not answer, or not with digits."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """`request` makes the body for pixels (n, 784) uint8; `digits` reads the n digits from an answer's body."""

    name: str
    path: str
    request: Callable[[Pixels], bytes]
    digits: Callable[[bytes], list[int]]
    is_grpc: bool = True
    content_type: str = "application/grpc"

    def body(self, pixels: Pixels) -> bytes:
        """The request as it goes into HTTP: a gRPC message is framed."""
        message = self.request(pixels)
        return framed(message) if self.is_grpc else message

    def ask(self, port: int, pixels: Pixels, timeout_seconds: float = 10.0) -> bytes:
        """The answer's message. Raises AskError unless the server answers with OK (gRPC) or 200 (HTTP/1.1)."""
        content = self.request(pixels)
        asked = _ask_grpc if self.is_grpc else _ask_http
        return asked(self, port, content, timeout_seconds)

    def read(self, port: int, pixels: Pixels, timeout_seconds: float = 10.0) -> list[int]:
        """The digits that the server reads. Raises AskError."""
        answer = self.ask(port, pixels, timeout_seconds)
        try:
            return self.digits(answer)
        except (ValueError, LookupError) as error:
            raise AskError(f"{self.name}: an answer of {len(answer)} bytes that holds no digits: {error!r}") from error


def framed(message: bytes) -> bytes:
    """gRPC's frame around an uncompressed message."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def _ask_grpc(protocol: Protocol, port: int, content: bytes, timeout_seconds: float) -> bytes:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(protocol.path)
        try:
            answer = call(content, timeout=timeout_seconds)
        except grpc.RpcError as error:
            raise AskError(f"{protocol.path}: {error.code().name}: {error.details()}") from error
    return answer


def _ask_http(protocol: Protocol, port: int, content: bytes, timeout_seconds: float) -> bytes:
    connection = HTTPConnection("127.0.0.1", port, timeout=timeout_seconds)
    try:
        connection.request("POST", protocol.path, content, {"content-type": protocol.content_type})
        response = connection.getresponse()
        answer = response.read()
    except OSError as error:
        raise AskError(f"{protocol.path}: {error!r}") from error
    finally:
        connection.close()
    if response.status != 200:
        raise AskError(f"{protocol.path}: HTTP {response.status}: {answer[:200]!r}")
    return answer
