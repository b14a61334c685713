"""Makes methods of handlers: authenticates, counts and times each call, and turns exceptions into statuses.

1. Every call is counted as started and once as handled, whatever ends it.
2. Everything that a handler raises becomes a status by serving.api.status. Handlers never set statuses themselves.
3. A status is sent alone, without initial metadata or a message before it, so that clients may retry the call.
4. A call's metadata is looked at once, as it arrives, for the few keys that mean something to every method.
"""

import random
import time
from collections.abc import Awaitable, Callable

import grpc

from serving.api.access_log import AccessLog
from serving.api.engine.call import OK, Call, Kind, Method
from serving.api.request_ids import REQUEST_ID, given_id, new_id
from serving.api.stage_times import REQUEST_KEY
from serving.api.status import REASONS, ErrorStatus, error_status
from serving.auth.api_keys import NOBODY, Caller
from serving.auth.authenticator import Authenticator
from serving.logging import Logger
from serving.metrics.metrics import Metrics
from serving.traces.request_trace import TRACEPARENT, RequestTrace, Tracer

# Answers a unary call: returns the response.
Unary = Callable[[bytes, Call], Awaitable[bytes]]
# Begins to answer a unary call, and ends it now or later by Call.respond(); what it raises ends the call too.
Direct = Callable[[bytes, Call], None]
# Answers a stream, by read() and write(). The call ends when it returns.
Stream = Callable[[Call], Awaitable[None]]
# Raises what refuses a call of a caller, with a deadline in time.monotonic() seconds.
Check = Callable[[Caller, float], None]
Count = Callable[[float, bool], None]  # of one call: its seconds, and whether it got a response
_NOTED = frozenset({REQUEST_ID, TRACEPARENT, REQUEST_KEY})


class RpcObserver:
    """Authenticates, counts and logs the RPCs of one service. `service`: its full name, a label of the metrics."""

    def __init__(
        self,
        service: str,
        authenticator: Authenticator,
        metrics: Metrics,
        log: Logger,
        access_log: AccessLog | None,
        has_store: bool,
        tracer: Tracer | None,
    ) -> None:
        """`access_log`: gets a line for each call; None: no lines. `has_store`: callers carry their request's id.

        `tracer`: gets the calls that are sampled; None: none is.
        """
        self._service = service
        self._authenticator = authenticator
        self._metrics = metrics
        self._log = log
        self._access_log = access_log
        self._has_store = has_store
        self._tracer = tracer
        # Made before they are needed: a series that appears with its first event hides that event from rate().
        self._rejected = {reason: metrics.rejected.labels(reason) for reason in REASONS}

    def unary(self, name: str, handler: Unary, scope: str | None = None, check: Check | None = None) -> Method:
        """Makes a method of a coroutine. `scope`: what the key must permit; None: nothing. `check`: as for direct()."""

        async def answer(request: bytes, call: Call) -> None:
            try:
                response = await handler(request, call)
            except Exception as error:  # the border of the RPC
                self.fail(call, error, name)
            else:
                call.respond(response)

        return self.direct(name, lambda request, call: call.run(answer(request, call)), scope, check)

    def direct(
        self,
        name: str,
        handler: Direct,
        scope: str | None = None,
        check: Check | None = None,
        count: Count | None = None,
    ) -> Method:
        """Makes a method of a function: no task is made for its calls.

        `check`: may refuse a call before its message is read. `count`: also sees how calls end.
        """
        return self._method("unary", name, handler, scope, check, count)

    def bidi_stream(self, name: str, handler: Stream, scope: str | None = None) -> Method:
        """Makes a stream of a coroutine."""

        async def answer(call: Call) -> None:
            try:
                await handler(call)
            except Exception as error:  # the border of the RPC
                self.fail(call, error, name)
            else:
                call.finish()

        return self._method("bidi_stream", name, lambda _, call: call.run(answer(call)), scope)

    def _method(
        self,
        kind: Kind,
        name: str,
        handler: Direct,
        scope: str | None,
        check: Check | None = None,
        count: Count | None = None,
    ) -> Method:
        rpc = _Rpc(self._metrics, kind, self._service, name, self._access_log, count, self._tracer)
        tracer = self._tracer
        has_store, makes_ids = self._has_store, self._has_store or self._access_log is not None

        def arrive(call: Call) -> None:
            call.begun = time.perf_counter()
            rpc.started.inc()
            call.observer = rpc
            for key, _ in call.invocation_metadata():
                if key in _NOTED:
                    _note(call)
                    break
            if makes_ids and not call.request_id:
                call.identify(new_id())
            if tracer is not None:
                call.trace = tracer.begin(call.invocation_metadata(), call.begun)
            try:
                call.caller = self._authenticator.authenticate(call, scope)
                if has_store:
                    call.caller = call.caller.of(call.request_id)
                if call.trace is not None:
                    call.caller = call.caller.traced(call.trace)
                if check:
                    check(call.caller, call.deadline)
            except Exception as error:  # the border of the RPC
                if not hasattr(call, "caller"):
                    call.caller = NOBODY
                self.fail(call, error, name)

        def begin(call: Call, request: bytes) -> None:
            try:
                handler(request, call)
            except Exception as error:  # the border of the RPC
                self.fail(call, error, name)

        return Method(self._service, name, kind, begin, arrive)

    def begin_part(self, call: Call) -> RequestTrace | None:
        """Returns the trace of one request of a stream; None where it is not sampled."""
        return self._tracer.begin_part(call.trace) if self._tracer and call.trace else None

    def end_part(self, trace: RequestTrace | None, name: str, code: str) -> None:
        """Records one request of a stream that ends now. `code`: gRPC's name of its status."""
        if self._tracer and trace:
            self._tracer.end_part(trace, name, code)

    def fail(self, call: Call, error: Exception, method: str) -> None:
        """Ends the call with the status for `error`, with metadata that says when a retry is worthwhile."""
        if call.is_over:
            return
        status = self.status(error, method)
        call.trailing_metadata += _pushback(status)
        call.finish(status.code, status.message)

    def status(self, error: Exception, method: str) -> ErrorStatus:
        """Returns the status for `error` and counts it by reason. A fault of the server is logged with its stack."""
        status = error_status(error)
        self._rejected[status.reason].inc()
        if status.code is grpc.StatusCode.INTERNAL:
            self._log.error("rpc_failed", method=method, exc_info=error)
        return status


