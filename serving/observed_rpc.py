"""A handler becomes an RPC that is counted and timed, and whose exceptions become statuses. Knows no message."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc

from serving.access_log import AccessLog
from serving.error_status import REASONS, ErrorStatus, error_status
from serving.logs import Logger
from serving.metrics import Metrics

R = TypeVar("R")
T = TypeVar("T")
Context = grpc.aio.ServicerContext[bytes, bytes]
Handler = Callable[[R, Context], Awaitable[T]]


class RpcObserver:
    """Observes the methods of one service; `service` is its full name, a label of the metrics."""

    def __init__(self, service: str, metrics: Metrics, log: Logger, access_log: AccessLog | None) -> None:
        self._service = service
        self._metrics = metrics
        self._log = log
        self._access_log = access_log
        # Made before they are needed: a series that appears with its first event hides that event from rate().
        self._rejected = {reason: metrics.rejected.labels(reason) for reason in REASONS}

    def observed(self, kind: str, method: str, answer: Handler[R, T]) -> Handler[R, T]:
        """`answer`, counted and timed, and what it raises turned into a status. `kind`: unary or bidi_stream."""
        rpc = _Rpc(self._metrics, kind, self._service, method)

        async def handle(request: R, context: Context) -> T:
            begun = time.perf_counter()
            rpc.started.inc()
            code = grpc.StatusCode.OK
            try:
                return await answer(request, context)
            except asyncio.CancelledError:
                code = _code_of_cancellation(context)
                raise
            except Exception as error:  # the border of the RPC
                status = self.status(error, method)
                code = status.code
                await context.abort(status.code, status.message)
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


def _code_of_cancellation(context: Context) -> grpc.StatusCode:
    remaining = context.time_remaining()
    is_late = remaining is not None and remaining <= 0
    return grpc.StatusCode.DEADLINE_EXCEEDED if is_late else grpc.StatusCode.CANCELLED
