"""Proving handlers without a broker: whatever it may deliver, how often and how late, the end is the same."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from copy import deepcopy
from dataclasses import replace
from types import TracebackType
from typing import Any, Generic, Self, TypeVar
from uuid import UUID, uuid4

from customerflow_contract.cloud_event import SOURCE, TYPE_PREFIX, CloudEvent, encode
from customerflow_contract.events import ROUTING_KEYS, IntegrationEvent

from customerflow_consumer.deliveries import Deliveries, Retries
from customerflow_consumer.handlers import Handlers
from customerflow_consumer.inbox import Entry, Inbox, Parked, Standing

T = TypeVar("T")
I = TypeVar("I", bound=Inbox[Any])  # noqa: E741

INTERRUPTED = 0.2
"""The share of transactions that are interrupted between the handler and the commit."""


class Interrupted(Exception):
    pass


def told(event: IntegrationEvent) -> CloudEvent:
    """The event in its envelope, with an id of its own, as CustomerFlow tells it."""
    return CloudEvent(
        specversion="1.0",
        id=uuid4(),
        type=TYPE_PREFIX + ROUTING_KEYS[type(event)],
        source=SOURCE,
        subject=event.customer_id,
        time="2026-11-23T12:00:00.000Z",
        datacontenttype="application/json",
        sequence=f"{event.version:020d}",
        partitionkey=event.customer_id,
        correlationid=uuid4(),
        causationid=uuid4(),
        dataclassification="internal",
        dataregulation="LGPD,GDPR",
        data=event,
    )


class MemoryInbox:
    """For tests: what handlers keep of a customer is a dictionary of its own, which is their transaction."""

    def __init__(self) -> None:
        self.kept: dict[UUID, dict[str, Any]] = {}
        self._entries: dict[UUID, dict[UUID, Entry]] = {}  # by customer, by id, in the order they were inserted
        self._locks: dict[UUID, asyncio.Lock] = {}

    @asynccontextmanager
    async def transaction(self, customer: UUID) -> AsyncIterator[dict[str, Any]]:
        async with self._locks.setdefault(customer, asyncio.Lock()):
            entries = dict(self._entries.get(customer, {}))
            kept = deepcopy(self.kept.get(customer, {}))
            try:
                yield kept
            except BaseException:
                self._entries[customer] = entries
                raise
            self.kept[customer] = kept

    async def standing(self, transaction: dict[str, Any], entry: Entry) -> Standing:
        entries = self._entries.get(entry.customer, {})
        done = [one.sequence for one in entries.values() if one.body is None]
        return Standing(entry.id in entries, len(done) < len(entries), max(done, default=0))

    async def write(self, transaction: dict[str, Any], entry: Entry) -> None:
        self._entries.setdefault(entry.customer, {})[entry.id] = entry

    async def first_waiting(self, transaction: dict[str, Any], customer: UUID) -> Entry | None:
        return next((one for one in self._entries.get(customer, {}).values() if one.body is not None), None)

    async def parked(self) -> Sequence[Parked]:
        waiting = [
            [one for one in entries.values() if one.body is not None] for entries in self._entries.values() if entries
        ]
        return [Parked(all_[0].customer, all_[0].reason, all_[0].attempts, len(all_)) for all_ in waiting if all_]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pass


async def prove(
    handlers: Handlers[Any],
    events: Sequence[CloudEvent],
    inbox: Callable[[], AbstractContextManager[I]],
    state: Callable[[I], object],
    *,
    seeds: Sequence[int] = range(20),
    overtaking: bool = False,
) -> None:
    """Hand the events to the handlers as they are told, then, for each seed, as a broker might deliver them: customers
    mixed, events twice and thrice, at once and much later, transactions interrupted before their commit. Raises
    AssertionError unless the state in the end is the same.

    Each run has a fresh `inbox()`, of which `state` is asked. With `overtaking` also the first deliveries of a customer
    come in any order; that is for handlers that are all registered with `overtaken`.
    """
    expected = await _run(handlers, events, inbox, state, None)
    for seed in seeds:
        chance = random.Random(seed)
        found = await _run(handlers, deliveries(events, chance, overtaking=overtaking), inbox, state, chance)
        assert found == expected, f"seed {seed} ends otherwise\nexpected {expected!r}\nfound    {found!r}"


def deliveries(events: Sequence[CloudEvent], chance: random.Random, *, overtaking: bool = False) -> list[CloudEvent]:
    """Each event at least once; unless `overtaking`, the first delivery of each in its customer's order."""
    slots = [event.subject for event in events]
    chance.shuffle(slots)
    left: dict[UUID, list[CloudEvent]] = {}
    for event in reversed(events):
        left.setdefault(event.subject, []).append(event)
    first = [left[customer].pop() for customer in slots]
    if overtaking:
        chance.shuffle(first)
    found = list(first)
    for event in first:
        for _ in range(chance.choice((0, 0, 1, 2))):
            found.insert(chance.randint(found.index(event) + 1, len(found)), event)
    return found


async def _run(
    handlers: Handlers[Any],
    events: Sequence[CloudEvent],
    inbox: Callable[[], AbstractContextManager[I]],
    state: Callable[[I], object],
    chance: random.Random | None,
) -> object:
    with inbox() as it:
        fragile = it if chance is None else _Fragile(it, chance)
        run = Deliveries(handlers, fragile, replace(Retries(), attempts=1, first_pause=0))
        for event in events:
            await run.deliver(event, encode(event))
        assert not (parked := await it.parked()), f"a handler has failed: {parked[0].reason}"
        return state(it)


class _Fragile(Generic[T]):
    """The inbox, whose transactions are sometimes interrupted before their commit."""

    def __init__(self, inbox: Inbox[T], chance: random.Random) -> None:
        self._inbox = inbox
        self._chance = chance
        self.standing = inbox.standing
        self.write = inbox.write
        self.first_waiting = inbox.first_waiting
        self.parked = inbox.parked

    @asynccontextmanager
    async def transaction(self, customer: UUID) -> AsyncIterator[T]:
        async with self._inbox.transaction(customer) as transaction:
            yield transaction
            if self._chance.random() < INTERRUPTED:
                raise Interrupted
