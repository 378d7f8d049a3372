"""Fill a local system with invented customers: `make load N=1000000`.

All of it goes the way of a command that has been read: decide, claims, seal, one transaction with others for events,
outbox, claims and keys. What is left out is HTTP and the reading of bodies. Relay and projector work at the same time;
what is stored is never far ahead of what is visible, so neither the outbox nor the broker fills up.

A run that was stopped, or killed, is gone on with by the next one; what is there already is not stored again.
"""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import rich_click as click
import structlog
import uvloop
from customerflow_command import app
from customerflow_command.commit import GroupCommit, open_commit_engine
from customerflow_command.customer.claims import external_id_claim
from customerflow_command.customer.commands import Command, RegisterCustomer
from customerflow_command.customer.errors import CustomerIsArchived
from customerflow_command.fingerprints import Fingerprints
from customerflow_command.mediator import Request
from customerflow_command.personal import MasterKeys, Pepper
from customerflow_command.store import Store
from customerflow_command.unit_of_work import UnitOfWork, ValueTaken
from customerflow_local.instance import PREFERRED_PORTS, RUN
from customerflow_local.stack import Stack
from customerflow_shared import database, service, settings, views
from customerflow_shared.ids import uuid7
from msgspec.structs import replace
from redis.asyncio import Redis
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy.ext.asyncio import AsyncEngine

from customerflow_bench import people

AT_ONCE = 512  # customers
FAR_AHEAD = 100_000  # events that are stored but not yet visible, at which storing pauses
LOOK_EVERY = 0.5  # seconds

_BLOCK = 1000  # its first number is that of nobody who is erased
_DOUBTFUL = 4 * AT_ONCE  # of the last ones some may be missing, if a run was killed
_CONNECTIONS = 4


@dataclass(frozen=True)
class Loaded:
    """What one run has done. `storing` are the seconds in which it did not wait for what is visible."""

    customers: int
    events: int
    storing: float
    visible: float


class Loader:
    """Stores customers by their numbers, `AT_ONCE` at the same time."""

    def __init__(
        self,
        engine: AsyncEngine,
        store: Store,
        unit_of_work: UnitOfWork,
        pepper: Pepper,
        life: Callable[[int], people.Life],
    ) -> None:
        self._engine = engine
        self._life = life
        self._store = store
        self._do = unit_of_work
        self._pepper = pepper
        self._looking_up = asyncio.Semaphore(_CONNECTIONS)
        self.done = self.registered = 0
        self.go = asyncio.Event()
        self.stop = asyncio.Event()

    async def store(self, first: int, upto: int) -> None:
        """Those of the numbers that are not there; return early, with nobody half stored, once `stop` is set."""
        doubtful = range(first, min(first + 2 * _DOUBTFUL, upto))
        there = await self._holders(doubtful)
        # of an erased customer nothing is to be found any more
        gone = {number for number in doubtful if people.is_erased(number) and number - 1 in there}

        async def work(numbers: Iterator[int]) -> None:
            for number in numbers:
                await self.go.wait()
                if self.stop.is_set():
                    return
                life = self._life(number)
                if number in there:
                    async with self._looking_up:
                        await self._change(there[number], life.changes)
                elif number not in gone:
                    await self._change(await self._register(life.registration), life.changes)
                    self.registered += 1
                self.done += 1

        numbers = iter(range(first, upto))
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(work(numbers))

    async def _register(self, registration: RegisterCustomer) -> UUID:
        try:
            return await self._send(uuid7(), registration)
        except ValueTaken:
            # somebody who was not invented here has this tax id by chance
            return await self._send(uuid7(), replace(registration, tax_ids=()))

    async def _change(self, customer_id: UUID, changes: Sequence[Command]) -> None:
        # whom an earlier run has stored may have been through all this
        with suppress(CustomerIsArchived):
            for change in changes:
                await self._send(customer_id, change)

    async def _send(self, customer_id: UUID, command: Command) -> UUID:
        request = Request(target=customer_id, command=type(command), read=lambda _: command, correlation_id=uuid7())
        return (await self._do(request)).id

    async def count(self) -> int:
        """How many are there for certain."""
        below, above = 0, 1
        while await self._holders([above * _BLOCK]):
            below, above = above, above * 2
        while above - below > 1:
            middle = (below + above) // 2
            below, above = (middle, above) if await self._holders([middle * _BLOCK]) else (below, middle)
        return max(0, below * _BLOCK - _DOUBTFUL)

    async def _holders(self, numbers: Sequence[int]) -> dict[int, UUID]:
        """Who of them is there."""
        if not numbers:
            return {}
        claims = {number: external_id_claim(people.external_id(number)) for number in numbers}
        hashed = {self._pepper.claim(claim): number for number, claim in claims.items()}
        async with database.session(self._engine) as session:
            rows = await session.rows(
                "SELECT key_hash, customer_id FROM cf_claims "
                f"WHERE kind = %s AND key_hash IN {database.placeholders(1, len(hashed))}",
                (external_id_claim(people.external_id(0)).kind, *hashed),
            )
        return {hashed[key_hash]: UUID(bytes=customer_id) for key_hash, customer_id in rows}

    async def head(self) -> int:
        return await self._store.head()


