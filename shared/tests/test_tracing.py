"""Whether a request is recorded is decided once, where its trace begins; all of them can be told of."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import httpx
import pytest
from customerflow_shared import telemetry, tracing
from customerflow_shared.problems import Problem
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.sdk.trace import TracerProvider, sampling
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

SECRET = "ana@example.com"
TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = f"00-{TRACE}-b7ad6b7169203331-01"
NOT_SAMPLED = f"00-{TRACE}-b7ad6b7169203331-00"


class Requests:
    """Requests to an application that answers by a problem, with work in a span of its own."""

    def __init__(self, sampler: sampling.Sampler) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(sampler=sampler)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self._tracer = provider.get_tracer("test")
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(tracing.Traced(self._app, provider)),  # type: ignore[arg-type]  # Any scopes
            base_url="http://test",
        )
        self.provider = provider
        self.status = 404
        self.raised: Exception | None = None
        self.before_answer: Callable[[], None] = lambda: None
        self.instrumented: list[bool] = []
        self.stored: list[str | None] = []

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        scope["path_template"] = "/route"
        self.instrumented.append(is_instrumentation_enabled())
        with telemetry.span(self._tracer, "work", attributes={"some": "thing"}) as span:
            span.set_attribute("more", 1)
            self.stored.append(telemetry.current_traceparent())
        self.before_answer()
        body = Problem("route-not-found", "Nothing here.").document("/route")
        await send({"type": "http.response.start", "status": self.status, "headers": []})
        await send({"type": "http.response.body", "body": body})
        if self.raised:
            raise self.raised

    async def ask(self, path: str = "/route", **headers: str) -> Any:
        """The trace id that the client is told."""
        return json.loads((await self._client.get(path, headers=headers)).content).get("traceId")

    def spans(self) -> dict[str, Any]:
        return {span.name: span for span in self.exporter.get_finished_spans()}


RATIO = sampling.ParentBasedTraceIdRatio


async def test_a_request_that_is_not_recorded_has_a_trace_id_and_no_spans() -> None:
    requests = Requests(RATIO(0.0))
    told = [await requests.ask(), await requests.ask()]
    assert all(told)
    assert told[0] != told[1]
    assert not requests.spans()
    assert not any(requests.instrumented)


async def test_what_it_stores_tells_that_nobody_records_it() -> None:
    requests = Requests(RATIO(0.0))
    told = await requests.ask()
    stored = telemetry.context_of(requests.stored[0])
    context = trace.get_current_span(stored).get_span_context()
    assert (trace.format_trace_id(context.trace_id), context.trace_flags.sampled) == (told, False)


async def test_a_request_that_is_recorded_is_a_whole_trace() -> None:
    requests = Requests(RATIO(1.0))
    told = await requests.ask()
    spans = requests.spans()
    assert {*spans} == {"GET /route", "work"}
    assert {trace.format_trace_id(one.context.trace_id) for one in spans.values()} == {told}
    assert spans["work"].parent.span_id == spans["GET /route"].context.span_id
    assert spans["GET /route"].parent is None
    assert requests.instrumented == [True]


async def test_a_recorded_request_is_told_by_method_route_and_status() -> None:
    requests = Requests(RATIO(1.0))
    await requests.ask()
    span = requests.spans()["GET /route"]
    assert span.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 404,
        "http.route": "/route",
        "url.scheme": "http",
    }
    assert (span.kind, span.status.status_code) == (SpanKind.SERVER, StatusCode.UNSET)
    assert span.instrumentation_scope.name == tracing.NAME
    assert span.resource is requests.provider.resource
    assert span.start_time <= requests.spans()["work"].start_time <= span.end_time
    assert json.loads(span.to_json())["name"] == "GET /route"
    assert len(encode_spans([span]).resource_spans) == 1


@pytest.mark.parametrize("raised", [None, ValueError(SECRET)])
async def test_a_recorded_request_that_fails_is_an_error_and_tells_no_text(raised: Exception | None) -> None:
    requests = Requests(RATIO(1.0))
    requests.status, requests.raised = 500, raised
    with nullcontext() if raised is None else pytest.raises(ValueError, match=SECRET):
        await requests.ask()
    span = requests.spans()["GET /route"]
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == (raised and "ValueError")
    assert span.attributes["error.type"] == ("ValueError" if raised else "500")
    assert SECRET not in span.to_json()


async def test_a_request_whose_span_was_ended_before_it_is_written_down_once() -> None:
    requests = Requests(RATIO(1.0))
    requests.before_answer = telemetry.end_request
    await requests.ask()
    assert [span.name for span in requests.exporter.get_finished_spans()] == ["work", "GET"]


async def test_where_opentelemetry_is_switched_off_nothing_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    requests = Requests(RATIO(1.0))
    assert await requests.ask()
    assert not requests.spans()


async def test_a_parent_that_is_recorded_makes_the_whole_trace() -> None:
    requests = Requests(RATIO(0.0))
    assert await requests.ask(traceparent=SAMPLED) == TRACE
    spans = requests.spans()
    assert {trace.format_trace_id(one.context.trace_id) for one in spans.values()} == {TRACE}
    assert {*spans} == {"GET /route", "work"}
    assert trace.format_span_id(spans["GET /route"].parent.span_id) == SAMPLED.split("-")[2]


async def test_a_parent_that_is_not_recorded_makes_none() -> None:
    requests = Requests(RATIO(1.0))
    assert await requests.ask(traceparent=NOT_SAMPLED) == TRACE
    assert not requests.spans()
    assert requests.stored[0] is not None
    assert requests.stored[0].endswith("-00")


async def test_a_sampler_that_does_not_heed_parents_is_asked_all_the_same() -> None:
    requests = Requests(sampling.ALWAYS_ON)
    assert await requests.ask(traceparent=NOT_SAMPLED) == TRACE
    assert {*requests.spans()} == {"GET /route", "work"}


async def test_a_parent_that_is_malformed_is_none() -> None:
    requests = Requests(RATIO(1.0))
    assert await requests.ask(traceparent="00-nothing") is not None
    assert {*requests.spans()} == {"GET /route", "work"}


@pytest.mark.parametrize("sampler", [RATIO(0.1), sampling.TraceIdRatioBased(0.1)])
async def test_a_tenth_is_about_a_tenth_and_each_trace_is_whole(sampler: sampling.Sampler) -> None:
    requests = Requests(sampler)
    for _ in range(1500):
        await requests.ask()
    spans = requests.exporter.get_finished_spans()
    roots = {span.context.trace_id for span in spans if span.name == "GET /route"}
    assert 80 < len(roots) < 240  # six standard deviations
    assert roots == {span.context.trace_id for span in spans if span.name == "work"}


@pytest.mark.parametrize(
    "sampler",
    [
        RATIO(0.1),
        RATIO(0.0),
        RATIO(1.0),
        sampling.TraceIdRatioBased(0.3),
        sampling.ParentBased(sampling.ALWAYS_ON),
        sampling.ParentBased(sampling.TraceIdRatioBased(0.5)),
        sampling.ALWAYS_ON,
        sampling.ALWAYS_OFF,
    ],
)
async def test_who_begins_a_trace_decides_as_the_sampler_does(
    sampler: sampling.Sampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = Requests(sampler)
    lower = [int(share * 2**64) + step for share in (0, 0.1, 0.3, 0.5, 1) for step in (-1, 0, 1)]
    ids = iter([1 << 100 | one for one in lower if 0 < one < 2**64])
    monkeypatch.setattr(requests.provider.id_generator, "generate_trace_id", lambda: next(ids))
    expected = []
    for one in (1 << 100 | one for one in lower if 0 < one < 2**64):
        if sampler.should_sample(None, one, "GET", SpanKind.SERVER).decision is not sampling.Decision.DROP:
            expected.append(one)
        await requests.ask()
    spans = requests.exporter.get_finished_spans()
    assert [span.context.trace_id for span in spans if span.name == "GET /route"] == expected


class Custom(sampling.Sampler):
    """Depends on more than the trace's id."""

    def should_sample(
        self, parent_context: Any, trace_id: int, name: str, *_: Any, **__: Any
    ) -> sampling.SamplingResult:
        wanted = name == "GET" and trace_id % 2
        return sampling.SamplingResult(sampling.Decision.RECORD_AND_SAMPLE if wanted else sampling.Decision.DROP)

    def get_description(self) -> str:
        return "custom"


