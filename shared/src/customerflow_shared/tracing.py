"""Requests' spans. Whether a request is recorded is decided before anything is built for it; OpenTelemetry's middleware
asks last, and costs more than the whole of a read.
"""

from typing import Any

from litestar.types import ASGIApp, Receive, Send
from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import SpanKind, StatusCode, TraceFlags, Tracer

from customerflow_shared import telemetry

UNTRACED = ("/health/", "/docs")


def traced(app: ASGIApp) -> ASGIApp:
    """The application with a span for each request, as the configured sampler wants it."""
    provider = trace.get_tracer_provider()
    return Traced(app, provider) if isinstance(provider, TracerProvider) else app


class Traced:
    """A request that is not recorded has trace and span ids all the same: problems, logs and events tell them."""

    def __init__(self, app: ASGIApp, provider: TracerProvider) -> None:
        tracer: Any = provider.get_tracer("customerflow.requests")
        self._app = app
        self._tracer: Tracer = tracer
        self._ids = tracer.id_generator = _Ids(provider.id_generator)
        self._sampler = provider.sampler
        self._flags = TraceFlags(TraceFlags.RANDOM_TRACE_ID if self._ids.is_trace_id_random() else TraceFlags.DEFAULT)
        self._parents = frozenset(name.encode() for name in propagate.get_global_textmap().fields)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(UNTRACED):
            await self._app(scope, receive, send)
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
            trace_id, flags = self._ids.decide(), self._flags
        sampled = self._sampler.should_sample(context, trace_id, scope["method"], SpanKind.SERVER)
        if sampled.decision is not Decision.DROP:
            await self._recorded(context, scope, receive, send)
            return
        span = telemetry.Unrecorded(trace_id, flags, sampled.trace_state)
        silent = Context(context | telemetry.SILENT) if context else telemetry.SILENT
        token = contexts.attach(trace.set_span_in_context(span, silent))
        try:
            await self._app(scope, receive, send)
        finally:
            contexts.detach(token)

    async def _recorded(self, context: Context, scope: Any, receive: Receive, send: Send) -> None:
        """The span has no address, for a client may have put anything into it, and not whose it is; it is named by the
        route, once that is known.
        """
        method = scope["method"]

        async def told(message: Any) -> None:
            if message["type"] == "http.response.start":
                status = message["status"]
                span.set_attribute("http.status_code", status)
                if status >= 500:
                    span.set_status(StatusCode.ERROR)
                if route := scope.get("path_template"):
                    span.update_name(f"{method} {route}")
                    span.set_attribute("http.route", route)
            await send(message)

        with telemetry.span(
            self._tracer, method, context=context, kind=SpanKind.SERVER, attributes={"http.method": method}
        ) as span:
            await self._app(scope, receive, told)


class _Ids(IdGenerator):
    """A root span gets the trace id that was last decided upon: another one might not be recorded."""

    def __init__(self, ids: IdGenerator) -> None:
        self._ids = ids
        self._decided = 0

    def decide(self) -> int:
        self._decided = self._ids.generate_trace_id()
        return self._decided

    def generate_span_id(self) -> int:
        return self._ids.generate_span_id()

    def generate_trace_id(self) -> int:
        return self._decided

    def is_trace_id_random(self) -> bool:
        return self._ids.is_trace_id_random()
