"""`replay`, and `replays`: list, pause, resume, cancel."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import rich_click as click
from customerflow_shared import patience
from customerflow_shared.database import DatabaseUnavailable
from customerflow_shared.inputs.fields import Unfit
from msgspec import UNSET
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from customerflow_partners import app, asking, inputs
from customerflow_partners.cli.options import JSON, optional, read, run, shown
from customerflow_partners.keeping import Incomplete, NotSubscribed
from customerflow_partners.management import AccountRefused, Management, NoVirtualHost, Unavailable
from customerflow_partners.replays import (
    DEFAULT_RATE,
    Asked,
    NoReplay,
    Over,
    Replay,
    Replays,
    State,
    Unfinished,
)

T = TypeVar("T")

LOOK_EVERY = 0.25  # seconds
SHOWN = 100
INTERRUPTED = 130  # exit code, as shells have it

FAILURES = (
    NotSubscribed,
    Incomplete,
    NoReplay,
    Over,
    Unfinished,
    Unavailable,
    AccountRefused,
    NoVirtualHost,
    DatabaseUnavailable,
    Unfit,
)

NAME = click.argument("name", callback=read(inputs.subscription_name))
REPLAY = click.argument("replay_id", type=click.UUID)


def _types(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted({asking.event_type(value) for value in values}))


@click.command()
@NAME
@click.option("--after", type=int, callback=read(optional(asking.position)), help="After this position.")
@click.option("--until", type=int, callback=read(optional(asking.position)), help="Up to this position.")
@click.option("--since", callback=read(optional(asking.time_of)), help="Recorded at this moment or later (RFC 3339).")
@click.option("--before", callback=read(optional(asking.time_of)), help="Recorded before this moment.")
@click.option(
    "--type",
    "types",
    multiple=True,
    callback=read(_types),
    help="A routing key, may be repeated; without it those that the subscription takes.",
)
@click.option("--customer", type=click.UUID, help="Of this customer only.")
@click.option(
    "--rate", type=int, default=DEFAULT_RATE, show_default=True, callback=read(asking.rate), help="Events a second."
)
@click.option("--resume", is_flag=True, help="Go on with the one that has not come to its end, whatever it was.")
def replay(
    name: str,
    after: int | None,
    until: int | None,
    since: str | None,
    before: str | None,
    types: tuple[str, ...],
    customer: UUID | None,
    rate: int,
    resume: bool,
) -> None:
    """Tell one partner events of the past again, to its queue and no other.

    Ctrl-C stops it: the same command again, or --resume, goes on where it was. If this program is killed, the service
    goes on with it.
    """
    given: dict[str, Any] = {"after": after, "until": until, "since": since, "before": before, "types": types or None}
    wanted = {key: value for key, value in (given | {"customer": customer}).items() if value is not None}
    if resume and wanted:
        raise click.UsageError("--resume goes on with what was asked for then.")
    asked = Asked(rate=rate, **wanted)
    for field, unfit in asking.disorder(asked):
        raise click.UsageError(f"--{field}: {unfit.detail}")
    ended = _run(lambda config: _replayed(config, name, None if resume else asked))
    told = f"{ended.progress.published} published, {ended.progress.unreadable} cannot be read"
    match ended.state:
        case State.COMPLETED:
            click.echo(f"completed: {told}")
        case State.PAUSED:
            click.echo(f"stopped at {shown(ended.progress.position)}: {told}; the same command goes on", err=True)
            raise SystemExit(INTERRUPTED)
        case State.FAILED:
            raise click.ClickException(f"failed: {ended.reason}; {told}; --resume goes on once it is mended")
        case _:
            raise click.ClickException(f"{ended.state} by somebody else: {told}")


@click.group()
def replays() -> None:
    """What partners are told again."""


@replays.command("list")
@NAME
@JSON
def list_command(name: str, as_json: bool) -> None:
    """List a subscription's replays, the newest first."""
    found = _run(lambda config: _kept(config, lambda kept: kept.listed(name, SHOWN)))
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    table = Table(Column("id", no_wrap=True), "state", "position", "of", "published", "created", "")
    for one in found:
        progress, why = one.progress, one.reason if one.reason is not UNSET else one.waiting
        numbers = (shown(progress.position), shown(progress.of), str(progress.published))
        table.add_row(str(one.id), str(one.state), *numbers, one.created_at, shown(why))
    Console().print(table)


