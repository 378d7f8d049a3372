"""The command line of the projector: `run`, `rebuild`, `rollback`, `verify`, `parked`, `retry`, `discard`."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import TypeVar
from uuid import UUID

import msgspec
import rich_click as click
import uvloop
from customerflow_shared import patience, service, settings, telemetry
from customerflow_shared.indexing import Lookups
from customerflow_shared.inputs import clear
from customerflow_shared.inputs.fields import Unfit
from redis.exceptions import RedisError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from customerflow_projector import app, read_model
from customerflow_projector import feed as event_feed
from customerflow_projector import mending as mended
from customerflow_projector.apply import Applier
from customerflow_projector.compare import Comparison
from customerflow_projector.expected import Difference
from customerflow_projector.feed import Feed, FeedBehind, FeedUnavailable
from customerflow_projector.follow import GivenUp, RedisRestarted
from customerflow_projector.generations import Behind, Moved, RebuildRunning
from customerflow_projector.mending import Failure, Mark, Mending, NotParked, OfAnotherRelease, Superseded, Tally
from customerflow_projector.progress import Pace, Told
from customerflow_projector.read_model import ReadModel
from customerflow_projector.rebuild import GenerationsDiffer, NoWayBack, Report, rebuild, roll_back
from customerflow_projector.verify import FIRST, LiveNoMore, NoQuietMoment, NothingLive
from customerflow_projector.verify import verifier as live_verifier

T = TypeVar("T")

FAILURES = (
    RebuildRunning,
    RedisRestarted,
    GivenUp,
    Moved,
    Behind,
    NoWayBack,
    NoQuietMoment,
    LiveNoMore,
    NothingLive,
    NotParked,
    OfAnotherRelease,
    Superseded,
    GenerationsDiffer,
    FeedUnavailable,
    FeedBehind,
    RedisError,
    OSError,
)
ONLY = "Only this customer; may be repeated, but each one looks through every index."
SHOWN = 50  # differences
SHOWN_OF_ALL = 1000


def _read(
    parse: Callable[[str], T], unfit: str = ""
) -> Callable[[click.Context, click.Parameter, str | None], T | None]:
    """An option's callback. What is unfit is told without repeating it."""

    def callback(_: click.Context, __: click.Parameter, value: str | None) -> T | None:
        try:
            return None if value is None else parse(value)
        except Unfit as error:
            raise click.BadParameter(error.detail) from None
        except ValueError:
            raise click.BadParameter(unfit) from None

    return callback


MARK = _read(Mark.read, "That is no mark of a retry that was stopped.")
REASON = _read(mended.reason)
ACTOR = _read(clear.actor)


@click.group()
def main() -> None:
    """The projector of CustomerFlow. Settings come from CF_* environment variables."""


@main.command()
def run() -> None:
    """Consume domain events and keep the read model."""
    config = settings.load_or_exit(app.ProjectorSettings, os.environ)
    telemetry.configure("projector", log_level=config.log_level)
    service.run(*app.projector(config), config)


@main.command("rebuild")
@click.option("--force", is_flag=True, help="Switch even if the live read model knows more than the event store.")
@click.option("--afresh", is_flag=True, help="Drop what a rebuild that was stopped has built.")
def rebuild_command(force: bool, afresh: bool) -> None:
    """Build a new generation of the read model beside the live one, compare them, and switch.

    It may be stopped at any time: the next rebuild goes on where it was. For a while after the switch, `rollback` goes
    back to the generation before.
    """
    report = _run(lambda config: _rebuild(config, force, afresh), "`rebuild` goes on from there")
    click.echo(
        f"generation {report.generation} is live: {report.comparison.customers} customers from {report.events} events, "
        f"{report.comparison.repaired} repaired, {report.parked} parked"
    )


@main.command()
def rollback() -> None:
    """Go back to the generation before the last switch, with all that has happened since."""
    generation = _run(_roll_back)
    click.echo(f"generation {generation} is live again")


