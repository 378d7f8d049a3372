"""Running replays: events of the past to one partner's queue, at least once, in order per customer.

Any number of processes may run this; each replay is run by one of them, and whoever stops or dies leaves it to the
next. What is away is waited for, without limit. A batch is noted once all of it is confirmed, so what was under way is
repeated, and nothing is left out.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import TypeVar
from uuid import UUID

import structlog
from customerflow_shared import messaging, metrics, patience, telemetry
from customerflow_shared.database import DatabaseUnavailable
from customerflow_shared.patience import Patience
from msgspec import UNSET

from customerflow_partners.feed import Event, Feed, FeedUnavailable, Line
from customerflow_partners.management import AccountRefused, Management, NoVirtualHost, Unavailable
from customerflow_partners.publishing import NoQueue, NotConfirmed, Publisher
from customerflow_partners.replays import Held, Lost, Replays, State

T = TypeVar("T")

log = structlog.get_logger()

LOOK_EVERY = 1.0  # seconds, for replays that nobody runs
NOTE_EVERY = 1.0
AT_ONCE = 8  # replays of one process
READ = 500  # events, after which what was read is published
READ_SECONDS = 2.0
BATCH = 100  # events between two notes
BATCHES_PER_SECOND = 5  # so that a low rate is kept evenly
FILLED = 0.8  # of a queue's limits; the rest is for what happens now
LIMITS_KNOWN = 15.0  # seconds
PLENTY = BATCH  # messages
PLENTY_SECONDS = 0.2
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0

HEADER = "customerflow-replay"

_running = metrics.gauge("customerflow.replays.running", "{replay}", "Replays that this process runs.")
_ended = metrics.counter(
    "customerflow.replays.ended", "{replay}", "Replays that have come to their end.", ["customerflow.outcome"]
)
_replayed = metrics.counter("customerflow.replay.events", "{event}", "Events that were published once more.")
for _state in (State.COMPLETED, State.FAILED):
    _ended.begin(_state)


class Stopped(Exception):
    """Paused, cancelled, or no longer ours."""


class Failed(Exception):
    """It cannot go on; the text says why."""


class Runner:
    """Of whichever replay has no holder, or of one."""

    def __init__(
        self,
        replays: Replays,
        feed: Feed,
        management: Management,
        amqp_url: str,
        holder: str,
    ) -> None:
        self._replays = replays
        self._feed = feed
        self._management = management
        self._amqp_url = amqp_url
        self._holder = holder
        self._only: UUID | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._patience = Patience("replays")
        _running.read(self._tasks.__len__)

    async def run(self, only: UUID | None = None) -> None:
        self._only = only
        try:
            await self._patience.persist(self._look)
        finally:
            for task in list(self._tasks):
                await patience.end(task, every=1)

    async def _look(self) -> None:
        for replay_id in await self._replays.without_holder():
            if len(self._tasks) >= AT_ONCE or self._only not in (None, replay_id):
                continue
            if held := await self._replays.take(replay_id, self._holder):
                task = asyncio.create_task(self._run(held))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        self._patience.rewarded()
        await asyncio.sleep(LOOK_EVERY)

    async def _run(self, held: Held) -> None:
        told = {"replay": str(held.id), "subscription": held.subscription}
        log.info("replay goes on", **told, position=held.standing.position)
        try:
            state, reason = await Replaying(held, self._replays, self._feed, self._management, self._amqp_url).run()
            if state is not None:
                await self._replays.finish(held, state, reason)
                _ended.add(1, state)
                log.info("replay ends", **told, state=str(state), reason=reason, published=held.standing.published)
        except (Lost, DatabaseUnavailable) as error:
            log.warning("replay is left to others", **told, why=telemetry.describe(error))
        except Exception as error:
            log.error("replay is interrupted, and tried again", **told, exc_info=error)
        finally:
            with suppress(Lost, DatabaseUnavailable):
                await asyncio.shield(self._replays.give_back(held))


class Replaying:
    """One replay, as long as it is held here."""

    def __init__(self, held: Held, replays: Replays, feed: Feed, management: Management, amqp_url: str) -> None:
        self._held = held
        self._standing = held.standing
        self._replays = replays
        self._feed = feed
        self._management = management
        self._amqp_url = amqp_url
        self._stopped = asyncio.Event()
        self._lost: BaseException | None = None
        self._arguments: Mapping[str, object] = {}
        self._arguments_until = 0.0
        self._plenty_until = 0.0
        self._next_at = 0.0
        self._pause = FIRST_PAUSE

    async def run(self) -> tuple[State | None, str | None]:
        """How it ends, and why; None: it has been paused or cancelled. Raises Lost."""
        noting: asyncio.Task[object] = asyncio.create_task(self._keep_noting())
        try:
            await self._replay()
            return State.COMPLETED, None
        except (NoQueue, Failed) as error:
            return State.FAILED, str(error)
        except Stopped:
            if self._lost is not None:
                raise Lost from None
            return None, None
        finally:
            await patience.end(noting, every=1)

    async def _keep_noting(self) -> None:
        while True:
            await asyncio.sleep(NOTE_EVERY)
            with suppress(DatabaseUnavailable):  # the lease tells how long that does no harm
                await self._note()

    async def _note(self) -> None:
        try:
            if await self._replays.note(self._held) is not State.RUNNING:
                self._stopped.set()
        except Lost as error:
            self._lost = error
            self._stopped.set()

    async def _replay(self) -> None:
        while self._has_more():
            async with AsyncExitStack() as stack:
                try:
                    publisher = await self._open(stack)
                    while self._has_more():
                        await self._publish(publisher, await self._patiently(self._read, FeedUnavailable))
                except NotConfirmed as error:
                    await self._wait(str(error))

    def _has_more(self) -> bool:
        standing = self._standing
        return standing.end is None or (standing.position or 0) < standing.end

    async def _open(self, stack: AsyncExitStack) -> Publisher:
        """Raises NotConfirmed if the broker is away."""
        try:
            connection = await stack.enter_async_context(messaging.connected(self._amqp_url, "replay"))
            return await Publisher.open(connection, self._held.queue)
        except asyncio.CancelledError:
            if patience.is_cancelled():
                raise
            raise NotConfirmed("RabbitMQ does not answer: the connection is lost") from None
        except Exception as error:  # a library's, of many kinds
            raise NotConfirmed(f"RabbitMQ does not answer: {type(error).__name__}") from None

    async def _read(self) -> list[Line]:
        """Not more than what is published within a while: whoever reads slowly holds a connection of others open.

        Raises FeedUnavailable, Failed.
        """
        standing, lines, events, until = self._standing, list[Line](), 0, time.monotonic() + READ_SECONDS
        async with self._feed.told(self._question()) as (end, told):
            if standing.end is None:
                standing.end = end
            elif end < standing.end and self._held.asked.before is UNSET:
                raise Failed(f"the event store has lost events: it ends at {end}, and ended at {standing.end}")
            standing.end = min(standing.end, end)
            async for line in told:
                lines.append(line)
                events += len(line.events)
                if events >= READ or time.monotonic() >= until:
                    return lines
        if not lines or lines[-1].position < standing.end:
            raise FeedUnavailable("the command service has cut the answer off")
        return lines

    def _question(self) -> dict[str, str | list[str]]:
        asked, standing = self._held.asked, self._standing
        after = asked.after if standing.position is None else standing.position
        until = asked.until if standing.end is None else standing.end
        question: dict[str, str | list[str]] = {
            name: str(value)
            for name, value in (
                ("after", after),
                ("until", until),
                ("since", asked.since),
                ("before", asked.before),
                ("customer", asked.customer),
            )
            if value is not UNSET
        }
        if asked.types is not UNSET:
            question["type"] = list(asked.types)
        return question

    async def _publish(self, publisher: Publisher, lines: Sequence[Line]) -> None:
        """Raises NoQueue, NotConfirmed, Stopped, Failed."""
        standing = self._standing
        if standing.begin is None:
            standing.begin = standing.position = lines[0].position
        batch = max(1, min(BATCH, self._held.asked.rate // BATCHES_PER_SECOND))
        for several in _batches(lines, batch):
            for wave in waves(several):
                await self._send(publisher, wave)
            standing.position = several[-1].position
            standing.published += sum(len(line.events) for line in several)
            standing.unreadable += sum(line.unreadable for line in several)
            self._pause, standing.waiting = FIRST_PAUSE, None
            if any(line.events for line in several):
                with suppress(DatabaseUnavailable):
                    await self._note()
            self._check()

    async def _send(self, publisher: Publisher, wave: Sequence[Event]) -> None:
        """When the rate allows, and as many at a time as the queue has room for."""
        left = list(wave)
        while left:
            await self._rest(self._next_at - time.monotonic())
            room = await self._room(publisher)
            part, left = left[:room], left[room:]
            self._held.require()
            # what a pause has cost is not made up for: within any second there is no more than the rate and one batch
            self._next_at = time.monotonic() + len(part) / self._held.asked.rate
            await publisher.publish(part, {HEADER: str(self._held.id)})
            _replayed.add(len(part))

    async def _room(self, publisher: Publisher) -> int:
        """Asked for again before each wave, unless there was plenty a moment ago."""
        while True:
            if time.monotonic() >= self._arguments_until:
                await self._patiently(self._look_at_queue, Unavailable, AccountRefused, NoVirtualHost)
            if time.monotonic() < self._plenty_until:
                return PLENTY
            room = await publisher.room(self._arguments, FILLED)
            if room >= 100 * PLENTY:
                self._plenty_until = time.monotonic() + PLENTY_SECONDS
            if room > 0:
                return room
            await self._wait("the queue is nearly full: what is in it would be dropped")

    async def _look_at_queue(self) -> None:
        found = (await self._management.snapshot()).found.get(self._held.subscription)
        if found is None or found.queue is None:
            raise NoQueue(f"the queue {self._held.queue} does not exist")
        self._arguments = found.queue.arguments
        self._arguments_until = time.monotonic() + LIMITS_KNOWN

    async def _patiently(self, work: Callable[[], Awaitable[T]], *away: type[Exception]) -> T:
        while True:
            try:
                return await work()
            except away as error:
                await self._wait(str(error) or str(type(error).__doc__))

    async def _wait(self, reason: str) -> None:
        if self._standing.waiting != reason:
            log.warning("replay waits", replay=str(self._held.id), subscription=self._held.subscription, why=reason)
        self._standing.waiting = reason
        await self._rest(self._pause)
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    async def _rest(self, seconds: float) -> None:
        """Raises Stopped."""
        if seconds > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._stopped.wait()
        self._check()

    def _check(self) -> None:
        if self._stopped.is_set():
            raise Stopped


def waves(lines: Sequence[Line]) -> Iterator[list[Event]]:
    """The first event of each customer, then the second of each that has more, and so on: those of a wave may be sent
    at the same time.
    """
    waiting: dict[UUID, list[Event]] = {}
    for line in lines:
        for event in line.events:
            waiting.setdefault(event.customer, []).append(event)
    number = 0
    while wave := [events[number] for events in waiting.values() if len(events) > number]:
        yield wave
        number += 1


def _batches(lines: Sequence[Line], size: int) -> Iterator[list[Line]]:
    """Of this many events or a few more, for a command stays whole."""
    batch: list[Line] = []
    for line in lines:
        batch.append(line)
        if sum(len(one.events) for one in batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch
