"""The command line of the partners' service: `api`, and what an operator may do by hand."""

import os

import rich_click as click
from customerflow_shared import service, settings, telemetry

from customerflow_partners import app
from customerflow_partners.cli import COMMANDS


@click.group()
def main() -> None:
    """What CustomerFlow does for other systems. Settings come from CF_* environment variables."""


@main.command()
def api() -> None:
    """Serve the operator's routes."""
    config = settings.load_or_exit(app.PartnersSettings, os.environ)
    telemetry.configure("partners", log_level=config.log_level)
    service.run(*app.partners(config), config)


for command in COMMANDS:
    main.add_command(command)


if __name__ == "__main__":
    main(prog_name="customerflow-partners")
