"""The command line of the notifications service: `run`, and what an operator may look at."""

import os

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


if __name__ == "__main__":
    main(prog_name="customerflow-notifications")
