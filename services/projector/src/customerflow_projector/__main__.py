"""The command line of the projector: `run`, `rebuild`, `parked`, `retry`."""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TypeVar
from uuid import UUID

import rich_click as click
from customerflow_shared import service, settings, telemetry
from customerflow_shared.indexing import Lookups
from redis.exceptions import RedisError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from customerflow_projector import app, read_model
from customerflow_projector import feed as event_feed
from customerflow_projector.apply import Applier
from customerflow_projector.feed import Feed, FeedBehind, FeedUnavailable
from customerflow_projector.read_model import ReadModel
from customerflow_projector.rebuild import GenerationsDiffer, RebuildInterrupted, RebuildRunning, Report, rebuild

T = TypeVar("T")

FAILURES = (RebuildRunning, RebuildInterrupted, GenerationsDiffer, FeedUnavailable, FeedBehind, RedisError, OSError)


@click.group()
def main() -> None:
    """The projector of CustomerFlow. Settings come from CF_* environment variables."""


@main.command()
def run() -> None:
    """Consume domain events and keep the read model."""
    config = settings.load_or_exit(app.ProjectorSettings, os.environ)
    telemetry.configure("projector", log_level=config.log_level)
    service.run(*app.projector(config), config)


@main.command("rebuild")
@click.option("--force", is_flag=True, help="Switch even if the live read model knows more than the event store.")
def rebuild_command(force: bool) -> None:
    """Build a new generation of the read model beside the live one, compare them, and switch."""
    report = _run(_rebuild(force))
    click.echo(
        f"generation {report.generation} is live: {report.customers} customers from {report.events} events, "
        f"{report.repaired} repaired, {report.parked} parked"
    )


@main.command()
def parked() -> None:
    """List customers whose events cannot be applied."""
    _run(_print_parked())


@main.command()
@click.argument("customer_id", type=click.UUID)
def retry(customer_id: UUID) -> None:
    """Apply a parked customer's events now, in order, from the event feed."""
    if not _run(_retry(customer_id)):
        raise click.ClickException("the customer is still parked; see `parked` for the reason")
    click.echo("applied")


async def _rebuild(force: bool) -> Report:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    async with _tools() as (model, feed):
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("events", total=None)

            def show(position: int, head: int) -> None:
                progress.update(task, completed=position, total=head)

            return await rebuild(model, feed, Applier(model, feed), show, force=force)


async def _print_parked() -> None:
    table = Table("customer", "position", "version", "attempts", "since", "error")
    async with _tools() as (model, _):
        live = (await model.generations()).live
        for customer_id, entry in (await model.parked(live) if live else {}).items():
            table.add_row(
                str(customer_id),
                str(entry.position),
                str(entry.version),
                str(entry.attempts),
                entry.since.isoformat(timespec="seconds"),
                entry.error,
            )
    Console().print(table)


async def _retry(customer_id: UUID) -> bool:
    async with _tools() as (model, feed):
        live = (await model.generations()).live
        entry = (await model.parked(live)).get(customer_id) if live else None
        if live is None or entry is None:
            raise click.ClickException("that customer is not parked")
        return await Applier(model, feed).retry(live, customer_id, entry)


@asynccontextmanager
async def _tools() -> AsyncIterator[tuple[ReadModel, Feed]]:
    config = settings.load_or_exit(app.ToolSettings, os.environ)
    telemetry.configure("projector", log_level=config.log_level)
    redis = read_model.connect(config.redis_url)
    async with event_feed.connect(config.feed_url, config.feed_token) as http:
        try:
            yield ReadModel(redis, Lookups(config.lookup_key)), Feed(http)
        finally:
            await redis.aclose()


def _run(work: Coroutine[None, None, T]) -> T:
    try:
        return asyncio.run(work)
    except FAILURES as error:
        raise click.ClickException(str(error) or str(type(error).__doc__)) from None


if __name__ == "__main__":
    main(prog_name="customerflow-projector")
