"""An OTLP collector: takes spans by HTTP, as OpenTelemetry's own does, and shows them to a test."""

import gzip
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATH = "/v1/traces"


@dataclass
class Collector:
    """What a collector has received. `endpoint`: for OTEL_EXPORTER_OTLP_ENDPOINT."""

    endpoint: str
    spans: list[Span] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)  # of each span, in the same order
    came: threading.Condition = field(default_factory=threading.Condition)

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        with self.came:
            for sent in request.resource_spans:
                spans = [span for scope in sent.scope_spans for span in scope.spans]
                self.spans += spans
                self.resources += [attributes_of(sent.resource.attributes)] * len(spans)
            self.came.notify_all()

    def whole(self) -> list[Span]:
        """The spans of requests, without those of their stages, in the order of their beginning."""
        with self.came:
            found = [span for span in self.spans if span.kind == Span.SPAN_KIND_SERVER]
        return sorted(found, key=lambda span: span.start_time_unix_nano)

    def under(self, span: Span) -> list[Span]:
        """The children of a span, in the order of their beginning."""
        with self.came:
            found = [each for each in self.spans if each.parent_span_id == span.span_id]
        return sorted(found, key=lambda each: (each.start_time_unix_nano, each.end_time_unix_nano))

    def until(self, spans: int) -> None:
        """Returns when so many requests have come. Raises AssertionError if they do not."""

        def has_all() -> bool:
            return len([span for span in self.spans if span.kind == Span.SPAN_KIND_SERVER]) >= spans

        with self.came:
            assert self.came.wait_for(has_all, timeout=60), f"{len(self.spans)} spans came"


def attributes_of(pairs: Any) -> dict[str, Any]:
    """Attributes as a dictionary."""
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Any:
    kind = pair.value.WhichOneof("value")
    return getattr(pair.value, kind) if kind else None


@contextmanager
def collector() -> Iterator[Collector]:
    """A collector on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert (self.path, self.headers["Content-Type"]) == (PATH, "application/x-protobuf")
            found.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            """Writes nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        found = Collector(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def silent_collector() -> Iterator[socket.socket]:
    """A collector that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        yield listening


def endpoint_of(listening: socket.socket) -> str:
    """Endpoint of a collector, for OTEL_EXPORTER_OTLP_ENDPOINT."""
    return f"http://127.0.0.1:{listening.getsockname()[1]}"