@main.command("verify")
@click.option("--repair", is_flag=True, help="Put right what is found.")
@click.option("--after", type=click.UUID, default=str(FIRST), help="Go on after this customer.")
@click.option("--customer", "customers", type=click.UUID, multiple=True, help=ONLY)
def verify_command(repair: bool, after: UUID, customers: tuple[UUID, ...]) -> None:
    """Compare the read model with the event store; exit code 1 if something is not right, or was not.

    Each customer's document, timeline and index entries; then the sizes of all indexes and all totals. Live traffic
    does no harm to it, nor it to live traffic. It may be stopped at any time, and says how to go on.
    """
    found = _run(lambda config: _verify(config, repair, after, customers), "nothing is left half done")
    if found.total():
        raise click.ClickException(f"{found[True]} differences repaired, {found[False]} left")
    if customers or after != FIRST:
        click.echo("these customers are what the events say; sizes and totals are compared by a whole run only")
    else:
        click.echo("the read model is what the events say")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON array, for scripts.")
def parked(as_json: bool) -> None:
    """List customers whose events cannot be applied, oldest first; those who are discarded among them."""
    failures = _run(_parked)
    if as_json:
        click.echo(msgspec.json.encode(failures))
    else:
        _print_parked(failures)


@main.command()
@click.argument("customer_id", type=click.UUID, required=False)
@click.option("--all", "everybody", is_flag=True, help="All who are parked and not discarded, oldest first.")
@click.option("--after", callback=MARK, help="With --all: go on after this mark, which a stopped retry has told.")
def retry(customer_id: UUID | None, everybody: bool, after: Mark | None) -> None:
    """Apply a parked customer's events now, in order, from the event feed; or those of all.

    A customer that is discarded is retried only by its id. It may be stopped at any time.
    """
    if everybody == (customer_id is not None):
        raise click.UsageError("Say either a customer or --all.")
    if customer_id is None:
        tally = _run(lambda config: _retry_all(config, after), "nothing is left half done")
        told = f"{tally.applied} applied, {tally.still_parked} still parked"
        if tally.still_parked:
            raise click.ClickException(f"{told}; see `parked` for the reasons")
        click.echo(told)
        return
    if after:
        raise click.UsageError("--after goes with --all.")
    if failure := _run(lambda config: _retry(config, customer_id)):
        raise click.ClickException(f"the customer is still parked: {failure.error}; see `parked`")
    click.echo("applied")


@main.command()
@click.argument("customer_id", type=click.UUID)
@click.option("--reason", required=True, callback=REASON, help="Kept in clear: it must hold no personal data.")
@click.option(
    "--by",
    default=lambda: clear.logged_in("service:command-line"),
    callback=ACTOR,
    help="Who does it; by default, who is logged in.",
)
def discard(customer_id: UUID, reason: str, by: str) -> None:
    """Give a parked customer's events up: the projector no longer retries them by itself.

    The customer stays listed by `parked`, and its document stays as it is, behind its events: `verify` says so. Only
    `retry`, an erasure, or a rebuild, which tries everybody anew, goes on with it.
    """
    _run(lambda config: _discard(config, customer_id, reason, by))
    click.echo("discarded")


async def _rebuild(config: app.ToolSettings, force: bool, afresh: bool) -> Report:
    async with _tools(config) as (model, feed):
        with _progress("events") as told:
            try:
                report = await rebuild(
                    model,
                    feed,
                    Applier(model, feed),
                    told,
                    force=force,
                    afresh=afresh,
                    keep_previous=config.keep_previous,
                )
            except GenerationsDiffer as error:
                _show(error.comparison)
                raise
        _show(report.comparison)
        return report


def _show(comparison: Comparison) -> None:
    """What differs: of the live generation from the new one."""
    if not comparison.counts:
        return
    table = Table(_customer(), "index or total", "what differs")
    for one in comparison.differences[:SHOWN]:
        table.add_row(str(one.customer_id or ""), one.place, one.what)
    Console().print(table)
    for what, number in comparison.counts.most_common():
        click.echo(f"{what}: {number}")


async def _verify(config: app.ToolSettings, repair: bool, after: UUID, customers: Sequence[UUID]) -> Counter[bool]:
    """How many differences were repaired, and how many were not."""
    table, fates = Table(_customer(), "what differs", "index or total", "by", "fate"), Counter[bool]()

    def found(one: Difference, repaired: bool) -> None:
        fates[repaired] += 1
        if table.row_count < SHOWN_OF_ALL:
            fate = "repaired" if repaired else ""
            table.add_row(str(one.customer_id or ""), one.what, one.place, f"{one.by:+}" if one.by else "", fate)

    async with _tools(config) as (model, feed):
        verifier = await live_verifier(model, feed, Lookups(config.lookup_key), found, repair=repair)
        try:
            if customers:
                await verifier.some(customers)
            else:
                with _progress("customers") as told:
                    await verifier.all(told, after=after)
        except (asyncio.CancelledError, FeedUnavailable, RedisError, OSError):
            if verifier.after != FIRST:
                click.echo(f"go on with --after {verifier.after}", err=True)
            raise
        finally:
            if table.row_count:
                Console().print(table)
    return fates


