"""A collector for OpenTelemetry that keeps what it is sent."""

import gzip
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanProto
from opentelemetry.proto.trace.v1.trace_pb2 import Status


@dataclass(frozen=True)
class Span:
    trace: str
    span: str
    parent: str
    links: tuple[str, ...]  # the traces it is linked to
    service: str
    name: str
    attributes: dict[str, str]
    kind: str
    linked: tuple[str, ...]  # the spans it is linked to
    begun: int  # nanoseconds since 1970
    ended: int
    error: str | None


class Sink:
    """OTLP over HTTP, protobuf; bodies are kept as they came and read when somebody asks.

    It listens on the port, or, if that is taken and it may, on another one.
    """

    def __init__(self, port: int, *, or_another: bool = False) -> None:
        self.bodies: list[tuple[str, bytes]] = []
        bodies = self.bodies

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                bodies.append((self.path, body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Silent: the output is for what is done with it."""

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except OSError:
            if not or_another:
                raise
            self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def settings(self) -> dict[str, str]:
        """What a program must be started with to report here, and soon."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self._server.server_port}",
            "OTEL_BSP_SCHEDULE_DELAY": "500",
            "OTEL_METRIC_EXPORT_INTERVAL": "5000",
        }

    def spans(self) -> Iterator[Span]:
        for path, body in list(self.bodies):
            if path != "/v1/traces":
                continue
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                named = {one.key: one.value.string_value for one in resource.resource.attributes}
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        yield Span(
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            tuple(link.trace_id.hex() for link in span.links),
                            named["service.name"],
                            span.name,
                            {one.key: _text(one.value) for one in span.attributes},
                            SpanProto.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                            tuple(link.span_id.hex() for link in span.links),
                            span.start_time_unix_nano,
                            span.end_time_unix_nano,
                            span.status.message if span.status.code == Status.STATUS_CODE_ERROR else None,
                        )


def _text(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    return str(getattr(value, kind)) if kind else ""
