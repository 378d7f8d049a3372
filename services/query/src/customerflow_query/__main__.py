"""The command line of the query service: `api`."""

import os

import rich_click as click
from customerflow_shared import service, settings, telemetry

from customerflow_query import app


@click.group()
def main() -> None:
    """The read side of CustomerFlow. Settings come from CF_* environment variables."""


@main.command()
def api() -> None:
    """Serve the query API."""
    config = settings.load_or_exit(app.QuerySettings, os.environ)
    telemetry.configure("query", log_level=config.log_level)
    service.run(*app.query_api(config), config)


if __name__ == "__main__":
    main(prog_name="customerflow-query")
