"""Dead letters of a partner's queue: seen, retried from the event store, or discarded.

They are taken from the broker one operator at a time, by a lock that goes with the connection as the messages do.
Whatever is not acknowledged goes back, also if this process dies, though RabbitMQ may change its place: the order is
that of the times at which they died, and of one customer that of the sequence. A letter is a pointer and no more: what
is published is read from the event store again.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelInvalidStateError
from aiormq.exceptions import ChannelLockedResource, ChannelNotFoundEntity
from customerflow_shared import messaging, patience
from customerflow_shared.inputs.clear import remark
from customerflow_shared.messaging import BrokerUnavailable
from customerflow_shared.views import timestamp
from msgspec import UNSET, UnsetType

from customerflow_partners.feed import Event, Feed, FeedUnavailable, event_of
from customerflow_partners.keeping import Incomplete, NotSubscribed
from customerflow_partners.management import Management
from customerflow_partners.publishing import NoQueue, NotConfirmed, Publisher
from customerflow_partners.subscriptions import dead_of, faults, queue_of

log = structlog.get_logger()

BUSY_SECONDS = 5.0  # after which another operator is told of
TAKE_SECONDS = 5.0  # in which the broker hands all of them out
BACK_SECONDS = 1.0  # in which they are back in their queue, unless others take them
MOST = 20_000  # letters that are taken at once; a dead-letter queue holds fewer
WITHIN = 10.0  # seconds, after which a retry begins with no other letter
FILLED = 0.8  # of a queue's limits, beyond which nothing is published into it
MAX_REASON = 500
TOLD = 100  # letters that stay, with why

# what is raised when a connection is lost; RuntimeError by whoever then asks for a channel
AWAY = (AMQPError, ChannelInvalidStateError, RuntimeError, OSError, TimeoutError)

HEADER = "customerflow-retries"
"""How often an operator has retried the event."""


why = remark(MAX_REASON)
"""Why letters are discarded. It is kept in clear, and so must hold no personal data. Raises Unfit."""


class NoLetter(Exception):
    """There is no such dead letter."""


class Busy(Exception):
    """Somebody else is at these dead letters."""


class Letter(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What was dropped (`maxlen`), too old (`expired`), or refused (`rejected`, `delivery_limit`); nothing of its
    content. `attempts`: how often it has come to that. Without `customerId` it is no event of ours.
    """

    id: UUID | UnsetType = UNSET
    type: str | UnsetType = UNSET
    customer_id: UUID | UnsetType = UNSET
    sequence: int | UnsetType = UNSET
    reason: str | UnsetType = UNSET
    attempts: int
    since: str | UnsetType = UNSET


