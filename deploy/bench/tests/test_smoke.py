"""A tiny run of two scenarios on real servers, without the peers."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NoReturn

import pytest
from customerflow_bench import peer, system, tables
from customerflow_bench.bench import Bench
from customerflow_bench.processes import ProgramFailed
from customerflow_bench.scenarios import commands, queries
from customerflow_local.stack import left_over
from rich.console import Console

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

CONSOLE = Console(quiet=True)


def not_here(*_: object) -> NoReturn:
    raise ProgramFailed("not here")


@pytest.fixture
def one_system(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """For all scenarios; its folder."""
    monkeypatch.setattr(peer, "command", not_here)
    with system.fresh(CONSOLE, "bench-smoke") as started:

        def same(_: Bench) -> AbstractContextManager[system.System]:
            return nullcontext(started)

        monkeypatch.setattr(Bench, "system", same)
        yield started.stack.instance.folder
    assert not started.stack.instance.folder.exists()
    assert not left_over(started.stack.instance.folder)


def test_commands_and_queries_are_measured(one_system: Path) -> None:
    bench = Bench(1, 0.3, 0.1, clients=4, customers=0, console=CONSOLE, told=lambda _: None)
    asked, sent = queries.run(bench), commands.run(bench)
    for scenario in (asked, sent):
        assert all(0 < value < 1_000_000 for row in scenario.rows for value in row.rounds)
        assert scenario.notes
    assert [what for what, _, one in tables.targets(sent) if one.at_least] == [
        "CustomerFlow's command API / bare driver, commands/s"
    ]
    assert [row.subject for row in asked.rows if row.figure == queries.RATE] == [
        queries.OURS,
        queries.BARE,
        queries.UNCHANGED,
        queries.LIST,
        queries.SEARCH,
    ]
