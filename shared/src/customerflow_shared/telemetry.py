"""Logs, traces and metrics, set up in one call.

Logs are JSON lines on standard output with trace, span and correlation ids. Logs and traces carry no personal data: a
foreign exception is shown by type and place only, for its text may quote what it was given, and a line that a library
logs by its template. All of it goes out by OTLP when OTEL_EXPORTER_OTLP_ENDPOINT is set.
"""

import contextvars
import logging
import os
import random
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import Any
from uuid import UUID

import msgspec
import structlog
from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace import Span as RecordedSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from customerflow_shared import metrics, otlp

log = structlog.get_logger()

LAST_TRACES_MS = LAST_LOGS_MS = 2000
SILENT = contexts.set_value(contexts._SUPPRESS_INSTRUMENTATION_KEY, True, Context())
"""In which instrumented libraries make no spans: they would build them before they ask whether anybody records them."""

CORRELATION: contextvars.ContextVar[UUID | None] = contextvars.ContextVar("correlation", default=None)
"""Of what is done now; log lines tell it."""

_OTHERS = contexts.create_key("customerflow.others")
"""The spans, in other traces, of the work that is the current span's."""
_w3c = TraceContextTextMapPropagator()
_NOT_SAMPLED = re.compile(r"-[0-9a-f][02468ace]\Z")  # the flags, at the end: their last bit


def configure(program: str, *, log_level: str) -> None:
    """Call once, first thing in a program."""
    # names of attributes that stay as they are: else the libraries tell by those of before the conventions were stable
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database")
    resource = Resource.create({"service.name": f"customerflow-{program}"})
    provider = TracerProvider(resource=resource)
    if _are_taken("TRACES"):
        provider.add_span_processor(_Batches(otlp.Exporter()))
    trace.set_tracer_provider(provider)
    metrics.configure(resource)
    _configure_logs(program, log_level)
    if _are_taken("LOGS"):
        _send_logs(resource, _LogBatches(OTLPLogExporter()))
    sys.excepthook = _log_uncaught


def _are_taken(what: str) -> bool:
    return any(os.environ.get(f"OTEL_EXPORTER_OTLP_{name}") for name in ("ENDPOINT", f"{what}_ENDPOINT"))


class _Batches(BatchSpanProcessor):
    def shutdown(self) -> None:
        """By itself it waits for as long as the exporter tries: ten seconds and more if nobody takes them."""
        self._batch_processor.shutdown(LAST_TRACES_MS)


class _LogBatches(BatchLogRecordProcessor):
    def shutdown(self) -> None:
        self._batch_processor.shutdown(LAST_LOGS_MS)


def shut_down() -> None:
    """Send what is still buffered, if somebody takes it within two seconds."""
    work: list[Callable[[], None]] = [metrics.shut_down]
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        work.append(provider.shutdown)
    work += [handler.shut_down for handler in logging.getLogger().handlers if isinstance(handler, _Sending)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda one: one(), work))


def span(tracer: Tracer, name: str, **options: Any) -> AbstractContextManager[Span]:
    """A current span that tells of an error what the logs tell (`describe`), where OpenTelemetry's own would hold its
    text. In a request that is not recorded nothing is made: the current span is the request's.
    """
    current = trace.get_current_span()
    if "context" not in options and _is_dropped(current):
        return nullcontext(current)
    return _started(tracer, name, options)


class Unrecorded(NonRecordingSpan):
    """The span of what is not recorded. Its ids are made once they are asked for: most requests never tell them."""

    def __init__(self, trace_id: int, flags: TraceFlags, state: TraceState | None) -> None:
        self._told: SpanContext | None = None
        self._parts = trace_id, flags, state

    def get_span_context(self) -> SpanContext:
        if self._told is None:
            trace_id, flags, state = self._parts
            self._told = SpanContext(trace_id, random.getrandbits(64) or 1, False, flags, state)
        return self._told