@replays.command()
@NAME
@REPLAY
def pause(name: str, replay_id: UUID) -> None:
    """Stop a replay; it keeps its place."""
    _turn(lambda kept: kept.pause(name, replay_id))


@replays.command()
@NAME
@REPLAY
def resume(name: str, replay_id: UUID) -> None:
    """Let the service go on with a replay, also with one that has failed."""
    _turn(lambda kept: kept.resume(name, replay_id))


@replays.command()
@NAME
@REPLAY
def cancel(name: str, replay_id: UUID) -> None:
    """End a replay for ever; what has been published stays."""
    _turn(lambda kept: kept.cancel(name, replay_id))


def _turn(work: Callable[[Replays], Awaitable[Replay]]) -> None:
    click.echo(str(_run(lambda config: _kept(config, work)).state))


async def _kept(config: app.ReplaySettings, work: Callable[[Replays], Awaitable[T]]) -> T:
    async with app.replaying(config) as (kept, _, _):
        return await work(kept)


async def _replayed(config: app.ReplaySettings, name: str, asked: Asked | None) -> Replay:
    """Runs it here, unless the service has taken it already; and shows how far it is either way."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with app.replaying(config) as (kept, management, runner):
        found = await _begun(kept, management, name, asked)
        running: asyncio.Task[object] = asyncio.create_task(runner.run(found.id))
        try:
            with _Bar() as show:
                while found.state is State.RUNNING and not stop.is_set():
                    show(found)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_EVERY):
                            await stop.wait()
                    with suppress(DatabaseUnavailable):
                        found = await kept.one(name, found.id)
                show(found)
            if stop.is_set() and found.state is State.RUNNING:
                with suppress(Over):
                    await kept.pause(name, found.id)
        finally:
            await patience.end(running, every=1)
        return await kept.one(name, found.id)


async def _begun(kept: Replays, management: Management, name: str, asked: Asked | None) -> Replay:
    """A new one, or the one that has not come to its end if it is the same."""
    unfinished = await kept.unfinished(name)
    if asked is None:
        newest = unfinished or next(iter(await kept.listed(name, 1)), None)
        if newest is None or newest.state in (State.COMPLETED, State.CANCELLED):
            raise click.ClickException("there is nothing to go on with")
        return await kept.resume(name, newest.id)
    settled = await asking.settled(management, name, asked)
    if unfinished is None:
        return await asking.begin(kept, management, name, asked)
    if unfinished.asked != settled:
        raise click.ClickException(
            f"the replay {unfinished.id} has not come to its end, and asks for something else: --resume goes on with "
            "it, `replays cancel` ends it"
        )
    return await kept.resume(name, unfinished.id)


class _Bar:
    """What it is entered as shows how far a replay is."""

    def __init__(self) -> None:
        self._bar = Progress(
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[waiting]}", style="yellow"),
            console=Console(stderr=True),
        )
        self._task = self._bar.add_task("", total=None, told="", waiting="")

    def __enter__(self) -> Callable[[Replay], None]:
        self._bar.start()
        return self._show

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def _show(self, found: Replay) -> None:
        progress = found.progress
        if isinstance(progress.of, int) and isinstance(progress.begin, int) and isinstance(progress.position, int):
            total = max(progress.of - progress.begin, 0)
            self._bar.update(self._task, total=total or 1, completed=progress.position - progress.begin if total else 1)
        self._bar.update(
            self._task,
            told=f"{progress.published} published, {progress.per_second:.0f}/s, position {shown(progress.position)}",
            waiting=shown(found.waiting),
        )


def _run(work: Callable[[app.ReplaySettings], Coroutine[None, None, T]]) -> T:
    return run(app.ReplaySettings, work, FAILURES)
