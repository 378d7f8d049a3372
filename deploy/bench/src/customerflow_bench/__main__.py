"""The command line: `run`, `table`, `compare`."""

import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import rich_click as click
from customerflow_local.errors import LocalStackError
from rich.console import Console

from customerflow_bench import plots, results, tables
from customerflow_bench.bench import Bench
from customerflow_bench.comparing import result_of
from customerflow_bench.processes import ProgramFailed
from customerflow_bench.results import Result, Scenario
from customerflow_bench.scenarios import commands, growth, lag, projection, queries, rebuild, relay, servers, telemetry
from customerflow_bench.system import NotSettled

SCENARIOS: dict[str, Callable[[Bench], Scenario]] = {
    "commands": commands.run,
    "queries": queries.run,
    "telemetry": telemetry.run,
    "lag": lag.run,
    "projection": projection.run,
    "rebuild": rebuild.run,
    "relay": relay.run,
    "servers": servers.run,
}
BY_DEFAULT = ("commands", "queries", "lag", "projection", "rebuild", "relay")


@click.group()
def cli() -> None:
    """How fast CustomerFlow is: beside its ceilings and its peers, in one run."""
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell may have let us ignore the first
        signal.signal(number, _interrupt)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _measured(run: Callable[..., None]) -> Callable[..., None]:
    """The options of every measurement."""
    for option in (
        click.option("--clients", default=64, show_default=True, type=click.IntRange(1, 1000)),
        click.option("--warm-up", default=1.0, show_default=True, type=click.FloatRange(0, 60), help="Before it."),
        click.option("--seconds", default=4.0, show_default=True, type=click.FloatRange(0.2, 120), help="Of each."),
        click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 100)),
    ):
        run = option(run)
    return run


@cli.command()
@click.argument("scenarios", nargs=-1, type=click.Choice([*SCENARIOS]))
@_measured
@click.option("--customers", default=20_000, show_default=True, type=click.IntRange(100), help="To be rebuilt.")
def run(scenarios: tuple[str, ...], **bounds: Any) -> None:
    """Measure SCENARIOS, write a result, and print its table."""
    chosen = scenarios or BY_DEFAULT
    _measure({name: SCENARIOS[name] for name in chosen}, bounds)


@cli.command("growth")
@_measured
@click.option("--small", default=10_000, show_default=True, type=click.IntRange(2000))
@click.option("--large", default=1_000_000, show_default=True, type=click.IntRange(2000))
def growth_command(small: int, large: int, **bounds: Any) -> None:
    """Measure with few customers and with many. Their instances, below .run/bench-reads-*, keep their data."""
    if small >= large:
        raise click.BadParameter("SMALL must be smaller than LARGE.")
    _measure({"growth": partial(growth.run, small=small, large=large)}, {**bounds, "customers": 0})


def _measure(scenarios: Mapping[str, Callable[[Bench], Scenario]], bounds: Mapping[str, Any]) -> None:
    console = Console(stderr=True)
    facts = results.machine()
    bench = Bench(**bounds, console=console, told=lambda what: console.print(f"  {what}", style="dim"), facts=facts)
    result = results.begun(facts, bench.settings())
    for name, scenario in scenarios.items():
        console.rule(name)
        try:
            result.scenarios[name] = scenario(bench)
        except (ProgramFailed, LocalStackError, NotSettled) as error:
            raise click.ClickException(f"{name}: {error or error.__doc__}") from error
        results.save(result)
    commands.compare_with_commands(result)
    path = results.save(result)
    _print(result)
    console.print(f"[dim]{path}")


@cli.command()
@click.argument("result", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def table(result: Path | None) -> None:
    """Print the table of a RESULT again, or of the newest."""
    _print(_found(result))


def _found(path: Path | None) -> Result:
    found = results.load(path) if path else results.newest()
    if found is None:
        raise click.ClickException("There is no result yet: make bench.")
    return found


@cli.command("plots")
@click.argument("result", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def plots_command(result: Path | None) -> None:
    """Draw a RESULT, or the newest, into deploy/bench/plots."""
    for name in plots.draw(_found(result)):
        print(name)


@cli.command()
@click.argument("before")
@click.argument("after")
def compare(before: str, after: str) -> None:
    """Compare two results, each a file or a commit. A commit without a result is measured in a clone."""
    try:
        first, second = result_of(before), result_of(after)
    except (ValueError, subprocess.CalledProcessError) as error:
        raise click.ClickException(str(error)) from None
    for line in tables.comparison(first, second):
        print(line)


def _print(result: Result) -> None:
    for line in tables.table(result):
        print(line)


if __name__ == "__main__":
    try:
        cli(prog_name="python -m customerflow_bench", standalone_mode=True)
    except KeyboardInterrupt:
        sys.exit(130)
