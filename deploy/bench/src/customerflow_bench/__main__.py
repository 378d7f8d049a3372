"""The command line: `run`, `table`, `compare`."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import rich_click as click
from rich.console import Console

from customerflow_bench import results, tables
from customerflow_bench.bench import Bench
from customerflow_bench.comparing import result_of
from customerflow_bench.results import Result, Scenario
from customerflow_bench.scenarios import commands, lag, projection, queries, rebuild, relay

SCENARIOS: dict[str, Callable[[Bench], Scenario]] = {
    "commands": commands.run,
    "queries": queries.run,
    "lag": lag.run,
    "projection": projection.run,
    "rebuild": rebuild.run,
    "relay": relay.run,
}
BY_DEFAULT = ("commands", "queries", "lag", "projection", "rebuild", "relay")


@click.group()
def cli() -> None:
    """How fast CustomerFlow is: beside its ceilings and its peers, in one run."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


@cli.command()
@click.argument("scenarios", nargs=-1, type=click.Choice([*SCENARIOS]))
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1, 100))
@click.option("--seconds", default=5.0, show_default=True, type=click.FloatRange(0.2, 120), help="Of a measurement.")
@click.option("--warm-up", default=1.0, show_default=True, type=click.FloatRange(0, 60), help="Before it, in seconds.")
@click.option("--clients", default=64, show_default=True, type=click.IntRange(1, 1000))
@click.option("--customers", default=20_000, show_default=True, type=click.IntRange(100), help="To be rebuilt.")
def run(scenarios: tuple[str, ...], rounds: int, seconds: float, warm_up: float, clients: int, customers: int) -> None:
    """Measure SCENARIOS, write a result, and print its table."""
    console = Console(stderr=True)
    chosen = scenarios or tuple(name for name in BY_DEFAULT if name in SCENARIOS)
    bench = Bench(
        rounds,
        seconds,
        warm_up,
        clients,
        customers,
        console,
        lambda what: console.print(f"  {what}", style="dim"),
    )
    result = results.begun(bench.settings())
    for name in chosen:
        console.rule(name)
        result.scenarios[name] = SCENARIOS[name](bench)
        path = results.save(result)
    _print(result)
    console.print(f"[dim]{path}")


@cli.command()
@click.argument("result", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def table(result: Path | None) -> None:
    """Print the table of a RESULT again, or of the newest."""
    found = results.load(result) if result else results.newest()
    if found is None:
        raise click.ClickException("There is no result yet: make bench.")
    _print(found)


@cli.command()
@click.argument("before")
@click.argument("after")
def compare(before: str, after: str) -> None:
    """Compare two results, each a file or a commit. A commit without a result is measured in a clone."""
    try:
        first, second = result_of(before), result_of(after)
    except ValueError as error:
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
