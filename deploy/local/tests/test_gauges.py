"""What the terminal shows is what the programs have told."""

import asyncio
from collections.abc import Iterator
from io import StringIO

import pytest
from customerflow_local import gauges, waterfall
from customerflow_local.errors import LocalStackError
from customerflow_local.gauges import Gauges, Sums, quantile
from customerflow_local.sink import Sink, Span
from customerflow_local.waterfall import draw
from customerflow_shared.metrics import Counter, Exposition, Gauge, Histogram, Registry
from opentelemetry.sdk.resources import Resource
from rich.console import Console

INFINITE = float("inf")


@pytest.mark.parametrize(
    ("q", "buckets", "expected"),
    [
        (0.5, {}, None),
        (0.5, {1: 0, INFINITE: 0}, None),
        (0.5, {1: 10, INFINITE: 10}, 0.5),
        (0.5, {1: 0, 2: 10, INFINITE: 10}, 1.5),
        (0.9, {1: 0, 2: 5, 4: 10, INFINITE: 10}, 3.6),
        (0.99, {1: 5, INFINITE: 10}, 1),
    ],
)
def test_a_quantile_lies_within_its_bucket(q: float, buckets: dict[float, float], expected: float | None) -> None:
    found = quantile(q, buckets)
    assert found == (pytest.approx(expected) if expected is not None else None)


class Program:
    """Tells what it has measured, as ours do."""

    def __init__(self, service: str) -> None:
        registry = Registry()
        self.commands = Counter("customerflow.commands", "{command}", "", ["outcome"])
        self.lags = Histogram("customerflow.projection.lag", "s", "", bounds=(0.01, 0.1))
        self.answers = Histogram("http.server.request.duration", "s", "", ["http.route"], bounds=(0.01, 0.1))
        self.waiting = Gauge("customerflow.outbox.backlog", "{event}", "")
        for one in (self.commands, self.lags, self.answers, self.waiting):
            registry.add(one)
        self.waiting.set(0)
        self._exposition = Exposition(registry, Resource.create({"service.name": service}))

    def text(self) -> str:
        return self._exposition.text().decode()


def shown(figures: Gauges) -> str:
    output = StringIO()
    Console(file=output, width=120).print(figures)
    return output.getvalue()


def test_rates_are_since_the_last_look_and_times_since_the_first() -> None:
    command, projector = Program("customerflow-command"), Program("customerflow-projector")
    figures = Gauges([])
    looks = []
    for seconds in (0.0, 1.0, 3.0):
        sums = Sums(seconds)
        for program in (command, projector):
            sums.add(program.text())
        looks.append(sums)
        command.commands.add(20, "done")
        command.commands.add(10, "VersionMismatch")
        command.answers.record(0.05, "/a")
        projector.answers.record(1, "/b")
        projector.lags.record(0.005)
        command.waiting.set(7)
    figures._first, figures._before, figures._now = looks
    lines = {line.strip() for line in shown(figures).splitlines()}
    assert any(line.startswith("commands ") and " 15/s" in line for line in lines)
    assert any("waiting in the outbox" in line and line.endswith(" 7") for line in lines)
    assert any(line.startswith("from commit to visible") and "50 % 5 ms" in line for line in lines)
    assert any(line.startswith("from a command to its answer") and "50 % 55 ms" in line for line in lines)


def test_before_there_are_two_looks_there_is_nothing_to_show() -> None:
    assert shown(Gauges([])).strip() == ""


async def test_programs_that_are_away_stop_nothing() -> None:
    output = StringIO()
    async with gauges.beside("at work", ["http://127.0.0.1:9"], Console(file=output)) as figures:
        await asyncio.sleep(0.1)
        assert shown(figures).strip() == ""


def span(name: str, parent: str, begun: int, ended: int, error: str | None = None) -> Span:
    return Span("t", name, parent, (), "customerflow-command", name, {}, "INTERNAL", (), begun, ended, error)


def test_a_waterfall_has_a_line_for_each_span_below_its_parent() -> None:
    output = StringIO()
    spans = [
        span("late", "root", 60_000_000, 100_000_000, "failed"),
        span("child", "early", 10_000_000, 20_000_000),
        span("root", "client", 0, 100_000_000),
        span("early", "root", 10_000_000, 30_000_000),
    ]
    draw(spans, Console(file=output, width=120))
    title, _, *lines = output.getvalue().splitlines()
    assert "100.0 ms" in title
    assert [line.split("command")[0].rstrip() for line in lines] == [" root", "   early", "     child", "   late"]
    starts = [line.index("━") for line in lines]
    assert starts[0] < starts[1] == starts[2] < starts[3]
    assert [line.split()[-1] for line in lines] == ["100.00", "20.00", "10.00", "40.00"]
    widths = [line.count("━") for line in lines]
    assert widths[0] > widths[3] > widths[1] > widths[2]


@pytest.fixture
def taken() -> Iterator[None]:
    with Sink(waterfall.PORT):
        yield


@pytest.mark.usefixtures("taken")
def test_where_somebody_else_listens_it_says_so() -> None:
    with pytest.raises(LocalStackError, match=str(waterfall.PORT)):
        waterfall.traced_command("http://127.0.0.1:9")