@pytest.mark.parametrize("sampler", [Custom(), sampling.ParentBased(Custom())])
async def test_a_sampler_of_another_kind_is_asked(sampler: sampling.Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = Requests(sampler)
    ids = iter((2, 3, 4, 5))
    monkeypatch.setattr(requests.provider.id_generator, "generate_trace_id", lambda: next(ids))
    for _ in range(4):
        await requests.ask()
    spans = requests.exporter.get_finished_spans()
    assert [span.context.trace_id for span in spans if span.name == "GET /route"] == [3, 5]


@pytest.mark.parametrize("path", ["/health/live", "/docs/assets/swagger_style.css"])
async def test_what_is_asked_of_the_program_itself_makes_no_trace(path: str) -> None:
    requests = Requests(RATIO(1.0))
    assert await requests.ask(path) is None
    assert not any(requests.instrumented)
    assert {*requests.spans()} <= {"work"}


async def test_nothing_is_left_behind_in_the_context() -> None:
    await Requests(RATIO(0.0)).ask()
    assert telemetry.current_traceparent() is None
    assert is_instrumentation_enabled()


@pytest.mark.parametrize(
    ("traceparent", "dropped"),
    [
        (NOT_SAMPLED, True),
        (NOT_SAMPLED[:-2] + "02", True),  # its id is random, says the other bit
        (NOT_SAMPLED[:-2] + "01", False),
        (NOT_SAMPLED[:-2] + "03", False),
        ("nobody's", False),
        ("", False),
        (None, False),
    ],
)
def test_whether_a_trace_is_recorded_stands_in_its_last_bit(traceparent: str | None, dropped: bool) -> None:
    assert telemetry.is_dropped(traceparent) is dropped
