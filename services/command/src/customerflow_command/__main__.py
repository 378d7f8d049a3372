"""The command line of the command service: `api`, `relay`, `migrate`, `parked`, `retry`."""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import TypeVar
from uuid import UUID

import rich_click as click
from customerflow_shared import service, settings, telemetry
from rich.console import Console
from rich.table import Table

from customerflow_command import app, database
from customerflow_command.database import DatabaseUnavailable, SchemaNotReady
from customerflow_command.outbox import Outbox

T = TypeVar("T")


@click.group()
def main() -> None:
    """The write side of CustomerFlow. Settings come from CF_* environment variables."""


@main.command()
def api() -> None:
    """Serve the command API."""
    config = settings.load_or_exit(app.ApiSettings, os.environ)
    telemetry.configure("command", log_level=config.log_level)
    service.run(*app.command_api(config), config)


@main.command()
def relay() -> None:
    """Publish committed events to RabbitMQ; run two for a standby."""
    config = settings.load_or_exit(app.RelaySettings, os.environ)
    telemetry.configure("relay", log_level=config.log_level)
    service.run(*app.relay(config), config)


@main.command()
def migrate() -> None:
    """Bring the schema up to date, and give the runtime account its rights."""
    config = settings.load_or_exit(app.MigrateSettings, os.environ)
    telemetry.configure("migrate", log_level=config.log_level)
    _run(database.migrate(config.mysql_owner_url, config.mysql_url))


@main.command()
def parked() -> None:
    """List customers whose events cannot be sent."""
    table = Table("customer", "first position held back", "reason")
    for customer_id, position, reason in _run(_parked()):
        table.add_row(str(customer_id), str(position), reason)
    Console().print(table)


@main.command()
@click.argument("customer_id", type=click.UUID)
def retry(customer_id: UUID) -> None:
    """Let a parked customer's events be sent again, from the first one held back."""
    if not _run(_release(customer_id)):
        raise click.ClickException("that customer is not parked")
    click.echo("released; the relay sends within seconds")


async def _parked() -> list[tuple[UUID, int, str]]:
    async with _outbox() as outbox:
        return await outbox.parked()


async def _release(customer_id: UUID) -> bool:
    async with _outbox() as outbox:
        return await outbox.release(customer_id)


@asynccontextmanager
async def _outbox() -> AsyncIterator[Outbox]:
    config = settings.load_or_exit(app.ToolSettings, os.environ)
    telemetry.configure("command", log_level=config.log_level)
    engine = database.open_engine(config.mysql_url)
    try:
        yield Outbox(engine)
    finally:
        await engine.dispose()


def _run(work: Coroutine[None, None, T]) -> T:
    try:
        return asyncio.run(work)
    except (DatabaseUnavailable, SchemaNotReady) as error:
        raise click.ClickException(f"{type(error).__doc__} {error}".strip()) from None


if __name__ == "__main__":
    main(prog_name="customerflow-command")
