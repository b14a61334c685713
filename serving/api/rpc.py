"""Wraps handlers into RPCs: authenticated, counted and timed, their exceptions turned into statuses."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, NoReturn, TypeVar

import grpc

from serving.api.status import REASONS, ErrorStatus, error_status
from serving.auth.api_keys import Caller
from serving.auth.authenticator import Authenticator
from serving.logging import Logger
from serving.metrics.metrics import Metrics

R = TypeVar("R")
T = TypeVar("T")
Context = grpc.aio.ServicerContext[bytes, bytes]


class Call(NamedTuple):
    """An authenticated call."""

    context: Context
    caller: Caller


Handler = Callable[[R, Call], Awaitable[T]]
# The function that grpc calls.
Observed = Callable[[R, Context], Awaitable[T]]


class RpcObserver:
    """Authenticates and observes the RPCs of one service. `service`: its full name, a label of the metrics."""

    def __init__(
        self, service: str, authenticator: Authenticator, metrics: Metrics, log: Logger, access_log: Logger | None
    ) -> None:
        self._service = service
        self._authenticator = authenticator
        self._metrics = metrics
        self._log = log
        self._access_log = access_log
        # Made before they are needed: a series that appears with its first event hides that event from rate().
        self._rejected = {reason: metrics.rejected.labels(reason) for reason in REASONS}

    def observed(self, kind: str, method: str, handler: Handler[R, T], scope: str | None = None) -> Observed[R, T]:
        """Wraps `handler` for grpc. `kind`: unary or bidi_stream. `scope`: one that the caller's key must have."""
        rpc = _Rpc(self._metrics, kind, self._service, method)

        async def call(request: R, context: Context) -> T:
            begun = time.perf_counter()
            rpc.started.inc()
            code = grpc.StatusCode.OK
            try:
                return await handler(request, Call(context, self._authenticator.authenticate(context, scope)))
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
                    seconds, peer = round(elapsed, 6), context.peer()
                    self._access_log.info("rpc", method=method, code=code.name, seconds=seconds, peer=peer)

        return call

    def status(self, error: Exception, method: str) -> ErrorStatus:
        """Returns the status for `error` and counts it. A fault of ours is logged with its stack."""
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
    """Returns the caller's deadline in time.monotonic() seconds, infinity when it set none."""
    remaining = context.time_remaining()
    return float("inf") if remaining is None else time.monotonic() + remaining


async def _abort(context: Context, status: ErrorStatus) -> NoReturn:
    """Ends the call with this status alone: clients retry no call that has received anything else."""
    try:
        await context.abort(status.code, status.message, _pushback(status))
    except grpc.aio.InternalError as gone:  # the caller, and grpc would log a stack for it
        raise asyncio.CancelledError from gone


def _forget_frames(error: BaseException | None) -> None:
    """Releases the frames in which `error`, and the errors that caused it, were raised."""
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def _pushback(status: ErrorStatus) -> tuple[tuple[str, str], ...]:
    """Returns the metadata that says when to retry (gRFC A6), with jitter, so that not all come back at once."""
    if status.retry_after_seconds is None:
        return ()
    milliseconds = round(status.retry_after_seconds * 1000 * random.uniform(0.5, 1.5))
    return (("grpc-retry-pushback-ms", str(max(1, milliseconds))),)


def _code_of_cancellation(context: Context) -> grpc.StatusCode:
    remaining = context.time_remaining()
    is_late = remaining is not None and remaining <= 0
    return grpc.StatusCode.DEADLINE_EXCEEDED if is_late else grpc.StatusCode.CANCELLED
