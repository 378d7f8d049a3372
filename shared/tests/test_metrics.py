"""What is counted is told alike to Prometheus and by OTLP, whoever asks, and however much it is."""

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from customerflow_shared import metrics
from customerflow_shared.metrics import Counter, Exposition, Gauge, Histogram, Registry, UpDownCounter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.resources import Resource
from prometheus_client import REGISTRY as OF_THE_PROCESS
from prometheus_client.parser import text_string_to_metric_families

RESOURCE = Resource.create({"service.name": "customerflow-test"})
BOUNDS = (0.1, 1)


@pytest.fixture(autouse=True)
def nobody_takes_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", raising=False)


@pytest.fixture
def registry() -> Registry:
    """With one of each kind."""
    registry = Registry()
    counter = Counter("test.things", "{thing}", "Things.", ["kind", "outcome"], {"fixed": "f"})
    counter.add(2, "a", "done")
    counter.add(3, "a", "done")
    counter.add(1, "b", "")
    held = UpDownCounter("test.held", "{thing}", "Things held.")
    held.add(3)
    held.add(-2)
    gauge = Gauge("test.level", "By", "A level.", ["where"])
    gauge.set(7, "here")
    gauge.read(lambda: 8.5, "there")
    gauge.set(None, "nowhere")
    took = Histogram("test.duration", "s", "A time.", ["route"], bounds=BOUNDS)
    for seconds in (0.05, 0.1, 0.5, 30):
        took.record(seconds, "/x")
    for instrument in (counter, held, gauge, took):
        registry.add(instrument)
    return registry


def told(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    samples = [sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples]
    found = {(one.name, tuple(sorted(one.labels.items()))): one.value for one in samples}
    assert len(found) == len(samples)
    return found


def test_prometheus_is_told_every_kind(registry: Registry) -> None:
    found = told(Exposition(registry, RESOURCE).text())
    target = found.pop(next(key for key in found if key[0] == "target_info"))
    assert target == 1
    assert found == {
        ("test_things_total", (("fixed", "f"), ("kind", "a"), ("outcome", "done"))): 5,
        ("test_things_total", (("fixed", "f"), ("kind", "b"), ("outcome", ""))): 1,
        ("test_held", ()): 1,
        ("test_level_bytes", (("where", "here"),)): 7,
        ("test_level_bytes", (("where", "there"),)): 8.5,
        ("test_duration_seconds_bucket", (("le", "0.1"), ("route", "/x"))): 2,
        ("test_duration_seconds_bucket", (("le", "1.0"), ("route", "/x"))): 3,
        ("test_duration_seconds_bucket", (("le", "+Inf"), ("route", "/x"))): 4,
        ("test_duration_seconds_count", (("route", "/x"),)): 4,
        ("test_duration_seconds_sum", (("route", "/x"),)): 30.65,
    }


def test_each_collection_tells_the_sum_so_far(registry: Registry) -> None:
    exposition = Exposition(registry, RESOURCE)
    first = told(exposition.text())
    assert told(exposition.text()) == first
    (took,) = (one for one in registry if isinstance(one, Histogram))
    took.record(0.05, "/x")
    assert told(exposition.text())["test_duration_seconds_count", (("route", "/x"),)] == 5


def test_what_is_made_later_is_told_too(registry: Registry) -> None:
    exposition = Exposition(registry, RESOURCE)
    registry.add(Counter("test.later", "{thing}", "Later."))
    assert told(exposition.text())["test_later_total", ()] == 0


def test_the_process_s_own_registry_stays_as_it_was(registry: Registry) -> None:
    before = list(OF_THE_PROCESS.collect())
    expositions = [Exposition(registry, RESOURCE) for _ in range(2)]
    assert all(b"test_held" in one.text() for one in expositions)
    assert [one.name for one in OF_THE_PROCESS.collect()] == [one.name for one in before]


def test_a_name_is_given_once(registry: Registry) -> None:
    with pytest.raises(ValueError, match=r"test\.held"):
        registry.add(Gauge("test.held", "", ""))


@pytest.mark.parametrize("labels", [(), ("a",), ("a", "b", "c")])
def test_each_label_must_be_given(labels: tuple[str, ...]) -> None:
    counter = Counter("test", "", "", ["one", "two"])
    with pytest.raises(ValueError, match="labels"):
        counter.add(1, *labels)


def test_there_are_no_more_series_than_a_bound() -> None:
    counter = Counter("test", "", "", ["id"])
    took = Histogram("took", "s", "", ["id"], bounds=BOUNDS)
    level = Gauge("level", "", "", ["id"])
    for number in range(metrics.MOST_POINTS * 2):
        counter.add(1, number)
        took.record(1, number)
        level.set(1, number)
    points = list(counter.observe())
    assert len(points) == len(list(level.observe())) == metrics.MOST_POINTS + 1
    assert points[-1] == (metrics.MOST_POINTS, {"otel.metric.overflow": "true"})
    data = took.collected(0).data
    assert len(data.data_points) == metrics.MOST_POINTS + 1
    assert data.data_points[-1].count == metrics.MOST_POINTS  # type: ignore[union-attr]  # a histogram's
    assert counter.value(0) == 1
    counter.add(1, 0)
    assert counter.value(0) == 2


def test_threads_may_collect_at_once_while_others_count(registry: Registry) -> None:
    exposition, failed = Exposition(registry, RESOURCE), []
    took = Histogram("test.busy", "s", "", ["n"], bounds=BOUNDS)
    registry.add(took)

    def collect() -> None:
        try:
            for _ in range(20):
                told(exposition.text())
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=collect) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(20_000):
        took.record(0.1, number % 400)
    for thread in threads:
        thread.join()
    assert failed == []
    samples = told(exposition.text())
    assert sum(value for (name, _), value in samples.items() if name == "test_busy_seconds_count") == 20_000


