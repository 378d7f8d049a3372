"""Spans are written as OpenTelemetry itself would write them."""

import random
import time
from typing import Any

import pytest
from customerflow_shared import otlp
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

RESOURCE = Resource.create({"service.name": "customerflow-test"})
SCOPE = InstrumentationScope("customerflow.test", "1.0")
NOW = time.time_ns()


def context(*, remote: bool = False, state: TraceState | None = None) -> SpanContext:
    return SpanContext(random.getrandbits(128), random.getrandbits(64), remote, TraceFlags(1), state)


def a_span(**other: Any) -> ReadableSpan:
    fields: dict[str, Any] = {
        "name": "GET /v1/customers/{customer_id}",
        "context": context(),
        "resource": RESOURCE,
        "instrumentation_scope": SCOPE,
        "start_time": NOW,
        "end_time": NOW + 12_345,
    }
    return ReadableSpan(**fields | other)


def written(spans: list[ReadableSpan]) -> ExportTraceServiceRequest:
    request: ExportTraceServiceRequest = ExportTraceServiceRequest.FromString(otlp.encoded(spans))
    return request


SPANS = {
    "bare": a_span(),
    "of every kind of value": a_span(
        attributes={"text": "é" * 200, "empty": "", "yes": True, "no": False, "one": 1, "less": -7, "half": 0.5}
    ),
    "with a parent": a_span(parent=context()),
    "with a parent elsewhere": a_span(parent=context(remote=True)),
    "with links": a_span(links=[Link(context()), Link(context(remote=True), {"some": "thing"})]),
    "failed": a_span(status=Status(StatusCode.ERROR, "ValueError")),
    "failed without words": a_span(status=Status(StatusCode.ERROR)),
    "well": a_span(status=Status(StatusCode.OK)),
    "with a long name": a_span(name="n" * 40_000),
    "with a list": a_span(attributes={"many": ["a", "b"], "one": 1}),
    "with an event": a_span(events=[Event("it happened", {"some": "thing"}, NOW)]),
    "with a trace state": a_span(context=context(state=TraceState([("vendor", "value")]))),
    "not ended": a_span(end_time=None),
    **{f"of kind {kind.name}": a_span(kind=kind) for kind in SpanKind},
}


@pytest.mark.parametrize("span", SPANS.values(), ids=SPANS.keys())
def test_a_span_is_written_as_opentelemetry_does(span: ReadableSpan) -> None:
    assert written([span]) == encode_spans([span])


def test_values_that_are_equal_but_not_the_same_stay_what_they_are() -> None:
    spans = [a_span(attributes={"value": value}) for value in (1, True, 1.0, "1")]
    assert written(spans) == encode_spans(spans)


def test_many_spans_of_several_programs_and_scopes_are_written_together() -> None:
    other, elsewhere = InstrumentationScope("other"), Resource({"service.name": "x"}, "https://schema.example")
    spans = [
        a_span(name=f"{number}", resource=resource, instrumentation_scope=scope)
        for resource in (RESOURCE, elsewhere)
        for scope in (SCOPE, other)
        for number in range(300)
    ]
    assert written(spans) == encode_spans(spans)


def test_nothing_is_written_as_nothing() -> None:
    assert written([]) == encode_spans([])


def test_it_takes_a_fraction_of_the_time() -> None:
    spans = [
        a_span(attributes={"http.request.method": "GET", "http.response.status_code": 200, "http.route": "/v1"})
        for _ in range(500)
    ]

    def seconds(write: Any) -> float:
        begun = time.process_time()
        write(spans)
        return time.process_time() - begun

    ours = min(seconds(otlp.encoded) for _ in range(5))
    theirs = min(seconds(lambda some: encode_spans(some).SerializeToString()) for _ in range(5))
    assert ours < theirs / 2
