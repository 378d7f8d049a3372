"""`webhooks`: created, listed, shown, changed, disabled, enabled, tested, deleted; their deliveries mended."""

from collections.abc import Callable, Coroutine
from typing import TypeVar
from uuid import UUID

import msgspec
import rich_click as click
from customerflow_shared.database import DatabaseUnavailable
from customerflow_shared.messaging import BrokerUnavailable
from customerflow_shared.views import unless_none
from msgspec import UNSET
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from customerflow_partners import app
from customerflow_partners.cli.options import JSON, optional, read, routing_keys, run, shown
from customerflow_partners.webhooks import asking
from customerflow_partners.webhooks.addresses import AddressRefused
from customerflow_partners.webhooks.keeping import (
    OVERLAP,
    Changed,
    NoDelivery,
    Told,
    Webhooks,
    Wish,
)
from customerflow_partners.webhooks.store import Delivery, NoWebhook

T = TypeVar("T")

FAILURES = (NoWebhook, NoDelivery, Changed, AddressRefused, BrokerUnavailable, DatabaseUnavailable)
SHOWN = 1000  # deliveries


WEBHOOK = click.argument("webhook", type=click.UUID)
DELIVERY = click.argument("delivery", type=click.IntRange(min=1))
TO = "The routing key of an event, or a pattern such as customer.#; may be repeated."


@click.group()
def webhooks() -> None:
    """Events that are sent to URLs, for those who have no RabbitMQ."""


@webhooks.command()
@click.argument("url", callback=read(asking.url))
@click.option("--to", "keys", multiple=True, required=True, callback=read(routing_keys), help=TO)
@click.option("--description", callback=read(optional(asking.description)))
@JSON
def create(url: str, keys: tuple[str, ...], description: str | None, as_json: bool) -> None:
    """Send events to a URL from now on. The secret that signs them is told this one time."""
    wish = Wish(url=url, routing_keys=keys, description=description or "")
    created = _run(lambda hooks: hooks.create(wish))
    if as_json:
        click.echo(msgspec.json.encode(created))
        return
    click.echo(f"webhook  {created.webhook.id}")
    _print_secret(created.secret)


@webhooks.command("list")
@JSON
def list_command(as_json: bool) -> None:
    """List webhooks; exit code 1 if one is disabled because it has failed, or fails now."""
    found = _run(lambda hooks: hooks.listed())
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        table = Table(Column("id", no_wrap=True), "state", "URL", "held", "dead", "failing since", "last error")
        for one in found:
            table.add_row(
                *(str(one.id), _state(one), Text(one.url), str(one.held), str(one.dead)),
                *(shown(one.failing_since), _error(one)),
            )
        Console().print(table)
    if any(_is_in_trouble(one) for one in found):
        raise click.ClickException("some webhooks do not work")


@webhooks.command()
@WEBHOOK
@JSON
def show(webhook: UUID, as_json: bool) -> None:
    """Show a webhook, and how it fares."""
    _print(_run(lambda hooks: hooks.show(webhook)), as_json)


@webhooks.command()
@WEBHOOK
@click.option("--url", callback=read(optional(asking.url)))
@click.option("--to", "keys", multiple=True, callback=read(routing_keys), help=TO + " All of them.")
@click.option("--description", callback=read(optional(asking.description)))
@JSON
def change(webhook: UUID, url: str | None, keys: tuple[str, ...], description: str | None, as_json: bool) -> None:
    """Change a webhook; what is not given stays."""
    wish = Wish(
        url=unless_none(url),
        routing_keys=keys or UNSET,
        description=unless_none(description),
    )
    _print(_run(lambda hooks: hooks.change(webhook, wish)), as_json)


@webhooks.command()
@WEBHOOK
@JSON
def disable(webhook: UUID, as_json: bool) -> None:
    """Send nothing more; the queue takes what comes, within its limits."""
    _print(_run(lambda hooks: hooks.disable(webhook)), as_json)


@webhooks.command()
@WEBHOOK
@JSON
def enable(webhook: UUID, as_json: bool) -> None:
    """Send again, beginning with what is held, and with what the queue still holds.

    What the queue has dropped meanwhile, by age or for lack of room, is missing: replay it.
    """
    _print(_run(lambda hooks: hooks.enable(webhook)), as_json)


