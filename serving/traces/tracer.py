"""Records sampled requests as OpenTelemetry's spans, and sends them by OTLP over HTTP. Needs the extra `traces`.

1. A request is measured as it runs (serving.traces.request_trace), and its spans are made at its end, all at once: with
   the SDK's own tracer they would take ten times as long.
2. The SDK's batch processor sends from a thread of its own. The event loop never waits for it, whatever the collector
   does. Beyond MOST_SPANS that wait, requests are not recorded.
3. What OpenTelemetry has to complain about goes to the log, once a minute at most.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from random import getrandbits

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from serving import __version__
from serving.errors import shown
from serving.logging import Logger
from serving.traces.request_trace import Attribute, RequestTrace, trace_parent
from serving.traces.sampling import Sampling

MOST_SPANS = 4096  # that wait to be sent: about 4 MiB
# Each batch costs a millisecond besides its spans, and the thread holds the interpreter for 4 while it encodes as many.
SPANS_AT_ONCE = 256
SEND_EVERY_SECONDS = 1.0
COMPLAINT_SECONDS = 60.0  # between two lines of the log
MOST_PARTS = 100  # requests of one stream that have spans
LONGEST_PATH = 200  # of a span: a caller's path may have 64 KiB, and thousands of spans wait
SERVICE = "mnist-digits"
# Statuses that say the server failed, by OpenTelemetry's conventions; other errors are the caller's.
_FAULTS = frozenset({"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_SCOPE = InstrumentationScope("serving", __version__)
_UNSET, _ERROR = Status(), Status(StatusCode.ERROR)
_LOGGER = logging.getLogger("opentelemetry")


class SpanTracer:
    """Records the sampled requests of this process from start() to close(). Belongs to the event loop."""

    def __init__(self, sampling: Sampling, log: Logger) -> None:
        self._sampling = sampling
        self._log = log
        self._resource = _resource()
        self._sender: _Sender | None = None
        self._complaints = _Complaints(log)
        self._recorded = 0  # spans handed to the sender
        self._dropped = 0  # requests that were sampled and not recorded

    def start(self) -> None:
        """Starts to send."""
        _LOGGER.addHandler(self._complaints)
        _LOGGER.propagate = False
        self._sender = _Sender()

    async def close(self, seconds: float) -> None:
        """Sends what was recorded, for at most `seconds`; a collector that does not answer holds nobody up longer."""
        sender, self._sender = self._sender, None
        if sender is None:
            return
        if not await sender.close(seconds):
            lost = self._recorded - sender.sent
            self._log.warning("traces_not_sent", spans=lost, why="the collector did not take them in time")
        if self._dropped:
            self._log.warning("traces_dropped", requests=self._dropped)
        _LOGGER.removeHandler(self._complaints)

    def begin(self, metadata: Iterable[tuple[str, str | bytes]], begun: float) -> RequestTrace | None:
        """Returns the trace of a request that is sampled. `metadata`: or headers. `begun`: when it arrived."""
        parent = trace_parent(metadata)
        if parent is None:
            low = getrandbits(64)
            if low >= self._sampling.bound:
                return None
            return RequestTrace(f"{getrandbits(64):016x}{low:016x}", _span_id(), None, begun)
        if not self._sampling.is_sampled(parent.trace_id, parent.is_sampled):
            return None
        return RequestTrace(parent.trace_id, _span_id(), parent, begun)

    def begin_part(self, stream: RequestTrace) -> RequestTrace | None:
        """Returns the trace of one request of a sampled stream; None once the stream has had many."""
        return stream.part(_span_id()) if stream.parts < MOST_PARTS else None

    def end_rpc(self, trace: RequestTrace, method: str, code: str, request_id: str) -> None:
        """Records an RPC that ends now. `method`: service and method. `code`: gRPC's name of its status."""
        attributes = trace.attributes
        attributes["rpc.system.name"] = "grpc"
        attributes["rpc.method"] = method
        _note_code(attributes, code)
        _note_id(attributes, request_id)
        self._record(trace, method, SpanKind.SERVER, is_fault=code in _FAULTS)

    def end_part(self, trace: RequestTrace, name: str, code: str) -> None:
        """Records one request of a stream that ends now."""
        _note_code(trace.attributes, code)
        self._record(trace, name, SpanKind.INTERNAL, is_fault=code in _FAULTS)

    def end_http(self, trace: RequestTrace, method: str, route: str, path: str, status: int, request_id: str) -> None:
        """Records an HTTP request that ends now. `route`: the path with its parameters in braces."""
        attributes = trace.attributes
        attributes["http.request.method"] = method
        attributes["http.route"] = route
        attributes["url.path"] = path[:LONGEST_PATH]
        attributes["url.scheme"] = "http"
        attributes["http.response.status_code"] = status
        if status >= 500:
            attributes["error.type"] = str(status)
        _note_id(attributes, request_id)
        self._record(trace, f"{method} {route}", SpanKind.SERVER, is_fault=status >= 500)

    def _record(self, trace: RequestTrace, name: str, kind: SpanKind, *, is_fault: bool) -> None:
        """Makes the spans of a request and of its stages."""
        sender = self._sender
        if sender is None or self._recorded - sender.sent >= MOST_SPANS - len(trace.stages):
            self._dropped += 1
            return
        now = time.perf_counter()
        zero = time.time_ns() - int(now * 1e9)  # of the clock of the stages, in nanoseconds since the epoch
        trace_id = int(trace.trace_id, 16)
        own = SpanContext(trace_id, trace.span_id, False, _SAMPLED)
        parent = (
            SpanContext(trace_id, trace.parent.span_id, kind is SpanKind.SERVER, _SAMPLED) if trace.parent else None
        )
        end = zero + int(now * 1e9)
        status = _ERROR if is_fault else _UNSET
        whole = self._span(name, own, parent, zero + int(trace.begun * 1e9), end, trace.attributes, kind, status)
        spans = [whole]
        for stage, begun, attributes in reversed(trace.stages):
            start = min(zero + int(begun * 1e9), end)
            context = SpanContext(trace_id, _span_id(), False, _SAMPLED)
            spans.append(self._span(stage, context, own, start, end, attributes))
            end = start
        self._recorded += len(spans)
        for span in spans:
            sender.add(span)

    def _span(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        start: int,
        end: int,
        attributes: Mapping[str, Attribute] | None,
        kind: SpanKind = SpanKind.INTERNAL,
        status: Status = _UNSET,
    ) -> ReadableSpan:
        return ReadableSpan(
            name, context, parent, self._resource, attributes, (), (), kind, None, status, start, end, _SCOPE
        )


