"""Logs and traces tell what has happened, never whose data it happened to."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from customerflow_shared import telemetry
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
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