def _is_dropped(span: Span) -> bool:
    """Whether the sampler has decided against it here; one that comes from elsewhere it has yet to decide upon."""
    if isinstance(span, Unrecorded):
        return True
    context = span.get_span_context()
    return context.is_valid and not (span.is_recording() or context.is_remote or context.trace_flags.sampled)


@contextmanager
def _started(tracer: Tracer, name: str, options: dict[str, Any]) -> Iterator[Span]:
    with tracer.start_as_current_span(
        name, record_exception=False, set_status_on_exception=False, **options
    ) as started:
        try:
            yield started
        except Exception as error:
            started.set_status(Status(StatusCode.ERROR, describe(error)))
            raise


@contextmanager
def shared(
    tracer: Tracer,
    name: str,
    parents: Iterable[SpanContext] | None = None,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Iterator[Span]:
    """Work that is done for several traces at once has a span in each of them, so that each is whole: as a child of
    each of the `parents`, or of what the shared work around it has there. The first one is current, and is linked to
    the others' parents, as they are to it: so none is lost. Where nobody records, nothing is made.
    """
    if parents is None:
        current = trace.get_current_span().get_span_context()
        recorded = [current, *(contexts.get_value(_OTHERS) or ())] if current.trace_flags.sampled else []  # type: ignore[misc]
        if not recorded:
            yield trace.INVALID_SPAN
            return
    else:
        recorded = [parent for parent in parents if parent.trace_flags.sampled]
    if not recorded:
        token = contexts.attach(SILENT)
        try:
            yield trace.INVALID_SPAN
        finally:
            contexts.detach(token)
        return
    first, *others = recorded
    context = trace.set_span_in_context(NonRecordingSpan(first), Context())
    lead = tracer.start_span(name, context, kind, attributes, [Link(other) for other in others])
    made = [
        SpanContext(other.trace_id, random.getrandbits(64) or 1, False, other.trace_flags, other.trace_state)
        for other in others
    ]
    token = contexts.attach(contexts.set_value(_OTHERS, tuple(made), trace.set_span_in_context(lead, context)))
    try:
        yield lead
    except Exception as error:
        lead.set_status(Status(StatusCode.ERROR, describe(error)))
        raise
    finally:
        contexts.detach(token)
        lead.end()
        if isinstance(lead, RecordedSpan):
            for told, parent in zip(made, others, strict=True):
                _tell_also(lead, told, parent)


def _tell_also(lead: RecordedSpan, told: SpanContext, parent: SpanContext) -> None:
    """The same span in another trace."""
    span = ReadableSpan(
        lead.name,
        told,
        parent,
        lead.resource,
        lead.attributes,
        links=[Link(lead.get_span_context())],
        kind=lead.kind,
        status=lead.status,
        start_time=lead.start_time,
        end_time=lead.end_time,
        instrumentation_scope=lead.instrumentation_scope,
    )
    lead._span_processor.on_end(span)


def past(tracer: Tracer, name: str, traceparent: str | None, began: int) -> None:
    """The span of what began then (nanoseconds since 1970), elsewhere, and ends now."""
    tracer.start_span(name, context_of(traceparent), start_time=min(began, time.time_ns())).end()


def untraced() -> contextvars.Context:
    """A context of its own, without a trace, in which instrumented libraries make no spans either."""
    made = contextvars.Context()
    made.run(contexts.attach, SILENT)
    return made


def current_traceparent() -> str | None:
    """The W3C trace context of the current span, to be stored with an event."""
    carrier: dict[str, str] = {}
    _w3c.inject(carrier)
    return carrier.get("traceparent")


def traceparent_of(span: Span) -> str | None:
    """The W3C trace context of a span that need not be the current one."""
    carrier: dict[str, str] = {}
    _w3c.inject(carrier, trace.set_span_in_context(span, Context()))
    return carrier.get("traceparent")


def is_dropped(traceparent: str | None) -> bool:
    """Whether who began the trace does not record it. Of what is no trace context nothing is known."""
    return traceparent is not None and _NOT_SAMPLED.search(traceparent) is not None


def recorded(traceparents: Iterable[str | None]) -> list[SpanContext]:
    """Those that somebody records, to be the parents of what is `shared`."""
    return [
        trace.get_current_span(context_of(one)).get_span_context()
        for one in dict.fromkeys(traceparents)
        if one is not None and not is_dropped(one)
    ]


def end_request() -> None:
    """End the request's span before the request ends: a stream may go on for days."""
    trace.get_current_span().end()


def context_of(traceparent: str | None) -> Context:
    """The context in which a span becomes a child of the one stored; an empty one if nothing was."""
    return _w3c.extract({"traceparent": traceparent} if traceparent else {}, Context())


def _configure_logs(program: str, level: str) -> None:
    def with_program(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        entry["program"] = program
        return entry

    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        with_program,
        _with_ids,
        _with_exception,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_foreign_template, *shared],
            use_get_message=False,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_serialize),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("asyncio", "httpx", "httpcore", "uvicorn.access", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # it would say that a stream's span had ended before the stream did
    logging.getLogger("opentelemetry.sdk.trace").setLevel(logging.ERROR)
    # they log as errors, again and again, what is raised to us as well
    for noisy in ("aiormq", "aio_pika"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


class _Sending(logging.Handler):
    """Sends each line as it is written, in the trace in which it is."""

    def __init__(self, resource: Resource, processor: LogRecordProcessor) -> None:
        super().__init__()
        self._provider = LoggerProvider(resource, shutdown_on_exit=False)
        self._provider.add_log_record_processor(processor)
        self._logger = self._provider.get_logger("customerflow")
        self.shut_down = self._provider.shutdown

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("opentelemetry"):
            return  # it would send that it cannot send
        self._logger.emit(
            LogRecord(
                timestamp=int(record.created * 1e9),
                context=contexts.get_current(),
                severity_text=record.levelname,
                # debug is 5, info 9, warning 13, error 17, critical 21
                severity_number=SeverityNumber(min(1 + record.levelno // 10 * 4, 21)),
                body=self.format(record),
            )
        )


def _send_logs(resource: Resource, processor: LogRecordProcessor) -> None:
    """Beside writing them."""
    root = logging.getLogger()
    sending = _Sending(resource, processor)
    sending.setFormatter(root.handlers[0].formatter)
    root.addHandler(sending)


def _serialize(entry: MutableMapping[str, Any], **_: Any) -> str:
    return msgspec.json.encode(entry, enc_hook=str).decode()


def _foreign_template(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What a library says, without the values that it put in: they may be anyone's."""
    record: logging.LogRecord = entry["_record"]
    entry["logger"] = record.name
    if isinstance(record.msg, BaseException):
        entry["event"] = describe(record.msg)
    else:
        # some are filled in already, as asyncio's are: what comes after the words is a repr
        entry["event"] = re.split(r"[\n(<{\"']", str(record.msg), maxsplit=1)[0].strip()
    return entry


def _log_uncaught(_: type[BaseException], error: BaseException, __: TracebackType | None) -> None:
    log.critical("not caught", exc_info=error)


def _with_ids(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        entry["trace_id"] = trace.format_trace_id(context.trace_id)
        entry["span_id"] = trace.format_span_id(context.span_id)
    if correlation_id := CORRELATION.get():
        entry["correlation_id"] = str(correlation_id)
    return entry


def _with_exception(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    info = entry.pop("exc_info", None)
    if not info:
        return entry
    error = info if isinstance(info, BaseException) else (info if isinstance(info, tuple) else sys.exc_info())[1]
    if error is not None:
        entry["error"] = describe(error)
        entry["at"] = [
            f"{frame.filename.rpartition('site-packages/')[2]}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(error.__traceback__)[-8:]
        ]
    return entry


def describe(error: BaseException) -> str:
    """An error for logs and parked entries: its type, and its text where that cannot quote a customer's data."""
    if isinstance(error, BaseExceptionGroup):
        return ", ".join(describe(one) for one in error.exceptions)
    name = type(error).__name__
    quotable = isinstance(error, OSError) or type(error).__module__.startswith("customerflow")
    return f"{name}: {error}" if quotable else name