@pytest.fixture
def collector() -> Iterator[tuple[str, list[ExportMetricsServiceRequest]]]:
    """Takes metrics by OTLP."""
    taken: list[ExportMetricsServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            taken.append(ExportMetricsServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", taken
        server.shutdown()
        thread.join()


def test_otlp_tells_the_same_at_the_end(
    registry: Registry,
    collector: tuple[str, list[ExportMetricsServiceRequest]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, taken = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    exposition = Exposition(registry, RESOURCE)
    assert b"test_held 1.0" in exposition.text()
    exposition.shut_down()
    (resource,) = taken[-1].resource_metrics
    assert {one.key: one.value.string_value for one in resource.resource.attributes}[
        "service.name"
    ] == "customerflow-test"
    found = {metric.name: metric for scope in resource.scope_metrics for metric in scope.metrics}
    assert {*found} == {"test.things", "test.held", "test.level", "test.duration"}
    assert sorted(point.as_int for point in found["test.things"].sum.data_points) == [1, 5]
    assert found["test.things"].sum.is_monotonic
    assert not found["test.held"].sum.is_monotonic
    (point,) = found["test.duration"].histogram.data_points
    assert (list(point.bucket_counts), list(point.explicit_bounds)) == ([2, 1, 1], [0.1, 1])
    assert (point.count, point.sum) == (4, 30.65)
    assert not point.HasField("min")
    assert 0 < point.start_time_unix_nano <= point.time_unix_nano


def test_a_program_tells_of_itself() -> None:
    found = told(metrics.text())
    assert found["process_cpu_time_seconds_total", (("cpu_mode", "user"),)] > 0
    assert found["process_memory_usage_bytes", ()] > 10_000_000
    assert found["process_uptime_seconds", ()] > 0


def test_of_a_gauge_what_is_not_measured_any_more_is_not_told() -> None:
    gauge = Gauge("test.length", "{thing}", "Things.", ["where"])
    gauge.only({("here",): 1, ("there",): 2, ("somewhere",): None})
    gauge.only({("there",): 3, ("elsewhere",): 4})
    assert sorted((labels["where"], length) for length, labels in gauge.observe()) == [("elsewhere", 4), ("there", 3)]


def test_a_gauge_whose_labels_come_and_go_keeps_those_that_are_there() -> None:
    gauge = Gauge("test.length", "{thing}", "Things.", ["where"])
    for number in range(3):
        gauge.only({(f"{number}-{place}",): place for place in range(metrics.MOST_POINTS)})
    assert len({labels["where"] for _, labels in gauge.observe()}) == metrics.MOST_POINTS
    gauge.only({(str(place),): place for place in range(2 * metrics.MOST_POINTS)})
    assert len([*gauge.observe()]) == metrics.MOST_POINTS + 1
    gauge.only({("here",): 1})
    assert [*gauge.observe()] == [(1, {"where": "here"})]
