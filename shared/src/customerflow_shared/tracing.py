"""Requests' spans. Whether a request is recorded is decided before anything is built for it, and what is recorded is
written down at its end; OpenTelemetry's middleware asks last, and costs more than the whole of a read.
"""

import time
from typing import Any, Final

from litestar.types import ASGIApp, Receive, Send
from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    ParentBasedTraceIdRatio,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    NoOpTracer,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)
from opentelemetry.trace.propagation import _SPAN_KEY
from opentelemetry.util.types import AttributeValue

from customerflow_shared import telemetry

UNTRACED = ("/health/", "/docs", "/metrics")
NAME: Final = "customerflow.requests"
_RATIO_BITS: Final = TraceIdRatioBased.TRACE_ID_LIMIT


def traced(app: ASGIApp) -> ASGIApp:
    """The application with a span for each request, as the configured sampler wants it."""
    provider = trace.get_tracer_provider()
    return Traced(app, provider) if isinstance(provider, TracerProvider) else app


class Traced:
    """A request that is not recorded has trace and span ids all the same: problems, logs and events tell them."""

    def __init__(self, app: ASGIApp, provider: TracerProvider) -> None:
        self._app = app
        self._provider = provider
        self._scope = InstrumentationScope(NAME)
        self._ids = provider.id_generator
        # OpenTelemetry may be switched off as a whole
        self._sampler = ALWAYS_OFF if isinstance(provider.get_tracer(NAME), NoOpTracer) else provider.sampler
        self._bound = _bound(self._sampler)
        self._flags = TraceFlags(TraceFlags.RANDOM_TRACE_ID if self._ids.is_trace_id_random() else TraceFlags.DEFAULT)
        self._parents = frozenset(name.encode() for name in propagate.get_global_textmap().fields)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"].startswith(UNTRACED):
            # nor do libraries make traces of what is done for it
            token = contexts.attach(telemetry.SILENT)
            try:
                await self._app(scope, receive, send)
            finally:
                contexts.detach(token)
            return
        context = contexts.get_current()
        for name, _ in scope["headers"]:
            if name in self._parents:
                carrier = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
                context = propagate.extract(carrier, context)
                break
        parent = trace.get_current_span(context).get_span_context() if context else trace.INVALID_SPAN_CONTEXT
        if parent.is_valid:
            trace_id, flags = parent.trace_id, TraceFlags(parent.trace_flags & ~TraceFlags.SAMPLED)
        else:
            trace_id, flags = self._ids.generate_trace_id(), self._flags
        state = None
        if parent.is_valid or self._bound is None:
            sampled = self._sampler.should_sample(context, trace_id, scope["method"], SpanKind.SERVER)
            decision, state = sampled.decision, sampled.trace_state
        else:  # what the sampler would say, without the objects that it makes to say so
            decision = Decision.RECORD_AND_SAMPLE if trace_id & _RATIO_BITS < self._bound else Decision.DROP
        if decision is not Decision.DROP:
            if decision is Decision.RECORD_AND_SAMPLE:
                flags = TraceFlags(flags | TraceFlags.SAMPLED)
            told = SpanContext(trace_id, self._ids.generate_span_id(), False, flags, state)
            begun = Recorded(scope["method"], told, parent if parent.is_valid else None, self._provider, self._scope)
            await self._recorded(begun, context, scope, receive, send)
            return
        span = telemetry.Unrecorded(trace_id, flags, state)
        token = contexts.attach(Context({**context, **telemetry.SILENT, _SPAN_KEY: span}))
        try:
            await self._app(scope, receive, send)
        finally:
            contexts.detach(token)

    async def _recorded(self, span: "Recorded", context: Context, scope: Any, receive: Receive, send: Send) -> None:
        """The span has no address (`url.path`), for a client may have put anything into it, and not whose it is; it is
        named by the route, once that is known.
        """
        method = scope["method"]
        span.set_attribute("http.request.method", method)
        span.set_attribute("url.scheme", scope.get("scheme", "http"))

        async def told(message: Any) -> None:
            if message["type"] == "http.response.start" and span.is_recording():
                status = message["status"]
                span.set_attribute("http.response.status_code", status)
                if status >= 500:
                    span.set_attribute("error.type", str(status))
                    span.set_status(StatusCode.ERROR)
                if route := scope.get("path_template"):
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)
            await send(message)

        token = contexts.attach(trace.set_span_in_context(span, context))
        try:
            await self._app(scope, receive, told)
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR, telemetry.describe(error))
            raise
        finally:
            contexts.detach(token)
            span.end()


def _bound(sampler: Sampler) -> int | None:
    """Below which the lower half of a trace's id must be, for who begins one to record it. None: it depends on more."""
    if type(sampler) in (ParentBased, ParentBasedTraceIdRatio):
        sampler = sampler._root  # type: ignore[attr-defined]  # both have one
    if sampler in (ALWAYS_OFF, ALWAYS_ON):
        return 0 if sampler is ALWAYS_OFF else _RATIO_BITS + 1
    return sampler.bound if type(sampler) is TraceIdRatioBased else None


class Recorded(ReadableSpan, NonRecordingSpan):  # type: ignore[misc]  # one of them may have no context, this has
    """Lasts until its end, and is what is sent then: OpenTelemetry's own takes ten times as long, with locks, limits
    and events that a request's span has no use for.
    """

    def __init__(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        provider: TracerProvider,
        scope: InstrumentationScope,
    ) -> None:
        self._told: dict[str, AttributeValue] = {}
        super().__init__(
            name,
            context,
            parent,
            provider.resource,
            self._told,
            kind=SpanKind.SERVER,
            start_time=time.time_ns(),
            instrumentation_scope=scope,
        )
        self._processor = provider._active_span_processor

    def get_span_context(self) -> SpanContext:
        return NonRecordingSpan.get_span_context(self)

    def is_recording(self) -> bool:
        return self._end_time is None

    def set_attribute(self, key: str, value: Any) -> None:
        self._told[key] = value

    def update_name(self, name: str) -> None:
        self._name = name

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        self._status = status if isinstance(status, Status) else Status(status, description)

    def end(self, end_time: int | None = None) -> None:
        """The first time counts."""
        if self._end_time is None:
            self._end_time = end_time or time.time_ns()
            self._processor.on_end(self)
