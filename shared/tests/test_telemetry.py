"""Logs and traces tell what has happened, never whose data it happened to."""

import asyncio
import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import structlog
from customerflow_shared import telemetry
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

SECRET = "ana@example.com"

log = structlog.get_logger()
foreign = logging.getLogger("a.library")


class Lines:
    """What has been logged."""

    def __init__(self, output: io.StringIO) -> None:
        self._output = output

    def read(self) -> list[dict[str, Any]]:
        text = self._output.getvalue()
        assert SECRET not in text
        return [json.loads(line) for line in text.splitlines()]

    def only(self) -> dict[str, Any]:
        (line,) = self.read()
        return line


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    output = io.StringIO()
    monkeypatch.setattr("sys.stdout", output)
    root = logging.getLogger()
    handlers, level, config = root.handlers[:], root.level, structlog.get_config()
    telemetry._configure_logs("test", "info")
    structlog.configure(cache_logger_on_first_use=False)
    yield Lines(output)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**config)


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(spans: InMemorySpanExporter) -> trace.Tracer:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return provider.get_tracer("test")


def test_a_line_is_one_json_object_that_names_the_program(lines: Lines) -> None:
    log.info("started", port=8080)
    line = lines.only()
    assert (line["event"], line["port"], line["program"], line["level"]) == ("started", 8080, "test", "info")
    assert line["timestamp"].endswith("Z")


def test_what_is_logged_in_a_span_has_its_ids(lines: Lines, tracer: trace.Tracer) -> None:
    with tracer.start_as_current_span("work") as span:
        log.info("working")
    context = span.get_span_context()
    line = lines.only()
    assert line["trace_id"] == trace.format_trace_id(context.trace_id)
    assert line["span_id"] == trace.format_span_id(context.span_id)


def test_what_is_logged_while_a_command_is_carried_out_has_its_correlation_id(lines: Lines) -> None:
    token = telemetry.CORRELATION.set(UUID(int=7))
    log.info("deciding")
    telemetry.CORRELATION.reset(token)
    log.info("done")
    during, after = lines.read()
    assert during["correlation_id"] == str(UUID(int=7))
    assert "correlation_id" not in after


def test_a_line_is_sent_as_it_is_written(lines: Lines, tracer: trace.Tracer) -> None:
    sent: Any = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]  # OpenTelemetry's
    telemetry._send_logs(Resource.create({}), SimpleLogRecordProcessor(sent))
    with tracer.start_as_current_span("work") as span:
        log.warning("working", since=1)
    foreign.error("no answer from %s", SECRET)
    logging.getLogger("opentelemetry.exporter").error("nobody takes it")
    first, second = (one.log_record for one in sent.get_finished_logs())
    written = lines.read()
    for one, line in zip((first, second), written, strict=False):
        assert {**json.loads(one.body), "timestamp": line["timestamp"]} == line
    assert first.trace_id == span.get_span_context().trace_id
    assert (first.severity_text, first.severity_number) == ("WARNING", SeverityNumber.WARN)
    assert second.severity_number is SeverityNumber.ERROR
    assert len(written) == 3
    assert SECRET not in second.body


def test_a_foreign_exception_is_told_by_type_and_place(lines: Lines) -> None:
    try:
        raise ValueError(SECRET)
    except ValueError as error:
        log.error("failed", exc_info=error)
    line = lines.only()
    assert line["error"] == "ValueError"
    assert "test_telemetry.py" in line["at"][-1]


def test_a_library_is_told_by_its_template(lines: Lines) -> None:
    foreign.warning("no answer from %s", SECRET)
    line = lines.only()
    assert (line["logger"], line["event"]) == ("a.library", "no answer from %s")


def test_a_library_that_logs_an_exception_or_a_filled_in_text_gives_nothing_away(lines: Lines) -> None:
    foreign.error(ValueError(SECRET))
    foreign.error(f"Exception in callback send({SECRET!r})")
    assert [line["event"] for line in lines.read()] == ["ValueError", "Exception in callback send"]


async def test_an_exception_that_nobody_waits_for_is_told_by_type_and_place(lines: Lines) -> None:
    async def failing() -> None:
        raise ValueError(SECRET)

    task = asyncio.create_task(failing())
    await asyncio.sleep(0)
    del task
    line = lines.only()
    assert (line["event"], line["error"]) == ("Task exception was never retrieved", "ValueError")


def test_an_exception_that_ends_the_program_is_told_by_type_and_place(lines: Lines) -> None:
    error = ValueError(SECRET)
    telemetry._log_uncaught(ValueError, error, None)
    line = lines.only()
    assert (line["level"], line["error"]) == ("critical", "ValueError")


def test_a_span_tells_of_an_error_without_its_text(spans: InMemorySpanExporter, tracer: trace.Tracer) -> None:
    with pytest.raises(ValueError, match=SECRET), telemetry.span(tracer, "work"):
        raise ValueError(SECRET)
    (span,) = spans.get_finished_spans()
    assert SECRET not in span.to_json()
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, "ValueError")
    assert not span.events


@pytest.mark.parametrize(
    ("error", "description"),
    [
        (ValueError(SECRET), "ValueError"),
        (ConnectionRefusedError(111, "refused"), "ConnectionRefusedError: [Errno 111] refused"),
        (ExceptionGroup("", [ValueError(SECRET), TypeError(SECRET)]), "ValueError, TypeError"),
    ],
)
def test_an_error_is_described_by_what_cannot_quote_anyone(error: BaseException, description: str) -> None:
    assert telemetry.describe(error) == description


