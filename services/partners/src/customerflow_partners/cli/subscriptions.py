"""`subscriptions`: create, list, inspect, rotate, remove."""

import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import TypeVar

import msgspec
import rich_click as click
from msgspec import UNSET
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from customerflow_partners import app, inputs, management
from customerflow_partners.cli.options import JSON, read, run
from customerflow_partners.cli.options import routing_keys as parsed_keys
from customerflow_partners.keeping import (
    Created,
    Credentials,
    HasMessages,
    Incomplete,
    Inspection,
    NotSubscribed,
    Overtaken,
    Subscription,
    Subscriptions,
)
from customerflow_partners.management import AccountRefused, Management, NoVirtualHost, Refused, Unavailable
from customerflow_partners.subscriptions import Conflict, Limits, Wish

T = TypeVar("T")

FAILURES = (
    NotSubscribed,
    Conflict,
    Incomplete,
    Overtaken,
    Refused,
    Unavailable,
    AccountRefused,
    NoVirtualHost,
)


NAME = click.argument("name", callback=read(inputs.subscription_name))


@click.group()
def subscriptions() -> None:
    """Queues of other systems at the broker, and the accounts that may read them."""


@subscriptions.command()
@NAME
@click.option(
    "--to",
    "routing_keys",
    multiple=True,
    required=True,
    callback=read(parsed_keys),
    help="The routing key of an event, or a pattern such as customer.#; may be repeated.",
)
@click.option(
    "--messages", type=int, default=Limits().messages, show_default=True, callback=read(inputs.messages_limit)
)
@click.option("--bytes", "size", type=int, default=Limits().bytes, show_default=True, callback=read(inputs.bytes_limit))
@click.option(
    "--age", type=int, default=Limits().age, show_default=True, callback=read(inputs.age_limit), help="In seconds."
)
@JSON
def create(name: str, routing_keys: tuple[str, ...], messages: int, size: int, age: int, as_json: bool) -> None:
    """Make a partner's queue, with its bindings and limits, and an account that may read it.

    Beyond its limits the queue drops its oldest messages. The password is told this one time. The same again changes
    nothing, and completes what was interrupted.
    """
    wish = Wish(name=name, routing_keys=routing_keys, limits=Limits(messages=messages, bytes=size, age=age))
    created, changed = _run(lambda kept: kept.create(wish))
    if as_json:
        click.echo(msgspec.json.encode(created))
        return
    click.echo("subscribed" if changed else "it was subscribed before")
    _print_created(created)


@subscriptions.command("list")
@JSON
def list_command(as_json: bool) -> None:
    """List subscriptions, with what is wrong with them; exit code 1 if something is."""
    found = _run(lambda kept: kept.listed())
    if as_json:
        click.echo(msgspec.json.encode(found))
    else:
        _print_list(found)
    if any(one.faults for one in found):
        raise click.ClickException("some subscriptions are incomplete, or have been changed")


@subscriptions.command()
@NAME
@JSON
def inspect(name: str, as_json: bool) -> None:
    """Show a subscription, what waits in it, and its oldest dead letters, without the content of any message."""
    inspection = _run(lambda kept: kept.inspect(name))
    if as_json:
        click.echo(msgspec.json.encode(inspection))
    else:
        _print_inspection(inspection)


@subscriptions.command()
@NAME
@JSON
def rotate(name: str, as_json: bool) -> None:
    """Give a partner a new password; connections that are open stay open."""
    credentials = _run(lambda kept: kept.rotate(name))
    if as_json:
        click.echo(msgspec.json.encode(credentials))
    else:
        _print_credentials(credentials)


@subscriptions.command()
@NAME
@click.option("--force", is_flag=True, help="Also if messages are lost with it; nobody is asked.")
def remove(name: str, force: bool) -> None:
    """Remove a subscription: first its account, which closes its connections, then its bindings and queues.

    If it holds messages somebody at the terminal is asked first.
    """
    try:
        _run(lambda kept: kept.remove(name, force=force))
    except HasMessages as error:
        if not sys.stdin.isatty():
            raise click.ClickException(f"{error}; --force removes it") from None
        click.confirm(f"{error}. Remove it?", abort=True)
        _run(lambda kept: kept.remove(name, force=True))
    click.echo("removed")


def _print_created(created: Created) -> None:
    click.echo(f"queue     {created.subscription.queue}")
    if created.credentials is not UNSET:
        _print_credentials(created.credentials)


def _print_credentials(credentials: Credentials) -> None:
    click.echo(f"user      {credentials.user}")
    click.echo(f"password  {credentials.password}")
    click.echo("The password is not told again.", err=True)


def _print_list(found: Sequence[Subscription]) -> None:
    table = Table(Column("name", no_wrap=True), "messages", "consumers", "dead letters", "routing keys", "faults")
    for one in found:
        keys = "" if one.routing_keys is UNSET else "\n".join(one.routing_keys)
        numbers = (_number(one.messages), _number(one.consumers), _number(one.dead_letters))
        table.add_row(one.name, *numbers, Text(keys), Text("\n".join(one.faults)))
    Console().print(table)


def _print_inspection(told: Inspection) -> None:
    one = told.subscription
    lines = [
        ("queue", one.queue),
        ("messages", f"{_number(one.messages)}, {_number(one.unacknowledged)} of them being handled"),
        ("oldest", _age(told)),
        ("consumers", _number(one.consumers)),
        ("connections", f"{told.connections}{_since(told)}"),
        ("dead letters", _number(one.dead_letters)),
        *(("", f"{number} of the oldest: {reason}") for reason, number in told.dead.reasons.items()),
        *(("fault", fault) for fault in one.faults),
    ]
    for label, text in lines:
        click.echo(f"{label:<13} {text}")


def _number(number: object) -> str:
    return "?" if number is UNSET else str(number)


def _age(told: Inspection) -> str:
    if told.oldest is UNSET:
        return "none, or not known"
    most = told.oldest.at_most
    return f"since {told.oldest.at_least} s or more" + ("" if most is UNSET else f", {most} s at most")


def _since(told: Inspection) -> str:
    return "" if told.connected_since is UNSET else f", since {told.connected_since}"


def _run(work: Callable[[Subscriptions], Coroutine[None, None, T]]) -> T:
    async def done(config: app.ToolSettings) -> T:
        async with management.connect(config.rabbitmq_management_url) as http:
            return await work(Subscriptions(Management(http, config.rabbitmq_vhost)))

    return run(app.ToolSettings, done, FAILURES)