def _customer() -> Column:
    """Never cut, however narrow the terminal: the next command wants the whole id."""
    return Column("customer", no_wrap=True, min_width=36)


async def _roll_back(config: app.ToolSettings) -> str:
    async with _tools(config) as (model, feed):
        return await roll_back(model, feed, Applier(model, feed), keep_previous=config.keep_previous)


class Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed or 0:,.0f} a second")


@contextmanager
def _progress(of: str) -> Iterator[Told]:
    """A bar on a terminal, else a line every few seconds."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Pace(of, lambda sentence: click.echo(sentence, err=True))
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(of, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


async def _parked(config: app.ToolSettings) -> list[Failure]:
    async with _mending(config) as mending:
        return (await mending.listed()).page


def _print_parked(failures: Sequence[Failure]) -> None:
    """For people; scripts take the JSON."""
    columns = (Column(name, overflow="fold") for name in ("event", "attempts", "error"))
    table = Table(_customer(), *columns, show_lines=True)
    for one in failures:
        event = [f"version {one.version}", f"position {one.position}", one.type or ""]
        tries = [f"{one.attempts} since", one.since, f"last {one.attempted_at}"]
        why = [one.error, f"passed over up to version {one.passed_over}" if one.passed_over else ""]
        if one.discarded:
            why.append(f"discarded by {one.discarded.by} at {one.discarded.at}: {one.discarded.reason}")
        table.add_row(str(one.customer_id), *(Text("\n".join(filter(None, lines))) for lines in (event, tries, why)))
    Console().print(table)


async def _retry(config: app.ToolSettings, customer_id: UUID) -> Failure | None:
    async with _mending(config) as mending:
        return await mending.retry(customer_id)


async def _retry_all(config: app.ToolSettings, after: Mark | None) -> Tally:
    tally = Tally(0, 0, 0, after)
    try:
        async with _mending(config) as mending, aclosing(mending.retry_all(after)) as tallies:
            with _progress("customers") as told:
                async for tally in tallies:
                    done = tally.applied + tally.still_parked
                    told(done, done + tally.left)
    except BaseException:
        click.echo(f"{tally.applied} applied, {tally.still_parked} still parked", err=True)
        if tally.mark:
            click.echo(f"go on with --all --after {tally.mark}", err=True)
        raise
    return tally


async def _discard(config: app.ToolSettings, customer_id: UUID, reason: str, by: str) -> None:
    async with _mending(config) as mending:
        await mending.discard(customer_id, reason=reason, by=by)


@asynccontextmanager
async def _mending(config: app.ToolSettings) -> AsyncIterator[Mending]:
    async with _tools(config) as (model, feed):
        yield Mending(model, feed, Applier(model, feed))


@asynccontextmanager
async def _tools(config: app.ToolSettings) -> AsyncIterator[tuple[ReadModel, Feed]]:
    redis = read_model.connect(config.redis_url)
    async with event_feed.connect(config.feed_url, config.feed_token) as http:
        try:
            yield ReadModel(redis, Lookups(config.lookup_key)), Feed(http)
        finally:
            await redis.aclose()


def _run(work: Callable[[app.ToolSettings], Coroutine[None, None, T]], when_stopped: str = "") -> T:
    """At SIGINT or SIGTERM it is cancelled, and what is open is closed first."""

    config = settings.load_or_exit(app.ToolSettings, os.environ)
    telemetry.configure("projector", log_level=config.log_level)
    service.collect_rarely()

    async def until_stopped() -> T:
        task, stopped = asyncio.ensure_future(work(config)), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        stopping = asyncio.ensure_future(stopped.wait())
        await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
        for one in (task, stopping):
            await patience.end(one, every=0.1)
        return task.result()

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(until_stopped())
    except FAILURES as error:
        raise click.ClickException(str(error) or str(type(error).__doc__)) from None
    except asyncio.CancelledError:
        click.echo(f"stopped; {when_stopped}".removesuffix("; "), err=True)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main(prog_name="customerflow-projector")
