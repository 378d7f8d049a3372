"""The command line of the command service."""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TextIO, TypeVar
from uuid import UUID

import httpx
import msgspec
import rich_click as click
from customerflow_shared import database, service, settings, telemetry
from customerflow_shared.database import DatabaseUnavailable, SchemaNotReady
from customerflow_shared.flags import Report
from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn, track
from rich.table import Column, Table
from sqlalchemy.ext.asyncio import AsyncEngine

from customerflow_command import app
from customerflow_command.customer.errors import CustomerIsErased, CustomerNotFound
from customerflow_command.erasures import erased_customers, reapplied_erasure
from customerflow_command.fingerprints import ForeignSecret
from customerflow_command.mediator import SwitchedOff
from customerflow_command.outbox import Outbox
from customerflow_command.schema import SCHEMA
from customerflow_command.verify import FIRST

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
    _run(SCHEMA.migrate(config.mysql_owner_url, config.mysql_url))


@main.command()
def parked() -> None:
    """List customers whose events cannot be sent."""
    table = Table("customer", "first position held back", "reason")
    for customer_id, position, reason in _run(_parked()):
        table.add_row(str(customer_id), str(position), reason)
    Console().print(table)


@main.command()
@click.option("--customer", type=click.UUID, help="What the flags are for this customer.")
@click.option(
    "--here", is_flag=True, help="Ask CF_FLAGS, as a program that starts now would, and no program that runs."
)
@click.option("--json", "as_json", is_flag=True, help="For scripts.")
def flags(customer: UUID | None, here: bool, as_json: bool) -> None:
    """Show what is switched on, and why.

    The program that runs at CF_HOST and CF_PORT is asked, with CF_OPERATOR_TOKEN: it says also whether its flags are
    those that their source holds now. Exit code 1 if they are not.
    """
    config = settings.load_or_exit(app.FlagSettings, os.environ)
    telemetry.configure("command", log_level=config.log_level)
    report = app.flags_here(config, customer) if here else _told_by_program(config, customer)
    if as_json:
        click.echo(msgspec.json.encode(report))
    else:
        _print_flags(report)
    if not report.in_force:
        raise click.ClickException(f"these are not the flags that the source holds now: {report.fault}")


def _told_by_program(config: app.FlagSettings, customer: UUID | None) -> Report:
    if config.operator_token is None:
        raise click.ClickException("CF_OPERATOR_TOKEN is not set: no program tells; see --here")
    parameters = {} if customer is None else {"customer": str(customer)}
    credentials = {"Authorization": f"Bearer {config.operator_token}"}
    url = f"http://{config.host}:{config.port}/internal/flags"
    try:
        answer = httpx.get(url, params=parameters, headers=credentials, timeout=10, trust_env=False)
    except httpx.TransportError as error:
        raise click.ClickException(f"{url} does not answer: {telemetry.describe(error)}; see --here") from None
    if answer.status_code != 200:
        raise click.ClickException(f"{url} answers {answer.status_code}; is its CF_OPERATOR_TOKEN this one?")
    return msgspec.json.decode(answer.content, type=Report)


def _print_flags(report: Report) -> None:
    whose = f", for {report.customer}" if report.customer else ""
    table = Table(Column("flag", no_wrap=True), "variant", "why", "what for")
    for one in report.flags:
        why = " ".join(filter(None, [one.reason, one.error, "by customer" if one.by_customer else ""])).lower()
        table.add_row(one.flag, one.variant, why, one.purpose)
    click.echo(f"{report.source}{whose}")
    Console().print(table)
    for unknown in report.unknown:
        click.echo(f"no program has the flag {unknown}")


@main.command()
@click.argument("customer_id", type=click.UUID)
def retry(customer_id: UUID) -> None:
    """Let a parked customer's events be sent again, from the first one held back."""
    if not _run(_release(customer_id)):
        raise click.ClickException("that customer is not parked")
    click.echo("released; the relay sends within seconds")


