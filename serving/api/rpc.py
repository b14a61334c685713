"""A handler becomes an RPC that is counted and timed, and whose exceptions become statuses. Knows no message."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, NoReturn, Protocol, TypeVar

import grpc

from serving.api.access_log import AccessLog
from serving.api.status import REASONS, ErrorStatus, error_status
from serving.auth.api_keys import Caller
from serving.auth.authenticator import Asker
from serving.logging import Logger
from serving.metrics.metrics import Metrics

R = TypeVar("R")
T = TypeVar("T")
Context = grpc.aio.ServicerContext[bytes, bytes]


class Gate(Protocol):
    """Knows who may call what."""

    def caller(self, context: Asker, scope: str | None) -> Caller:
        """Who asks, for an RPC that needs a key of this scope; None: of any. Raises a DigitServiceError."""


class Call(NamedTuple):
    """A call that was let in."""

    context: Context
    caller: Caller


Handler = Callable[[R, Call], Awaitable[T]]
# What grpc calls.
Observed = Callable[[R, Context], Awaitable[T]]


class RpcObserver:
    """Lets callers in and observes the methods of one service; `service` is its full name, a label of the metrics."""

    def __init__(self, service: str, gate: Gate, metrics: Metrics, log: Logger, access_log: AccessLog | None) -> None:
        self._service = service
        self._gate = gate
        self._metrics = metrics
        self._log = log
        self._access_log = access_log
        # Made before they are needed: a series that appears with its first event hides that event from rate().
        self._rejected = {reason: metrics.rejected.labels(reason) for reason in REASONS}

    def observed(self, kind: str, method: str, answer: Handler[R, T], scope: str | None = None) -> Observed[R, T]:
        """`answer` for those that may, counted and timed, and what it raises turned into a status.

        `kind`: unary or bidi_stream. `scope`: that a key must have for it.
        """
        rpc = _Rpc(self._metrics, kind, self._service, method)

        async def handle(request: R, context: Context) -> T:
            begun = time.perf_counter()
            rpc.started.inc()
            code = grpc.StatusCode.OK
            try:
                return await answer(request, Call(context, self._gate.caller(context, scope)))
            except asyncio.CancelledError:
                code = _code_of_cancellation(context)
                raise
            except Exception as error:  # the border of the RPC
                status = self.status(error, method)
                code = status.code
                # What abort() raises refers to itself, by this frame: the request and all that was made of it would be
                # kept until the garbage collector comes.
                del request
                _forget_frames(error)
                await _abort(context, status)
            finally:
                elapsed = time.perf_counter() - begun
                rpc.handled[code].inc()
                rpc.seconds.observe(elapsed)
                if self._access_log:
                    self._access_log.add(time.time(), method, code.name, elapsed, context.peer())

        return handle

    def status(self, error: Exception, method: str) -> ErrorStatus:
        """The status for `error`, counted; what is a fault of ours is logged with its stack."""
        status = error_status(error)
        self._rejected[status.reason].inc()
        if status.code is grpc.StatusCode.INTERNAL:
            self._log.error("rpc_failed", method=method, exc_info=error)
        return status


class _Rpc:
    """One method's counters, looked up once."""

    def __init__(self, metrics: Metrics, kind: str, service: str, method: str) -> None:
        labels = (kind, service, method)
        self.started = metrics.started.labels(*labels)
        self.seconds = metrics.handling_seconds.labels(*labels)
        self.handled = {code: metrics.handled.labels(*labels, code.name) for code in grpc.StatusCode}


def deadline(context: Context) -> float:
    """The caller's deadline in time.monotonic() seconds, infinity when it set none."""
    remaining = context.time_remaining()
    return float("inf") if remaining is None else time.monotonic() + remaining


async def _abort(context: Context, status: ErrorStatus) -> NoReturn:
    """Ends the call with this status alone: a client retries no call that has got anything else."""
    try:
        await context.abort(status.code, status.message, _pushback(status))
    except grpc.aio.InternalError as gone:  # the caller, and grpc would log a stack for it
        raise asyncio.CancelledError from gone


def _forget_frames(error: BaseException | None) -> None:
    """Lets go of what the frames hold in which `error` was raised, and those before it."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _pushback(status: ErrorStatus) -> tuple[tuple[str, str], ...]:
    """When gRPC's clients that retry should do so (gRFC A6): about then, as not all should come back at once."""
    if status.retry_after_seconds is None:
        return ()
    milliseconds = round(status.retry_after_seconds * 1000 * random.uniform(0.5, 1.5))
    return (("grpc-retry-pushback-ms", str(max(1, milliseconds))),)


def _code_of_cancellation(context: Context) -> grpc.StatusCode:
    remaining = context.time_remaining()
    is_late = remaining is not None and remaining <= 0
    return grpc.StatusCode.DEADLINE_EXCEEDED if is_late else grpc.StatusCode.CANCELLED
