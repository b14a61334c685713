"""A gRPC call as the contracts see it, and the methods that an engine runs: nothing here knows how a call arrives.

1. An engine lets a method see each call as it arrives, which may refuse it before its message is read. Then it begins
   the method: a unary one with its message, a stream without.
2. A call ends exactly once: by respond(), finish() or fail(), or because its client left or its deadline passed. What
   comes after the end is ignored, so a method need not look whether somebody still waits.
3. `on_cancel` runs when the client or the deadline ended the call first; `observer` sees every end, with its status.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

import grpc

from serving.api.request_ids import REQUEST_ID
from serving.auth.api_keys import Caller
from serving.traces.request_trace import RequestTrace

Metadata = Iterable[tuple[str, str | bytes]]
Kind = Literal["unary", "server_stream", "bidi_stream"]
CERTIFICATE = "x509_pem_cert"  # gRPC's name of the client's certificate, in its context of a connection
OK = grpc.StatusCode.OK
CANCELLED = grpc.StatusCode.CANCELLED.name


# A client's deadline passes a little before the server's, which counts from the call's arrival. So a client that gives
# up at its deadline may be heard early: by up to 7 ms on two cores with ten busy processes.
_EARLY_SECONDS = 0.02


def _nothing() -> None:
    """Stands for "nothing is to be done when the call is cancelled"."""


def _ignore(_: object) -> None:
    """Stands for "nothing is to be done when a call arrives"."""


class Observer(Protocol):
    """Sees how calls end."""

    def ended(self, call: "Call", code: grpc.StatusCode) -> None:
        """Runs once for each call, after its status was sent."""


class Call(ABC):
    """One call. Belongs to the event loop's thread."""

    __slots__ = (
        *("begun", "caller", "deadline", "is_over", "observer", "on_cancel"),
        *("request_id", "trace", "trailing_metadata", "wants_stage_times"),
    )

    caller: Caller  # set by the authenticator, before the method's own code runs
    begun: float  # time.perf_counter() when the observer first saw the call

    def __init__(self, deadline: float) -> None:
        """`deadline`: in time.monotonic() seconds, infinity when there is none."""
        self.deadline = deadline
        self.is_over = False
        self.trailing_metadata: tuple[tuple[str, str], ...] = ()
        self.request_id = ""  # empty: the call has none
        self.wants_stage_times = False
        self.trace: RequestTrace | None = None  # of a sampled call
        self.on_cancel: Callable[[], object] = _nothing
        self.observer: Observer | None = None

    @abstractmethod
    def peer(self) -> str:
        """Returns the connection's address, such as `ipv4:127.0.0.1:40000`."""

    @abstractmethod
    def invocation_metadata(self) -> Metadata:
        """Returns the request's metadata as pairs of a lower-case name and a value."""

    def peer_certificate(self) -> bytes | None:
        """Returns the certificate that the client has shown in TLS, in PEM; None where it has shown none."""
        return None

    @abstractmethod
    async def read(self) -> bytes | None:
        """Returns the next message of a stream; None when the client sends no more."""

    @abstractmethod
    async def write(self, message: bytes) -> None:
        """Sends a message of a stream; returns when the client's flow control lets more through. One at a time."""

    @abstractmethod
    def _send(self, code: grpc.StatusCode, details: str, message: bytes | None) -> None:
        """Sends a unary call's message, if any, and its status with the trailing metadata."""

    def identify(self, request_id: str) -> None:
        """Gives the call an id, which its trailing metadata returns. Call it once."""
        self.request_id = request_id
        self.trailing_metadata += ((REQUEST_ID, request_id),)

    def respond(self, message: bytes) -> None:
        """Ends a unary call with its response."""
        if not self.is_over:
            self._send(OK, "", message)
            self._end(OK)

    def finish(self, code: grpc.StatusCode = OK, details: str = "") -> None:
        """Ends the call without a message."""
        if not self.is_over:
            self._send(code, details, None)
            self._end(code)

    def cancelled(self) -> None:
        """Notes that the client left, the deadline passed or the server stops. Called by the engine."""
        if not self.is_over:
            is_late, on_cancel = self.deadline <= time.monotonic() + _EARLY_SECONDS, self.on_cancel
            self._end(grpc.StatusCode.DEADLINE_EXCEEDED if is_late else grpc.StatusCode.CANCELLED)
            on_cancel()

    def run(self, work: Awaitable[None]) -> None:
        """Runs a coroutine that ends this call. It is cancelled when the call is.

        Where it raises, or leaves the call open, the call ends as INTERNAL and the event loop's handler gets the error.
        """
        task = asyncio.ensure_future(work)
        self.on_cancel = task.cancel
        task.add_done_callback(self._ran)

    def _ran(self, task: "asyncio.Future[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error or not self.is_over:
            context = {"exception": error} if error else {}
            task.get_loop().call_exception_handler({"message": "a call's coroutine failed or left it open", **context})
        self.finish(grpc.StatusCode.INTERNAL, "internal error; the server's log has the details")

    def _end(self, code: grpc.StatusCode) -> None:
        self.is_over = True
        self.on_cancel = _nothing  # it leads back to this call, which only the garbage collector would free then
        if self.observer is not None:
            self.observer.ended(self, code)


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC. Its functions must not raise.

    `begin`: takes the call and, for a unary one or a server stream, its message. `arrive`: sees the call before that,
    and may end it.
    """

    service: str
    name: str
    kind: Kind
    begin: Callable[[Call, bytes], None]
    arrive: Callable[[Call], object] = _ignore

    @property
    def path(self) -> str:
        """Path of HTTP/2's request."""
        return f"/{self.service}/{self.name}"