class _Sender:
    """The SDK's exporter and its thread."""

    def __init__(self) -> None:
        self._exporter = _Counting(OTLPSpanExporter())
        self._processor = BatchSpanProcessor(
            self._exporter,
            max_queue_size=MOST_SPANS,
            schedule_delay_millis=SEND_EVERY_SECONDS * 1000,
            max_export_batch_size=SPANS_AT_ONCE,
        )
        self.add = self._processor.on_end

    @property
    def sent(self) -> int:
        """Spans that wait no longer, whether or not the collector took them."""
        return self._exporter.spans

    async def close(self, seconds: float) -> bool:
        """Sends what waits. Returns False where that takes more than `seconds`: it is given up."""
        loop = asyncio.get_running_loop()
        flushed = loop.create_future()

        def note() -> None:
            if not flushed.done():
                flushed.set_result(None)

        def flush() -> None:
            self._processor.shutdown()  # type: ignore[no-untyped-call]  # the SDK leaves it out
            with suppress(RuntimeError):  # the loop has ended: nobody waits
                loop.call_soon_threadsafe(note)

        # A daemon, as the processor's own: neither holds up the end of the process.
        threading.Thread(target=flush, name="traces", daemon=True).start()
        await asyncio.wait({flushed}, timeout=seconds)
        if not flushed.done():
            self._exporter.shutdown()  # ends its pauses between attempts
        return flushed.done()


class _Counting(SpanExporter):
    """Exporter that counts spans when they have been sent or given up."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_shut_down = False
        self.spans = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            return self._exporter.export(spans)
        finally:
            self.spans += len(spans)

    def shutdown(self) -> None:
        if not self._is_shut_down:
            self._is_shut_down = True
            self._exporter.shutdown()


class _Complaints(logging.Handler):
    """Writes OpenTelemetry's warnings and errors to the log."""

    def __init__(self, log: Logger) -> None:
        super().__init__(logging.WARNING)
        self._log = log
        self._next = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Writes one, unless another was written a moment ago."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + COMPLAINT_SECONDS
            self._log.warning("traces_failing", why=shown(record.getMessage()))


class _OneResource(Resource):
    """The one resource of this process. The SDK looks it up for each span, by a hash of all that it holds."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def _resource() -> Resource:
    """Returns what the spans' process is; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES take precedence."""
    own = Resource.create({"service.name": SERVICE, "service.version": __version__, "process.pid": os.getpid()})
    return _OneResource(dict(own.merge(OTELResourceDetector().detect()).attributes))


def _span_id() -> int:
    return getrandbits(64) or 1  # zero is no id


def _note_code(attributes: dict[str, Attribute], code: str) -> None:
    attributes["rpc.response.status_code"] = code
    if code in _FAULTS:
        attributes["error.type"] = code


def _note_id(attributes: dict[str, Attribute], request_id: str) -> None:
    if request_id:
        attributes["mnist.request_id"] = request_id