@main.command()
@click.option("--repair", is_flag=True, help="Put right what is found.")
@click.option("--after", type=click.UUID, default=str(FIRST), help="Go on after this customer.")
def verify(repair: bool, after: UUID) -> None:
    """Compare claims and due dates with the customers' events; exit code 1 if something is not right.

    It may be stopped at any time, and says how to go on. Live traffic does no harm to it, nor it to live traffic.
    """
    left = _run(_verify(repair, after))
    if left:
        raise click.ClickException(f"{left} differences are left")
    click.echo("claims and due dates are what the events say")


@main.command()
def erased() -> None:
    """List erased customers, one id a line: keep this apart from the backups of the database."""
    for customer_id in _run(_erased()):
        click.echo(str(customer_id))


@main.command()
@click.argument("ids", type=click.File("r"))
def reapply(ids: TextIO) -> None:
    """Erase again whom a restored backup has brought back; IDS is a file as `erased` writes it, or `-`."""
    customers = [_customer_id(number, line) for number, line in enumerate(ids, start=1) if line.strip()]
    click.echo(f"{_run(_reapply(customers))} customers erased again")


def _customer_id(number: int, line: str) -> UUID:
    try:
        return UUID(line.strip())
    except ValueError:
        raise click.ClickException(f"line {number} is not a customer's id; nothing was erased") from None


async def _verify(repair: bool, after: UUID) -> int:
    config = settings.load_or_exit(app.RepairSettings, os.environ)
    telemetry.configure("command", log_level=config.log_level)
    console, left = Console(), 0
    async with app.verifying(config) as verifier:
        with Progress(*Progress.get_default_columns(), TimeElapsedColumn(), console=console) as progress:
            task = progress.add_task("customers", total=await verifier.count(after))
            try:
                async for page in verifier.pages(repair=repair, after=after):
                    after = page.upto
                    left += len(page.left)
                    for drift, fate in [(one, "repaired") for one in page.repaired] + [(one, "") for one in page.left]:
                        kind = drift.claim.kind if drift.claim else ""
                        progress.print(f"{drift.customer_id} {drift.what} {kind} {fate}".rstrip())
                    progress.advance(task, page.customers)
            except asyncio.CancelledError:
                progress.print(f"stopped; go on with --after {after}")
                raise
    return left


async def _erased() -> list[UUID]:
    async with _database() as engine:
        return await erased_customers(engine)


async def _reapply(customers: Sequence[UUID]) -> int:
    config = settings.load_or_exit(app.RepairSettings, os.environ)
    telemetry.configure("command", log_level=config.log_level)
    done = 0
    async with app.sending(config) as send:
        for customer_id in track(customers, "erasing"):
            with suppress(CustomerNotFound, CustomerIsErased):
                await send(reapplied_erasure(customer_id))
                done += 1
    return done


async def _parked() -> list[tuple[UUID, int, str]]:
    async with _outbox() as outbox:
        return await outbox.parked()


async def _release(customer_id: UUID) -> bool:
    async with _outbox() as outbox:
        return await outbox.release(customer_id)


@asynccontextmanager
async def _outbox() -> AsyncIterator[Outbox]:
    async with _database() as engine:
        yield Outbox(engine)


@asynccontextmanager
async def _database() -> AsyncIterator[AsyncEngine]:
    config = settings.load_or_exit(app.ToolSettings, os.environ)
    telemetry.configure("command", log_level=config.log_level)
    engine = database.open_engine(config.mysql_url)
    try:
        yield engine
    finally:
        await engine.dispose()


def _run(work: Coroutine[None, None, T]) -> T:
    try:
        return asyncio.run(work)
    except (DatabaseUnavailable, ForeignSecret, SchemaNotReady, SwitchedOff) as error:
        raise click.ClickException(f"{type(error).__doc__} {error}".strip()) from None


if __name__ == "__main__":
    main(prog_name="customerflow-command")
