"""Spans as OTLP writes them. What most of them hold is written by hand, and what repeats itself once: to build
protobuf's messages in between takes three times as long, more than all else that a recorded request costs.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from struct import pack
from typing import Any

from opentelemetry.exporter.otlp.proto.common._internal import _encode_key_value
from opentelemetry.exporter.otlp.proto.common._internal.trace_encoder import (
    _encode_links,
    _encode_span,
    _encode_status,
    encode_spans,
)
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

_KINDS = {
    SpanKind.INTERNAL: Span.SPAN_KIND_INTERNAL,
    SpanKind.SERVER: Span.SPAN_KIND_SERVER,
    SpanKind.CLIENT: Span.SPAN_KIND_CLIENT,
    SpanKind.PRODUCER: Span.SPAN_KIND_PRODUCER,
    SpanKind.CONSUMER: Span.SPAN_KIND_CONSUMER,
}


_SIMPLE = frozenset((str, bool, int, float))


class Exporter(OTLPSpanExporter):
    """OpenTelemetry's, but for how spans are written. Whatever does not fit there is dropped as there."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._shutdown:
            return SpanExportResult.FAILURE
        sent = self._client.export(encoded(spans))
        return SpanExportResult.SUCCESS if sent.success else SpanExportResult.FAILURE


def encoded(spans: Sequence[ReadableSpan]) -> bytes:
    """An ExportTraceServiceRequest."""
    resources: dict[int, dict[int, list[ReadableSpan]]] = defaultdict(lambda: defaultdict(list))
    for span in spans:
        resources[id(span.resource)][id(span.instrumentation_scope)].append(span)
    return b"".join(_field(1, _resource_spans(scopes.values())) for scopes in resources.values())


def _resource_spans(scopes: Iterable[Sequence[ReadableSpan]]) -> bytes:
    parts: list[bytes] = []
    for spans in scopes:
        # one of them as OpenTelemetry writes it: resource and scope are the same for the others
        (resource,) = encode_spans(spans[:1]).resource_spans
        (scope,) = resource.scope_spans
        if not parts:
            parts.append(_field(1, resource.resource.SerializeToString()))
            if resource.schema_url:
                parts.append(_field(3, resource.schema_url.encode()))
        head = ScopeSpans(scope=scope.scope, schema_url=scope.schema_url).SerializeToString()
        parts.append(_field(2, head + b"".join(_field(2, _span(span)) for span in spans)))
    return b"".join(parts)


def _span(span: ReadableSpan) -> bytes:
    context, parent = span.get_span_context(), span.parent
    attributes = [*(span.attributes or {}).items()]
    if (
        context is None
        or context.trace_state
        or span.events
        or span.start_time is None
        or span.end_time is None
        or not all(type(value) in _SIMPLE for _, value in attributes)
    ):
        theirs: bytes = _encode_span(span).SerializeToString()
        return theirs
    parts = [
        b"\x0a\x10",
        context.trace_id.to_bytes(16, "big"),
        b"\x12\x08",
        context.span_id.to_bytes(8, "big"),
        b"\x22\x08" + parent.span_id.to_bytes(8, "big") if parent else b"",
        _text(5, span.name),
        b"\x30%c" % _KINDS[span.kind],
        b"\x39",
        pack("<Q", span.start_time),
        b"\x41",
        pack("<Q", span.end_time),
    ]
    parts += [_attribute(name, value) for name, value in attributes]
    parts += [_field(13, _link(link)) for link in span.links]
    parts.append(_status(span.status.status_code, span.status.description))
    # that it is known whether the parent is elsewhere, and whether it is
    parts.append(b"\x85\x01" + pack("<I", 0x300 if parent and parent.is_remote else 0x100))
    for number, dropped in ((10, span.dropped_attributes), (12, span.dropped_events), (14, span.dropped_links)):
        if dropped:
            parts.append(_varint(number << 3) + _varint(dropped))
    return b"".join(parts)


def _link(link: Link) -> bytes:
    context = link.context
    if link.attributes or link.dropped_attributes:
        (theirs,) = _encode_links([link])
        serialized: bytes = theirs.SerializeToString()
        return serialized
    flags = pack("<I", 0x300 if context.is_remote else 0x100)
    ids = context.trace_id.to_bytes(16, "big"), context.span_id.to_bytes(8, "big")
    return b"\x0a\x10%b\x12\x08%b\x35%b" % (*ids, flags)


@lru_cache(maxsize=2048, typed=True)
def _attribute(name: str, value: Any) -> bytes:
    return _field(9, _encode_key_value(name, value).SerializeToString())


@lru_cache(maxsize=256)
def _status(code: StatusCode, description: str | None) -> bytes:
    status = _encode_status(Status(code, description))
    return _field(15, status.SerializeToString() if status else b"")


@lru_cache(maxsize=2048)
def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _field(number: int, content: bytes) -> bytes:
    """With its length before it."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