@webhooks.command()
@WEBHOOK
@click.option(
    "--overlap",
    type=click.IntRange(0, asking.MAX_OVERLAP),
    default=OVERLAP,
    show_default=True,
    help="Seconds in which the old secret signs beside the new one.",
)
@JSON
def rotate(webhook: UUID, overlap: int, as_json: bool) -> None:
    """Give a webhook a new secret."""
    rotated = _run(lambda hooks: hooks.rotate(webhook, overlap))
    if as_json:
        click.echo(msgspec.json.encode(rotated))
        return
    _print_secret(rotated.secret)
    if rotated.old_until is not UNSET:
        click.echo(f"old one  signs beside it until {rotated.old_until}")


@webhooks.command()
@WEBHOOK
@JSON
def ping(webhook: UUID, as_json: bool) -> None:
    """Send a test event, once; exit code 1 if it is not delivered."""
    pinged = _run(lambda hooks: hooks.ping(webhook))
    if as_json:
        click.echo(msgspec.json.encode(pinged))
    status = "" if pinged.status is UNSET else f" {pinged.status}"
    if not pinged.delivered:
        raise click.ClickException(f"not delivered: {'410' if pinged.error is UNSET else pinged.error}{status}")
    if not as_json:
        click.echo(f"delivered:{status}, after {pinged.milliseconds} ms")


@webhooks.command()
@WEBHOOK
def delete(webhook: UUID) -> None:
    """Delete a webhook, with its queue and its deliveries."""
    _run(lambda hooks: hooks.delete(webhook))
    click.echo("deleted; a worker clears it away")


@webhooks.command()
@WEBHOOK
@click.option("--state", type=click.Choice(["held", "dead"]), default="held", show_default=True)
@click.option("--after", type=click.IntRange(min=0), default=0, help="The last id of the list before.")
@JSON
def deliveries(webhook: UUID, state: str, after: int, as_json: bool) -> None:
    """List deliveries that have failed, or wait behind one that has; a thousand at most."""
    found = _run(lambda hooks: hooks.deliveries(webhook, state, after, SHOWN))
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    table = Table("id", Column("customer", no_wrap=True), "type", "attempts", "next attempt", "last error")
    for one in found:
        table.add_row(
            *(str(one.id), str(one.customer_id), one.type, str(one.attempts)),
            *(one.next_attempt_at or "", _error(one)),
        )
    Console().print(table)


@webhooks.command()
@WEBHOOK
@DELIVERY
def retry(webhook: UUID, delivery: int) -> None:
    """Try a delivery again, dead or held; a worker does so within seconds."""
    _run(lambda hooks: hooks.retry(webhook, delivery))
    click.echo("it is due")


@webhooks.command("retry-all")
@WEBHOOK
def retry_all(webhook: UUID) -> None:
    """Try all deliveries again, dead or held, each customer's in their order."""
    click.echo(f"due: {_run(lambda hooks: hooks.retry_all(webhook))}")


@webhooks.command()
@WEBHOOK
@DELIVERY
@click.option("--reason", required=True, callback=read(asking.reason), help="It is kept: no personal data.")
def discard(webhook: UUID, delivery: int, reason: str) -> None:
    """Give a delivery up; those behind it go on."""
    _run(lambda hooks: hooks.discard(webhook, delivery, reason))
    click.echo("discarded")


def _print(told: Told, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(told))
        return
    lines = [
        ("webhook", str(told.id)),
        ("URL", told.url),
        ("events", ", ".join(told.routing_keys)),
        ("state", _state(told)),
        ("queue", told.queue),
        ("messages", shown(told.messages) or "?"),
        ("held", f"{told.held}, of {told.held_customers} customers"),
        ("dead", str(told.dead)),
        ("failing since", shown(told.failing_since)),
        ("paused until", shown(told.paused_until)),
        ("last success", shown(told.last_success_at)),
        ("last error", _error(told)),
        ("old secret", shown(told.old_secret_until)),
        ("description", told.description),
    ]
    for label, text in lines:
        if text:
            click.echo(f"{label:<13} {text}")


def _print_secret(secret: str) -> None:
    click.echo(f"secret   {secret}")
    click.echo("The secret is not told again.", err=True)


def _state(told: Told) -> str:
    return told.state if told.disabled_reason is UNSET else f"{told.state} ({told.disabled_reason})"


def _is_in_trouble(told: Told) -> bool:
    return told.failing_since is not UNSET or told.disabled_reason in ("gone", "failing")


def _error(told: Told | Delivery) -> str:
    status = "" if told.last_status in (UNSET, None) else f" {told.last_status}"
    return f"{told.last_error}{status}" if isinstance(told.last_error, str) else ""


def _run(work: Callable[[Webhooks], Coroutine[None, None, T]]) -> T:
    async def done(config: app.WebhookToolSettings) -> T:
        async with app.webhooks_of(config) as hooks:
            return await work(hooks)

    return run(app.WebhookToolSettings, done, FAILURES)
