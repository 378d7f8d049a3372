"""The command line of the notifications service: `run`, and what an operator may look at."""

import asyncio
import os
from uuid import UUID

import rich_click as click
from customerflow_shared import service, settings, telemetry

from customerflow_notifications import app


@click.group()
def main() -> None:
    """Has verification codes delivered. Settings come from CF_* environment variables."""


@main.command()
def run() -> None:
    """Listen for events, and send what they ask for."""
    config = settings.load_or_exit(app.NotificationsSettings, os.environ)
    telemetry.configure("notifications", log_level=config.log_level)
    service.run(*app.notifications(config), config)


@main.command()
def parked() -> None:
    """List customers whose events could not be handled, and why."""
    with app.mending(_tool_settings()) as consumer:
        for one in asyncio.run(consumer.parked()):
            click.echo(f"{one.customer}: {one.reason}, {one.attempts} attempts, {one.waiting} waiting")


@main.command()
def retry() -> None:
    """Handle now what could not be handled; also while the program runs."""
    with app.mending(_tool_settings()) as consumer:
        if left := asyncio.run(consumer.retry_all()):
            raise click.ClickException(f"{len(left)} customers are still parked")


@main.command()
@click.argument("customer_id", type=click.UUID)
@click.argument("reason")
def discard(customer_id: UUID, reason: str) -> None:
    """Leave out the event of a customer that could not be handled; the reason is kept."""
    with app.mending(_tool_settings()) as consumer:
        try:
            asyncio.run(consumer.discard(customer_id, reason))
        except (LookupError, ValueError) as error:
            raise click.ClickException(str(error)) from None


def _tool_settings() -> app.ToolSettings:
    config = settings.load_or_exit(app.ToolSettings, os.environ)
    telemetry.configure("notifications", log_level=config.log_level)
    return config


if __name__ == "__main__":
    main(prog_name="customerflow-notifications")