@asynccontextmanager
async def loading(env: Mapping[str, str], life: Callable[[int], people.Life] = people.life) -> AsyncIterator[Loader]:
    """The parts of the command service that a command meets behind its HTTP interface."""
    config = settings.load(app.WriteSettings, env)
    keys, pepper = MasterKeys(config.master_keys), Pepper(config.claim_pepper)
    engine = database.open_engine(config.mysql_url, connections=_CONNECTIONS)
    commit_engine = open_commit_engine(config.mysql_url)
    try:
        fingerprints = Fingerprints(engine, {"claim pepper": pepper.fingerprint(), **keys.fingerprints()}, leaves=True)
        await fingerprints.check()
        commit = GroupCommit(commit_engine, on_commit=lambda: None)
        store = Store(engine, keys, cached_customers=2 * AT_ONCE)
        unit_of_work = UnitOfWork(store, commit, keys, pepper, config.unique, database.utc_now)
        async with service.background("group commit", commit.run):
            yield Loader(engine, store, unit_of_work, pepper, life)
    finally:
        await engine.dispose()
        await commit_engine.dispose()


async def applied(redis: Redis) -> int:
    """The position up to which the read model shows every event; 0 while there is none."""
    generation: Any = await redis.get(views.LIVE)
    if generation is None:
        return 0
    place: Any = await redis.get(views.key(generation.decode(), "applied"))
    return int(place.split()[0]) if place else 0


async def load(
    env: Mapping[str, str], customers: int, console: Console, life: Callable[[int], people.Life] = people.life
) -> Loaded | None:
    """Return when all of them are stored and visible; None if it was stopped before."""
    loop = asyncio.get_running_loop()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:,.0f}/s"),
        TimeRemainingColumn(),
    )
    redis = Redis.from_url(env["CF_REDIS_URL"])
    async with loading(env, life) as loader:
        first, before = await loader.count(), await loader.head()
        loop.add_signal_handler(signal.SIGINT, loader.stop.set)
        try:
            with Progress(*columns, console=console, speed_estimate_period=30) as progress:
                watch = _Watch(loader, redis, progress, customers, first)
                async with asyncio.TaskGroup() as group:
                    looking = group.create_task(watch.look())
                    await loader.store(first, customers)
                    watch.all_stored()
                    await looking
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            await redis.aclose()
        if loader.stop.is_set():
            return None
        return Loaded(loader.registered, await loader.head() - before, watch.storing, watch.elapsed())


class _Watch:
    """Looks at how far storing and showing have come, tells it, and holds up what is too far ahead."""

    def __init__(self, loader: Loader, redis: Redis, progress: Progress, customers: int, first: int) -> None:
        self._loader = loader
        self._redis = redis
        self._progress = progress
        self._customers = customers
        self._first = first
        self._began = time.monotonic()
        self._complete = False
        self.storing = 0.0
        self._stored = progress.add_task("customers stored", total=customers, completed=first, rate=0.0)
        self._visible = progress.add_task("events visible", total=None, rate=0.0)

    def all_stored(self) -> None:
        self._complete = True

    def elapsed(self) -> float:
        return time.monotonic() - self._began

    async def look(self) -> None:
        """Return when all is stored and visible, or nobody waits for it any more."""
        before = await self._loader.head()
        while True:
            head, position = await self._loader.head(), await applied(self._redis)
            self._show(before, head, position)
            if self._complete and (position >= head or self._loader.stop.is_set()):
                return
            if head - position < FAR_AHEAD or self._loader.stop.is_set():
                self._loader.go.set()
                self.storing += 0 if self._complete else LOOK_EVERY
            else:
                self._loader.go.clear()
            await asyncio.sleep(LOOK_EVERY)

    def _show(self, before: int, head: int, position: int) -> None:
        done, left = self._loader.done, self._customers - self._first - self._loader.done
        events = head - before + round((head - before) / max(done, 1) * left)
        seconds = max(self.elapsed(), LOOK_EVERY)
        self._progress.update(self._stored, completed=self._first + done, rate=done / max(self.storing, LOOK_EVERY))
        shown = max(0, position - before)
        self._progress.update(self._visible, completed=shown, total=events, rate=shown / seconds)


def open_stack(instance: str, console: Console) -> Stack:
    """The instance, started where it does not run."""
    stack = Stack(RUN / instance, ports=PREFERRED_PORTS if instance == "demo" else {}, console=console)
    with console.status(f"starting {instance}"):
        stack.start_servers()
        stack.start_programs()
    return stack


def fill(stack: Stack, customers: int, console: Console, life: Callable[[int], people.Life] = people.life) -> Loaded:
    """Raises ClickException if not all of them are there and visible."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        loaded = uvloop.run(load(stack.env, customers, console, life))
    except ExceptionGroup as failed:
        raise click.ClickException(f"{failed.exceptions[0]!r}. Run it again to go on.") from failed
    if loaded is None:
        raise click.ClickException("It was stopped; run it again to go on.")
    return loaded


@click.command()
@click.argument("customers", type=click.IntRange(1, 10_000_000))
@click.option("--instance", default="demo", show_default=True, help="A folder below .run.")
def main(customers: int, instance: str) -> None:
    """Fill a local system with so many invented customers; Ctrl-C stops it, and another run goes on from there."""
    console = Console()
    loaded = fill(open_stack(instance, console), customers, console)
    if not loaded.events:
        console.print(f"{customers:,} customers are there already.")
        return
    console.print(
        f"{customers:,} customers are there. {loaded.customers:,} of them, {loaded.events:,} events, were stored in "
        f"{loaded.storing:.0f} s ({loaded.customers / loaded.storing:,.0f} customers/s) and visible after "
        f"{loaded.visible:.0f} s ({loaded.customers / loaded.visible:,.0f} customers/s, "
        f"{loaded.events / loaded.visible:,.0f} events/s)."
    )


if __name__ == "__main__":
    main(prog_name="make load")
