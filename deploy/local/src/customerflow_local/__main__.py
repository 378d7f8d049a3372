"""python -m customerflow_local: start, look at and stop a local stack."""

import asyncio
import os
import shlex
from collections.abc import Mapping

import rich_click as click
from rich.console import Console
from rich.table import Table

from customerflow_local import packages, waterfall
from customerflow_local.demo import Interfaces, drive
from customerflow_local.errors import LocalStackError
from customerflow_local.instance import PREFERRED_PORTS, RUN
from customerflow_local.stack import Stack, left_over

_console = Console()


class _Failure(click.ClickException):
    def __init__(self, error: LocalStackError) -> None:
        super().__init__(str(error))


def _stack(name: str) -> Stack:
    return Stack(RUN / name, ports=PREFERRED_PORTS if name == "demo" else {}, console=_console)


def _exists(name: str) -> bool:
    return (RUN / name / "instance.json").exists()


_instance = click.argument("instance", default="demo")


@click.group()
def cli() -> None:
    """Private servers and the programs, without Docker. An INSTANCE is a folder below .run (default: demo)."""


@cli.command()
@click.option("--newest", is_flag=True, help="MySQL, and the newest of RabbitMQ and Redis, as some tests want them.")
def fetch(newest: bool) -> None:
    """Get the servers' programs without starting any, so that whoever starts them first need not wait for that."""
    try:
        packages.provide(packages.NEWEST if newest else packages.STABLE, RUN / "servers", _console)
    except LocalStackError as error:
        raise _Failure(error) from error


@cli.command()
@_instance
@click.option("--servers-only", is_flag=True, help="MariaDB, RabbitMQ and Redis, without the programs.")
@click.option("--replicas", multiple=True, metavar="PROGRAM=N", help="Run a program more than once.")
def up(instance: str, servers_only: bool, replicas: tuple[str, ...]) -> None:
    """Start what does not run."""
    _up(_stack(instance), servers_only=servers_only, replicas=dict(map(_replica, replicas)))
    _print_status(instance)


def _replica(text: str) -> tuple[str, int]:
    program, _, count = text.partition("=")
    if not count.isdecimal():
        raise click.BadParameter(f"{text} is not PROGRAM=N")
    return program, int(count)


def _up(stack: Stack, *, servers_only: bool = False, replicas: dict[str, int] | None = None) -> None:
    try:
        with _console.status("starting MariaDB, RabbitMQ and Redis") as status:
            stack.start_servers()
            if not servers_only:
                status.update("starting the programs")
                stack.start_provider()
                stack.start_programs(replicas, _traceable(stack))
    except LocalStackError as error:
        raise _Failure(error) from error


def _traceable(stack: Stack) -> Mapping[str, str]:
    """That of `make trace`, unless its traces go elsewhere."""
    elsewhere = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    return waterfall.SETTINGS if stack.instance.folder.name == "demo" and not elsewhere else {}


@cli.command()
@_instance
@click.argument("processes", nargs=-1, required=True)
def restart(instance: str, processes: tuple[str, ...]) -> None:
    """Stop and start some processes, so that a program runs the code as it is now."""
    if not _exists(instance) or not (stack := _stack(instance)).running():
        raise click.ClickException(f"{instance} does not run.")
    try:
        for process in processes:
            stack.stop_service(process)
            stack.start_service(process)
    except LocalStackError as error:
        raise _Failure(error) from error


@cli.command()
@_instance
@click.option("--all", "every", is_flag=True, help="Of every instance.")
def down(instance: str, every: bool) -> None:
    """End every process of the instance; its data stays."""
    here = [folder.parent.name for folder in sorted(RUN.glob("*/instance.json"))]
    if not every and instance not in here:
        _console.print(f"There is no instance {instance}.")
    for name in here if every else {instance} & set(here):
        _down(name)


def _down(instance: str) -> None:
    folder = RUN / instance
    try:
        with _console.status(f"stopping {instance}"):
            _stack(instance).stop()
    except LocalStackError as error:
        raise _Failure(error) from error
    if remaining := left_over(folder):
        raise click.ClickException(f"These processes remain: {remaining}")
    _console.print(f"Nothing of {instance} runs any more. Its data is kept in {folder}.")


@cli.command()
@_instance
def status(instance: str) -> None:
    """Show what runs and where."""
    _print_status(instance)


def _print_status(name: str) -> None:
    if not _exists(name) or not (stack := _stack(name)).running():
        _console.print(f"{name} does not run.")
        return
    table = Table(title=f"Instance {name}", title_justify="left")
    for column in ("process", "state", "address"):
        table.add_column(column)
    ports = stack.instance.ports
    for process, state in stack.services().items():
        port = ports["amqp"] if process == "rabbitmq" else ports[process]
        address = f"127.0.0.1:{port}"
        if process in stack.urls:
            address = f"http://{address}"
            if process.split("-")[0] in ("command", "query", "partners"):
                address += "/docs"
        elif process == "provider":
            address = f"http://{address}/v1/messages"
        table.add_row(process, state, address)
    _console.print(table)


@cli.command()
@_instance
def env(instance: str) -> None:
    """Print the programs' settings for a shell: eval "$(python -m customerflow_local env)"."""
    if not _exists(instance):
        raise click.ClickException(f"There is no instance {instance}: start it first.")
    for name, value in _stack(instance).env.items():
        click.echo(f"export {name}={shlex.quote(value)}")


@cli.command()
@_instance
@click.argument("processes", nargs=-1)
@click.option("--follow", "-f", is_flag=True, help="Go on until Ctrl-C.")
def logs(instance: str, processes: tuple[str, ...], follow: bool) -> None:
    """Show the end of the logs, of all processes or of some."""
    folder = RUN / instance / "logs"
    files = [folder / f"{process}.log" for process in processes] or sorted(folder.glob("*.log"))
    missing = [str(file) for file in files if not file.exists()]
    if missing or not files:
        raise click.ClickException(f"There is no log: {', '.join(missing) or folder}")
    os.execvp("tail", ["tail", "-n", "20", *(["-F"] if follow else []), *map(str, files)])


@cli.command()
@click.option("--customers", default=200, show_default=True, type=click.IntRange(min=2))
def demo(customers: int) -> None:
    """Start everything, drive the main job on invented customers, show the result, and leave it running."""
    stack = _stack("demo")
    _up(stack)
    try:
        interfaces = Interfaces(
            stack.url("command"), stack.url("query"), stack.url("provider"), tuple(stack.urls.values())
        )
        asyncio.run(drive(interfaces, customers, _console))
    except LocalStackError as error:
        raise _Failure(error) from error
    _print_status("demo")
    _console.print("It goes on running: open an address above, or end it with [bold]make stop[/bold].")


@cli.command()
def trace() -> None:
    """Register one customer where `demo` runs, and show its trace through all programs."""
    stack = _stack("demo")
    _up(stack)
    try:
        waterfall.draw(waterfall.traced_command(stack.url("command")), _console)
    except LocalStackError as error:
        raise _Failure(error) from error


if __name__ == "__main__":
    cli(prog_name="python -m customerflow_local")