class Kept(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A letter that stays, and why it cannot be retried."""

    letter: Letter
    why: str


class Listed(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The oldest, and how many there are in all."""

    data: list[Letter]
    count: int


class Retried(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How many were published and removed; those that stay, 100 at most, and why; how many have not been tried, and
    what has stopped it then.
    """

    retried: int
    kept: list[Kept]
    left: int
    stopped: str | UnsetType = UNSET


class Discarded(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    discarded: int


class Taken(NamedTuple):
    letter: Letter
    message: AbstractIncomingMessage


class DeadLetters:
    """All may raise NotSubscribed, Incomplete, Busy, BrokerUnavailable, and what `Management` does."""

    def __init__(self, management: Management, feed: Feed, amqp_url: str) -> None:
        self._management = management
        self._feed = feed
        self._amqp_url = amqp_url

    async def listed(self, name: str, limit: int) -> Listed:
        async with self._taken(name, limit) as (taken, count, _):
            return Listed(data=[one.letter for one in taken], count=count)

    async def retry(self, name: str, letter: UUID | None = None) -> Retried:
        """One letter, after those of its customer that come before it; or all, in their order. Raises NoLetter.

        Each is removed once what it stands for is confirmed. Of one that stays, the later ones of its customer stay.
        """
        async with self._taken(name, MOST) as (taken, _, connection):
            chosen = in_order(taken) if letter is None else _with_earlier(taken, letter)
            return await self._retry(name, chosen, connection)

    async def discard(self, name: str, reason: str, by: str, letter: UUID | None = None) -> Discarded:
        """Remove one, or all that there are now. Raises NoLetter."""
        async with self._taken(name, MOST) as (taken, _, _):
            chosen = [one for one in taken if letter is None or one.letter.id == letter]
            if letter is not None and not chosen:
                raise NoLetter
            for one in chosen:
                await one.message.ack()
                told = {key: str(value) for key, value in msgspec.to_builtins(one.letter).items() if key != "reason"}
                log.info("dead letter discarded", subscription=name, reason=reason, by=by, letter=told)
            return Discarded(discarded=len(chosen))

    async def _retry(self, name: str, chosen: Sequence[Taken], connection: AbstractConnection) -> Retried:
        publisher = await Publisher.open(connection, queue_of(name))
        arguments = await self._arguments(name)
        until = asyncio.get_running_loop().time() + WITHIN
        kept, stuck, retried, stopped = list[Kept](), dict[UUID, UUID](), 0, ""
        for number, one in enumerate(chosen):
            if asyncio.get_running_loop().time() >= until:
                stopped = "there was no more time; the same again goes on"
            elif await publisher.room(arguments, FILLED) <= 0:
                stopped = "the queue is nearly full: what is in it would be dropped"
            if not stopped:
                try:
                    found = await self._event(one.letter, stuck)
                except FeedUnavailable as error:
                    if not number:
                        raise
                    stopped = str(error)
            if stopped:
                return Retried(retried=retried, kept=kept[:TOLD], left=len(chosen) - number, stopped=stopped)
            if isinstance(found, str):
                kept.append(Kept(letter=one.letter, why=found))
                if isinstance(one.letter.customer_id, UUID) and isinstance(one.letter.id, UUID):
                    stuck.setdefault(one.letter.customer_id, one.letter.id)
                continue
            await publisher.publish([found], {HEADER: str(one.letter.attempts)})
            await one.message.ack()
            log.info("dead letter retried", subscription=name, id=str(found.id), customer_id=str(found.customer))
            retried += 1
        return Retried(retried=retried, kept=kept[:TOLD], left=0)

    async def _event(self, letter: Letter, stuck: dict[UUID, UUID]) -> Event | str:
        """As the event store has it, or why not. Raises FeedUnavailable."""
        if not isinstance(letter.customer_id, UUID) or not isinstance(letter.sequence, int):
            return "it is no event"
        if before := stuck.get(letter.customer_id):
            return f"it waits behind {before}"
        line = await self._feed.of_version(letter.customer_id, letter.sequence)
        if line is None:
            return "the event store does not have it"
        if line.unreadable:
            return "the event store cannot read it"
        return next((one for one in line.events if one.id == letter.id), "the event store does not have it")

    async def _arguments(self, name: str) -> Any:
        found = (await self._management.snapshot()).found.get(name)
        if found is None:
            raise NotSubscribed
        if found.queue is None:
            raise Incomplete(faults(name, found))
        return found.queue.arguments

    @asynccontextmanager
    async def _taken(self, name: str, most: int) -> AsyncIterator[tuple[list[Taken], int, AbstractConnection]]:
        """The oldest, how many there are, and the connection they are taken by; what is not acknowledged goes back."""
        try:
            async with messaging.connected(self._amqp_url, "dead letters") as connection:
                await self._lock(connection, name)
                channel = await connection.channel(publisher_confirms=False)
                taken, count = await self._take(channel, dead_of(name), most)
                try:
                    yield taken, count, connection
                finally:
                    await _give_back(connection, channel, dead_of(name), count, taken)
        except ChannelNotFoundEntity:
            found = (await self._management.snapshot()).found.get(name)
            raise (Incomplete(faults(name, found)) if found else NotSubscribed()) from None
        except NoQueue as error:
            raise Incomplete([str(error)]) from None
        except (NotConfirmed, *AWAY) as error:
            log.warning("RabbitMQ does not answer", kind=type(error).__name__)
            raise BrokerUnavailable from None
        except asyncio.CancelledError:
            if patience.is_cancelled():
                raise
            raise BrokerUnavailable from None

    async def _lock(self, connection: AbstractConnection, name: str) -> None:
        """Hold it as long as the connection is open. Raises Busy."""
        until = asyncio.get_running_loop().time() + BUSY_SECONDS
        while True:
            channel = await connection.channel(publisher_confirms=False)
            try:
                await channel.declare_queue(f"{dead_of(name)}.lock", exclusive=True, timeout=messaging.PUBLISH_TIMEOUT)
                return
            except ChannelLockedResource:
                if asyncio.get_running_loop().time() >= until:
                    raise Busy from None
            await asyncio.sleep(0.1)

    async def _take(self, channel: AbstractChannel, queue: str, most: int) -> tuple[list[Taken], int]:
        declared = await channel.declare_queue(queue, passive=True, timeout=messaging.PUBLISH_TIMEOUT)
        there = declared.declaration_result.message_count or 0
        count = min(there, most)
        if not count:
            return [], there
        taken, complete = list[Taken](), asyncio.Event()

        async def take(message: AbstractIncomingMessage) -> None:
            taken.append(Taken(letter_of(message), message))
            if len(taken) == count:
                complete.set()

        await channel.set_qos(prefetch_count=count)
        tag = await declared.consume(take, timeout=messaging.PUBLISH_TIMEOUT)
        try:
            async with asyncio.timeout(TAKE_SECONDS):
                await complete.wait()
        except TimeoutError:
            pass  # others have taken some
        await declared.cancel(tag, timeout=messaging.PUBLISH_TIMEOUT)
        # the library handles each in a task of its own; and RabbitMQ changes the order of what is given back
        taken.sort(key=lambda one: (str(one.letter.since or ""), one.message.delivery_tag or 0))
        return taken, there


def in_order(taken: Sequence[Taken]) -> list[Taken]:
    """Those of a customer by sequence, in the places that they have in the queue: who was retried before stands behind
    later ones.
    """
    places: dict[object, list[int]] = {}
    for place, one in enumerate(taken):
        places.setdefault(one.letter.customer_id, []).append(place)
    ordered = list(taken)
    for customer, of_customer in places.items():
        if customer is not UNSET:
            in_turn = sorted((taken[place] for place in of_customer), key=_sequence)
            for place, one in zip(of_customer, in_turn, strict=True):
                ordered[place] = one
    return ordered


def letter_of(message: AbstractIncomingMessage) -> Letter:
    deaths: Any = message.headers.get("x-death")
    death = deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else {}
    retries = message.headers.get(HEADER)
    since = death.get("time")
    seen: dict[str, Any] = {
        "reason": str(death["reason"]) if "reason" in death else UNSET,
        "attempts": 1 + (int(retries) if isinstance(retries, str) and retries.isdecimal() else 0),
        "since": timestamp(since.astimezone(UTC)) if isinstance(since, datetime) else UNSET,
    }
    try:
        told = event_of(message.body)
    except ValueError:
        return Letter(id=_identifier(message.message_id), **seen)
    return Letter(id=told.id, type=told.routing_key, customer_id=told.customer, sequence=told.sequence, **seen)


def _with_earlier(taken: Sequence[Taken], letter: UUID) -> list[Taken]:
    """Raises NoLetter."""
    found = [one for one in taken if one.letter.id == letter]
    if not found:
        raise NoLetter
    last = found[0].letter
    if last.customer_id is UNSET:
        return found
    same = [one for one in in_order(taken) if one.letter.customer_id == last.customer_id]
    return [one for one in same if _sequence(one) < _sequence(found[0]) or one.letter.id == letter]


def _sequence(one: Taken) -> int:
    return one.letter.sequence if isinstance(one.letter.sequence, int) else 0


async def _give_back(
    connection: AbstractConnection, channel: AbstractChannel, queue: str, count: int, taken: Sequence[Taken]
) -> None:
    """Returns once they are in the queue again, for the next operator is not to miss any. If the connection is lost
    the broker does it by itself.
    """
    with suppress(*AWAY):
        await channel.close()
        left = count - sum(one.message.processed for one in taken)
        counting = await connection.channel(publisher_confirms=False)
        until = asyncio.get_running_loop().time() + BACK_SECONDS
        while asyncio.get_running_loop().time() < until:
            declared = await counting.declare_queue(queue, passive=True, timeout=messaging.PUBLISH_TIMEOUT)
            if (declared.declaration_result.message_count or 0) >= left:
                return
            await asyncio.sleep(0.02)


def _identifier(text: str | None) -> UUID | UnsetType:
    try:
        return UUID(text) if text else UNSET
    except ValueError:
        return UNSET
