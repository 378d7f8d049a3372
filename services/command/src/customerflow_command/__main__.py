"""The command line of the command service: `api`, `relay`, `migrate`, `parked`, `retry`."""

import asyncio
import os
from uuid import UUID

import rich_click as click
from customerflow_shared import service, settings, telemetry
from rich.console import Console
from rich.table import Table

from customerflow_command import app, database
from customerflow_command.outbox import Outbox


@click.group()
def main() -> None:
    """The write side of CustomerFlow. Settings come from CF_* environment variables."""


@main.command()
def api() -> None:
    """Serve the command API."""
    config = settings.load_or_exit(app.ApiSettings, os.environ)
    _configure("command", config.log_level)
    service.run(*app.command_api(config), config)


@main.command()
def relay() -> None:
    """Publish committed events to RabbitMQ; run two for a standby."""
    config = settings.load_or_exit(app.RelaySettings, os.environ)
    _configure("relay", config.log_level)
    service.run(*app.relay(config), config)


@main.command()
def migrate() -> None:
    """Bring the schema up to date, and give the runtime account its rights."""
    config = settings.load_or_exit(app.MigrateSettings, os.environ)
    _configure("migrate", config.log_level)
    asyncio.run(database.migrate(config.mysql_owner_url, config.mysql_url))


@main.command()
def parked() -> None:
    """List customers whose events cannot be sent."""
    config = settings.load_or_exit(app.DatabaseSettings, os.environ)
    table = Table("customer", "first position held back", "reason")
    for customer_id, position, reason in asyncio.run(Outbox(database.open_engine(config.mysql_url)).parked()):
        table.add_row(str(customer_id), str(position), reason)
    Console().print(table)


@main.command()
@click.argument("customer_id", type=click.UUID)
def retry(customer_id: UUID) -> None:
    """Let a parked customer's events be sent again, from the first one held back."""
    config = settings.load_or_exit(app.DatabaseSettings, os.environ)
    if not asyncio.run(Outbox(database.open_engine(config.mysql_url)).release(customer_id)):
        raise click.ClickException("that customer is not parked")
    click.echo("released; the relay sends within seconds")


def _configure(program: str, log_level: str) -> None:
    telemetry.configure(program, log_level=log_level)


if __name__ == "__main__":
    main(prog_name="customerflow-command")
