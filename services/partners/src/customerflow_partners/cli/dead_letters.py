"""`dead-letters`: list, retry, discard."""

from collections.abc import Callable, Coroutine
from typing import TypeVar
from uuid import UUID

import msgspec
import rich_click as click
from customerflow_shared.inputs import clear
from customerflow_shared.messaging import BrokerUnavailable
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from customerflow_partners import app, inputs
from customerflow_partners.cli.options import JSON, read, run, shown
from customerflow_partners.dead_letters import Busy, DeadLetters, Kept, NoLetter, why
from customerflow_partners.feed import FeedUnavailable
from customerflow_partners.keeping import Incomplete, NotSubscribed
from customerflow_partners.management import AccountRefused, NoVirtualHost, Unavailable

T = TypeVar("T")

SHOWN = 1000

FAILURES = (
    NotSubscribed,
    Incomplete,
    NoLetter,
    Busy,
    BrokerUnavailable,
    FeedUnavailable,
    Unavailable,
    AccountRefused,
    NoVirtualHost,
)


NAME = click.argument("name", callback=read(inputs.subscription_name))
LETTER = click.argument("letter", type=click.UUID, required=False)
ALL = click.option("--all", "everything", is_flag=True, help="All that there are.")


@click.group("dead-letters")
def dead_letters() -> None:
    """What partners have refused, or their queues have dropped."""


@dead_letters.command("list")
@NAME
@JSON
def list_command(name: str, as_json: bool) -> None:
    """List the dead letters of a partner's queue, the oldest first, without their content."""
    listed = _run(lambda letters: letters.listed(name, SHOWN))
    if as_json:
        click.echo(msgspec.json.encode(listed))
        return
    table = Table(Column("id", no_wrap=True), "type", "customer", "sequence", "reason", "attempts", "since")
    for one in listed.data:
        told = (one.id, one.type, one.customer_id, one.sequence, one.reason, one.attempts, one.since)
        table.add_row(*(Text(shown(value)) for value in told))
    Console().print(table)
    if listed.count > len(listed.data):
        click.echo(f"{listed.count - len(listed.data)} more")


@dead_letters.command()
@NAME
@LETTER
@ALL
def retry(name: str, letter: UUID | None, everything: bool) -> None:
    """Send a dead letter to the partner again, after the earlier ones of its customer; or all, in their order.

    What is sent is read from the event store again. Exit code 1 if some stay.
    """
    _check_one_or_all(letter, everything)
    retried, kept = 0, list[Kept]()
    while True:
        done = _run(lambda letters: letters.retry(name, letter))
        retried, kept = retried + done.retried, done.kept
        click.echo(f"{retried} retried, {done.left} left", err=True)
        if not done.left or not done.retried:
            break
    for one in kept:
        click.echo(f"{shown(one.letter.id)}: {one.why}")
    if kept or done.left:
        raise click.ClickException(f"{retried} retried; {done.stopped or 'the others stay'}")
    click.echo(f"{retried} retried")


@dead_letters.command()
@NAME
@LETTER
@ALL
@click.option("--reason", required=True, callback=read(why), help="Kept in the log: it must hold no personal data.")
@click.option(
    "--by",
    default=lambda: clear.logged_in("service:operator"),
    callback=read(clear.actor),
    help="Who does it; by default, who is logged in.",
)
def discard(name: str, letter: UUID | None, everything: bool, reason: str, by: str) -> None:
    """Remove a dead letter, or all; the log says what it was, who has done it, and why."""
    _check_one_or_all(letter, everything)
    click.echo(f"{_run(lambda letters: letters.discard(name, reason, by, letter)).discarded} discarded")


def _check_one_or_all(letter: UUID | None, everything: bool) -> None:
    if everything == (letter is not None):
        raise click.UsageError("Say either a dead letter or --all.")


def _run(work: Callable[[DeadLetters], Coroutine[None, None, T]]) -> T:
    async def done(config: app.DeadLetterSettings) -> T:
        async with app.dead_letters_of(config) as letters:
            return await work(letters)

    # what is removed stands in the log
    return run(app.DeadLetterSettings, done, FAILURES, log_level="info")
