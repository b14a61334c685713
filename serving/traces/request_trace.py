"""The trace of one sampled request: its ids, and when each of its stages began. Knows no OpenTelemetry.

1. A request that is not sampled has none: all that it costs there is a test for None.
2. Stages follow one another without a gap. Each ends where the next begins, and the last one with the request.
3. Times are of time.perf_counter(), which is the clock of time.monotonic() on Linux.
"""

import re
import time
from collections.abc import Iterable
from typing import NamedTuple, Protocol

TRACEPARENT = "traceparent"
# Version, trace, parent, flags; a later version may add more behind another dash. Zeros are no ids, and ff no version.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.{0,400})?"
)
_SAMPLED = 1  # bit of the flags

# Stages, in their order. A request has those that it goes through.
RECEIVE = "receive"  # from the request's head until its message is there and parsed
ADMIT = "admit"  # room, deadline, rate
DECODE_QUEUE = "decode_queue"  # pictures wait for a decoding thread
DECODE = "decode"  # to grey levels; by Read also their segmentation
FRAME = "frame"  # to 28x28 pixels
QUEUE = "queue"  # waits for the batch
INFER = "infer"
EXPLAIN = "explain"  # what Explain computes after the prediction
LINES = "lines"  # by Read: digits become lines
ANSWER = "answer"  # the response is made and handed to the transport

Attribute = str | int | float


class TraceParent(NamedTuple):
    """Place of a request in its caller's trace, as W3C's `traceparent` gives it."""

    trace_id: str  # 32 hexadecimal digits
    span_id: int  # of the caller's span, 64 bits
    is_sampled: bool


def trace_parent(metadata: Iterable[tuple[str, str | bytes]]) -> TraceParent | None:
    """Returns the first usable `traceparent` of metadata or headers, whose names are lower-case; None: none is."""
    for name, value in metadata:
        if name == TRACEPARENT and isinstance(value, str) and (found := _TRACEPARENT.fullmatch(value)):
            return TraceParent(found[1], int(found[2], 16), bool(int(found[3], 16) & _SAMPLED))
    return None


class RequestTrace:
    """Trace of one sampled request. Belongs to the event loop, but for note_decoding() and note_decoded()."""

    __slots__ = ("_decoded", "_decoding", "attributes", "begun", "parent", "parts", "span_id", "stages", "trace_id")

    def __init__(self, trace_id: str, span_id: int, parent: TraceParent | None, begun: float) -> None:
        """`trace_id`: 32 hexadecimal digits. `span_id`: 64 bits. `parent`: None for a request that begins its trace.

        `begun`: when the request arrived.
        """
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent = parent
        self.begun = begun
        self.stages: list[tuple[str, float, dict[str, Attribute] | None]] = []  # name, begin, attributes
        self.attributes: dict[str, Attribute] = {}  # of the whole request
        self.parts = 0  # requests of a stream that have a span of their own
        self._decoding: list[float] = []
        self._decoded: list[float] = []

    def enter(self, stage: str) -> None:
        """Begins a stage now, and ends the one before."""
        self._enter_at(stage, time.perf_counter())

    def admit(self, model: str, version: int, images: int) -> None:
        """Begins the admission of a request for a model's version, or of more images that were found in a picture."""
        if not self.stages:
            self.stages.append((RECEIVE, self.begun, None))
        self.attributes["mnist.model"] = model
        self.attributes["mnist.model.version"] = version
        self.attributes["mnist.images"] = images
        self.enter(ADMIT)

    def note_decoding(self) -> None:
        """Notes that a thread begins to decode a picture. From any thread."""
        self._decoding.append(time.perf_counter())

    def note_decoded(self) -> None:
        """Notes that a thread has decoded a picture. From any thread."""
        self._decoded.append(time.perf_counter())

    def decoded(self) -> None:
        """Divides the stage that ends now: into the wait for a thread, the decoding and the framing of all pictures.

        Decoding of several pictures lasts until the last one is decoded, while others are framed already.
        """
        if self._decoding:
            self._enter_at(DECODE, min(self._decoding))
        if self._decoded:
            self._enter_at(FRAME, max(self._decoded))

    def ran(self, queue_seconds: float, inference_seconds: float, batch_images: int, then: str = ANSWER) -> None:
        """Ends the wait for the batch, which began with the stage that is open, and the inference; begins `then`.

        The times are those of serving.predictions.Predictions. Of a request that took several batches they overlap:
        then inference is what comes last.
        """
        now, queued = time.perf_counter(), self.stages[-1][1]
        started = min(queued + queue_seconds, max(queued, now - inference_seconds))
        self.stages.append((INFER, started, {"mnist.batch.images": batch_images}))
        self._enter_at(then, min(started + inference_seconds, now))

    def part(self, span_id: int) -> "RequestTrace":
        """Returns the trace of one request of this stream, which begins now."""
        self.parts += 1
        parent = TraceParent(self.trace_id, self.span_id, is_sampled=True)
        return RequestTrace(self.trace_id, span_id, parent, time.perf_counter())

    def _enter_at(self, stage: str, begun: float) -> None:
        self.stages.append((stage, begun, None))


class Tracer(Protocol):
    """Decides which requests are sampled, and records those."""

    def begin(self, metadata: Iterable[tuple[str, str | bytes]], begun: float) -> RequestTrace | None:
        """Returns the trace of a request that is sampled. `metadata`: or headers. `begun`: when it arrived."""

    def begin_part(self, stream: RequestTrace) -> RequestTrace | None:
        """Returns the trace of one request of a sampled stream; None once the stream has had many."""

    def end_rpc(self, trace: RequestTrace, method: str, code: str, request_id: str) -> None:
        """Records an RPC that ends now. `method`: service and method. `code`: gRPC's name of its status."""

    def end_part(self, trace: RequestTrace, name: str, code: str) -> None:
        """Records one request of a stream that ends now."""

    def end_http(self, trace: RequestTrace, method: str, route: str, path: str, status: int, request_id: str) -> None:
        """Records an HTTP request that ends now. `route`: the path with its parameters in braces."""