def test_a_stored_trace_context_is_continued(tracer: trace.Tracer) -> None:
    with tracer.start_as_current_span("first") as first:
        stored = telemetry.current_traceparent()
    with tracer.start_as_current_span("second", context=telemetry.context_of(stored)) as second:
        assert second.get_span_context().trace_id == first.get_span_context().trace_id
    assert telemetry.current_traceparent() is None


Told = dict[int, dict[str, ReadableSpan]]
"""Spans by trace and name."""


def by_trace(spans: InMemorySpanExporter) -> Told:
    told: Told = {}
    for span in spans.get_finished_spans():
        named = told.setdefault(context(span).trace_id, {})
        assert span.name not in named
        named[span.name] = span
    return told


def test_work_for_several_is_in_the_trace_of_each_of_them(spans: InMemorySpanExporter, tracer: trace.Tracer) -> None:
    with pytest.raises(ValueError, match=SECRET):
        work_for([tracer.start_span(f"of {number}") for number in range(3)], tracer)
    told = by_trace(spans)
    assert len(told) == 3
    first, *others = [one for number in range(3) for one in told.values() if f"of {number}" in one]
    for number, one in enumerate((first, *others)):
        assert parent(one["batch"]) == context(one[f"of {number}"]).span_id
        assert parent(one["write"]) == context(one["batch"]).span_id
        assert one["batch"].attributes == {"size": 3, "more": 1}
        assert one["write"].kind is trace.SpanKind.CLIENT
        assert (one["batch"].start_time, one["batch"].end_time) == (first["batch"].start_time, first["batch"].end_time)
        assert one["batch"].status.description == "ValueError"
        assert SECRET not in one["batch"].to_json()
        assert len(encode_spans([*one.values()]).resource_spans) == 1
    assert linked(first["batch"]) == {
        context(one[f"of {number}"]).span_id for number, one in enumerate(others, start=1)
    }
    for one in others:
        assert linked(one["batch"]) == {context(first["batch"]).span_id}


def work_for(parents: list[trace.Span], tracer: trace.Tracer) -> None:
    try:
        contexts = [parent.get_span_context() for parent in parents]
        with telemetry.shared(tracer, "batch", contexts, attributes={"size": 3}) as span:
            span.set_attribute("more", 1)
            with telemetry.shared(tracer, "write", kind=trace.SpanKind.CLIENT):
                raise ValueError(SECRET)
    finally:
        for one in parents:
            one.end()


def context(span: ReadableSpan) -> trace.SpanContext:
    found = span.get_span_context()
    assert found is not None
    return found


def parent(span: ReadableSpan) -> int:
    assert span.parent is not None
    return span.parent.span_id


def linked(span: ReadableSpan) -> set[int]:
    return {link.context.span_id for link in span.links}


def test_of_work_for_several_only_those_that_are_recorded_are_told(
    spans: InMemorySpanExporter, tracer: trace.Tracer
) -> None:
    recorded = tracer.start_span("recorded")
    dropped = telemetry.Unrecorded(7, trace.TraceFlags(0), None)
    with telemetry.shared(tracer, "batch", [dropped.get_span_context(), recorded.get_span_context()]):
        assert is_instrumentation_enabled()
    recorded.end()
    ((_, told),) = by_trace(spans).items()
    assert {*told} == {"batch", "recorded"}
    assert not told["batch"].links


def test_of_work_for_those_that_nobody_records_nothing_is_told(
    spans: InMemorySpanExporter, tracer: trace.Tracer
) -> None:
    dropped = telemetry.Unrecorded(7, trace.TraceFlags(0), None)
    with telemetry.shared(tracer, "batch", [dropped.get_span_context(), trace.INVALID_SPAN_CONTEXT]):
        assert not is_instrumentation_enabled()
        with telemetry.shared(tracer, "write") as span:
            span.set_attribute("some", "thing")
    assert is_instrumentation_enabled()
    with telemetry.shared(tracer, "alone"):
        pass
    assert not spans.get_finished_spans()


def test_within_a_recorded_request_shared_work_is_its_child(spans: InMemorySpanExporter, tracer: trace.Tracer) -> None:
    with telemetry.span(tracer, "request") as request, telemetry.shared(tracer, "write"):
        pass
    (told,) = by_trace(spans).values()
    assert parent(told["write"]) == request.get_span_context().span_id


def test_what_began_elsewhere_is_told_from_its_beginning(spans: InMemorySpanExporter, tracer: trace.Tracer) -> None:
    with tracer.start_as_current_span("request") as request:
        stored = telemetry.current_traceparent()
    began = time.time_ns() - 5_000_000_000
    telemetry.past(tracer, "wait", stored, began)
    telemetry.past(tracer, "by a clock that is ahead", stored, time.time_ns() + 5_000_000_000)
    (told,) = by_trace(spans).values()
    assert parent(told["wait"]) == request.get_span_context().span_id
    assert told["wait"].start_time == began
    ahead = told["by a clock that is ahead"]
    assert ahead.start_time is not None
    assert ahead.end_time is not None
    assert ahead.start_time <= ahead.end_time
