"""A tiny run of the scenarios on real servers, without the peers: what `make bench` does still works."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import NoReturn

import pytest
from customerflow_bench import peer, plots, results, system, tables
from customerflow_bench.bench import Bench
from customerflow_bench.processes import ProgramFailed
from customerflow_bench.results import Scenario
from customerflow_bench.scenarios import commands, growth, lag, projection, queries, rebuild, relay, telemetry
from customerflow_bench.system import System
from customerflow_local.stack import left_over
from rich.console import Console

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

CONSOLE = Console(quiet=True)
BENCH = Bench(1, 0.3, 0.1, clients=4, customers=50, console=CONSOLE, told=lambda _: None)
SCENARIOS: dict[str, Callable[[Bench], Scenario]] = {
    "queries": queries.run,
    "telemetry": telemetry.run,
    "commands": commands.run,
    "lag": lag.run,
    "projection": projection.run,
    "rebuild": rebuild.run,
    "relay": relay.run,
}


@pytest.fixture(scope="module")
def one_system() -> Iterator[System]:
    """For all scenarios."""
    with system.fresh(CONSOLE, "bench-smoke") as started:
        yield started
    assert not started.stack.instance.folder.exists()
    assert not left_over(started.stack.instance.folder)


@pytest.fixture(autouse=True)
def tiny(one_system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_here(*_: object) -> NoReturn:
        raise ProgramFailed("not here")

    def same(_: Bench) -> AbstractContextManager[System]:
        return nullcontext(one_system)

    monkeypatch.setattr(peer, "command", not_here)
    monkeypatch.setattr(Bench, "system", same)
    monkeypatch.setattr(queries, "CUSTOMERS", 60)
    monkeypatch.setattr(projection, "CUSTOMERS", 50)
    monkeypatch.setattr(relay, "CUSTOMERS", 50)
    monkeypatch.setattr(relay, "CAPTURED", 20)
    monkeypatch.setattr(growth, "LENGTHS", (3, 5))
    monkeypatch.setattr(growth, "EACH", 1)
    monkeypatch.setattr(growth, "WARM", 2)


async def test_long_streams_are_measured(one_system: System) -> None:
    rows = await asyncio.to_thread(lambda: list(growth.streams(one_system)))
    for length in growth.LENGTHS:
        found = {row.figure: len(row.rounds) for row in rows if row.subject == f"streams of {length} events"}
        asked = dict.fromkeys(("change, ms", "detail, ms", "timeline, ms", "as of the middle, ms"), growth.WARM)
        assert found == {"first change after a start, ms": 1, **asked}


async def test_every_scenario_is_measured_judged_told_and_drawn() -> None:
    result = results.begun(results.machine(), BENCH.settings())
    for name, run in SCENARIOS.items():
        result.scenarios[name] = await asyncio.to_thread(run, BENCH)  # it has event loops of its own
    commands.compare_with_commands(result)
    for _, row in results.every_row(result):
        assert len(row.rounds) == BENCH.rounds, row
        assert all(0 <= value < 10_000_000 for value in row.rounds), row
    judged = [
        f"{name}: {what}"
        for name, scenario in result.scenarios.items()
        for what, values, one in tables.targets(scenario)
        if tables.verdict(values[0], one)
    ]
    assert judged == [
        "queries: CustomerFlow, one customer / bare ASGI, constant answer, answers/s",
        "telemetry: commands, on / commands, off, commands/s",
        "telemetry: commands, off / commands, on, CPU, ms each",
        "telemetry: reads, on / reads, off, answers/s",
        "telemetry: reads, off / reads, on, CPU, ms each",
        "commands: CustomerFlow's command API / bare driver, commands/s",
        "commands: CustomerFlow at half of its rate, p50, ms",
        "commands: CustomerFlow at half of its rate, p99, ms",
        "lag: 300 commands/s, visible p50, ms",
        "lag: 300 commands/s, visible p99, ms",
        "projection: CustomerFlow / aio-pika alone, events/s",
        "projection: CustomerFlow, events/s / commands over HTTP, commands/s",
        f"rebuild: CustomerFlow / {rebuild.WANTED}, events/s, building",
        "relay: CustomerFlow / aio-pika alone, messages/s",
        "relay: CustomerFlow, events/s / commands over HTTP, commands/s",
    ]
    told = "\n".join(tables.table(result))
    assert all(f"### {name}: " in told for name in SCENARIOS)
    assert "not measured. not here" in told
    (reached, *_) = plots.plotted(result)
    assert [line["name"].split(":")[0] for line in reached["lines"]] == [one.split(":")[0] for one in judged]