class _Rpc:
    """Counters of one method, looked up once: `labels()` takes a lock and a dictionary look-up."""

    def __init__(
        self,
        metrics: Metrics,
        kind: str,
        service: str,
        method: str,
        access_log: AccessLog | None,
        count: Count | None,
        tracer: Tracer | None,
    ) -> None:
        labels = (kind, service, method)
        self.started = metrics.started.labels(*labels)
        self._seconds = metrics.handling_seconds.labels(*labels)
        # Every code from the start, so that rate() sees the first of each.
        self._handled = {code: metrics.handled.labels(*labels, code.name) for code in grpc.StatusCode}
        self._key_calls = metrics.key_calls
        self._method = method
        self._full_method = f"{service}/{method}"
        self._tracer = tracer
        self._access_log = access_log
        self._count = count

    def ended(self, call: Call, code: grpc.StatusCode) -> None:
        """Counts and logs a call that has ended."""
        elapsed = time.perf_counter() - call.begun
        self._handled[code].inc()
        self._seconds.observe(elapsed)
        if self._count:
            self._count(elapsed, code is OK)
        key = call.caller.key
        if key:
            self._key_calls.labels(key.name, code.name).inc()
        trace = call.trace
        if trace is not None and self._tracer:
            self._tracer.end_rpc(trace, self._full_method, code.name, call.request_id)
            self._seconds.exemplify(elapsed, trace.trace_id)
        if self._access_log:
            name_of_key, trace_id = key.name if key else "", trace.trace_id if trace else ""
            self._access_log.add(self._method, code.name, elapsed, call.peer(), call.request_id, name_of_key, trace_id)


def _note(call: Call) -> None:
    """Notes what the call's metadata says for every method: an id, and the wish for the times of its stages."""
    metadata = list(call.invocation_metadata())
    call.wants_stage_times = any(key == REQUEST_KEY for key, _ in metadata)
    if not call.request_id and (request_id := given_id(metadata)):
        call.identify(request_id)


def _pushback(status: ErrorStatus) -> tuple[tuple[str, str], ...]:
    """Returns the trailing metadata that says when to retry (gRFC A6), with jitter against retries in step."""
    if status.retry_after_seconds is None:
        return ()
    milliseconds = round(status.retry_after_seconds * 1000 * random.uniform(0.5, 1.5))
    return (("grpc-retry-pushback-ms", str(max(1, milliseconds))),)  # 0: retry at once
