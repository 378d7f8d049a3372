"""The command line of the partners' service: `api`, `deliver`, and what an operator may do by hand."""

import asyncio
import os

import rich_click as click
from customerflow_shared import service, settings, telemetry
from customerflow_shared.database import SchemaNotReady

from customerflow_partners import app
from customerflow_partners.cli import COMMANDS
from customerflow_partners.schema import SCHEMA


@click.group()
def main() -> None:
    """What CustomerFlow does for other systems. Settings come from CF_* environment variables."""


@main.command()
def api() -> None:
    """Serve the operator's routes."""
    config = settings.load_or_exit(app.PartnersSettings, os.environ)
    telemetry.configure("partners", log_level=config.log_level)
    service.run(*app.partners(config), config)


@main.command()
def deliver() -> None:
    """Deliver webhooks; run two for a standby."""
    config = settings.load_or_exit(app.WebhookSettings, os.environ)
    telemetry.configure("webhooks", log_level=config.log_level)
    service.run(*app.webhooks(config), config)


@main.command()
def migrate() -> None:
    """Bring the schema of this service's own database up to date, and give the runtime account its rights."""
    config = settings.load_or_exit(app.MigrateSettings, os.environ)
    telemetry.configure("migrate", log_level=config.log_level)
    try:
        asyncio.run(SCHEMA.migrate(config.partners_mysql_owner_url, config.partners_mysql_url))
    except SchemaNotReady as error:
        raise click.ClickException(str(error)) from None


for command in COMMANDS:
    main.add_command(command)


if __name__ == "__main__":
    main(prog_name="customerflow-partners")
