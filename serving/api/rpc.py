"""Wraps handlers into RPCs: authenticates, counts and times them, and turns exceptions into statuses.

1. Every call is counted as started and once as handled, whatever ends it. When its client or its deadline ends it, the
   handler gets CancelledError, which is counted and raised again, never swallowed.
2. Everything else that a handler raises becomes a status by serving.api.status. Handlers never set statuses themselves.
3. A status is sent alone, without initial metadata or a message before it, so that clients may retry the call.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, NoReturn, TypeVar

import grpc

from serving.api.access_log import AccessLog
from serving.api.status import REASONS, ErrorStatus, error_status
from serving.auth.api_keys import Caller
from serving.auth.authenticator import Authenticator
from serving.logging import Logger
from serving.metrics.metrics import Metrics

R = TypeVar("R")  # request: bytes, or an iterator of bytes for a stream
T = TypeVar("T")  # response: bytes; None for a stream, which writes to the context
Context = grpc.aio.ServicerContext[bytes, bytes]


class Call(NamedTuple):
    """An authenticated call: grpc's context and the caller whom the authenticator found."""

    context: Context
    caller: Caller


Handler = Callable[[R, Call], Awaitable[T]]
# The handler in the form that grpc calls.
Observed = Callable[[R, Context], Awaitable[T]]


class RpcObserver:
    """Authenticates, counts and logs the RPCs of one service. `service`: its full name, a label of the metrics."""

    def __init__(
        self, service: str, authenticator: Authenticator, metrics: Metrics, log: Logger, access_log: AccessLog | None
    ) -> None:
        """`access_log`: gets a line for each call; None: no lines."""
        self._service = service
        self._authenticator = authenticator
        self._metrics = metrics
        self._log = log
        self._access_log = access_log
        # Made before they are needed: a series that appears with its first event hides that event from rate().
        self._rejected = {reason: metrics.rejected.labels(reason) for reason in REASONS}

    def observed(self, kind: str, method: str, handler: Handler[R, T], scope: str | None = None) -> Observed[R, T]:
        """Wraps `handler` for grpc. `kind`: unary or bidi_stream. `scope`: what the key must permit; None: nothing."""
        rpc = _Rpc(self._metrics, kind, self._service, method)

        async def call(request: R, context: Context) -> T:
            begun = time.perf_counter()
            rpc.started.inc()  # before authentication: the drain waits until no call starts any more
            code = grpc.StatusCode.OK
            try:
                return await handler(request, Call(context, self._authenticator.authenticate(context, scope)))
            except (
                asyncio.CancelledError
            ):  # grpc.aio cancels the handler's task: the client left, or the deadline passed
                code = _code_of_cancellation(context)
                raise
            except Exception as error:  # the border of the RPC
                status = self.status(error, method)
                code = status.code
                # abort() raises an exception whose traceback holds this frame, which in turn holds the exception. That
                # cycle would keep the request, and all that was made of it, until the garbage collector runs.
                del request
                _forget_frames(error)
                await _abort(context, status)
            finally:  # also where abort() raises, as it always does
                elapsed = time.perf_counter() - begun
                rpc.handled[code].inc()
                rpc.seconds.observe(elapsed)
                if self._access_log:
                    self._access_log.add(method, code.name, elapsed, context.peer())

        return call

    def status(self, error: Exception, method: str) -> ErrorStatus:
        """Returns the status for `error` and counts it by reason. A fault of the server is logged with its stack."""
        status = error_status(error)
        self._rejected[status.reason].inc()
        if status.code is grpc.StatusCode.INTERNAL:
            self._log.error("rpc_failed", method=method, exc_info=error)
        return status


class _Rpc:
    """Counters of one method, looked up once: `labels()` takes a lock and a dictionary look-up."""

    def __init__(self, metrics: Metrics, kind: str, service: str, method: str) -> None:
        labels = (kind, service, method)
        self.started = metrics.started.labels(*labels)
        self.seconds = metrics.handling_seconds.labels(*labels)
        # Every code from the start, so that rate() sees the first of each.
        self.handled = {code: metrics.handled.labels(*labels, code.name) for code in grpc.StatusCode}


def deadline(context: Context) -> float:
    """Returns the caller's deadline in time.monotonic() seconds, infinity when the call has none."""
    remaining = context.time_remaining()
    return float("inf") if remaining is None else time.monotonic() + remaining


async def _abort(context: Context, status: ErrorStatus) -> NoReturn:
    """Ends the call with `status` and nothing before it: clients do not retry a call that received anything else."""
    try:
        await context.abort(status.code, status.message, _pushback(status))
    except grpc.aio.InternalError as gone:  # the caller left meanwhile; raised as it is, grpc would log a stack for it
        raise asyncio.CancelledError from gone


def _forget_frames(error: BaseException | None) -> None:
    """Releases the frames in which `error`, and the errors that caused it, were raised."""
    while error is not None:
        error.__traceback__ = None  # after logging: the stack is gone
        error = error.__cause__ or error.__context__


def _pushback(status: ErrorStatus) -> tuple[tuple[str, str], ...]:
    """Returns the trailing metadata that says when to retry (gRFC A6), with jitter against retries in step."""
    if status.retry_after_seconds is None:
        return ()
    milliseconds = round(status.retry_after_seconds * 1000 * random.uniform(0.5, 1.5))
    return (("grpc-retry-pushback-ms", str(max(1, milliseconds))),)  # 0: retry at once


def _code_of_cancellation(context: Context) -> grpc.StatusCode:
    # grpc.aio cancels the task in both cases; only the clock distinguishes a passed deadline from a client that left.
    remaining = context.time_remaining()
    is_late = remaining is not None and remaining <= 0
    return grpc.StatusCode.DEADLINE_EXCEEDED if is_late else grpc.StatusCode.CANCELLED
