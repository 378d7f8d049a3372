"""Applying events to a generation of the read model.

Whoever delivers them, however often and in whatever order: a document changes only from version v to v + 1, a gap is
filled from the event feed, and what cannot be applied parks its customer, with all before it applied, while the
others flow on. Only an erasure waits for nothing: it takes the place of whatever is there.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import structlog
from customerflow_shared import telemetry, views
from customerflow_shared.events import CustomerErased, Place, Recorded
from msgspec.structs import replace

from customerflow_projector.feed import Feed
from customerflow_projector.projections import HistoryBroken, project, tombstone
from customerflow_projector.read_model import Parked, ReadModel, Write, version_of

log = structlog.get_logger()


class UnknownEvent(Exception):
    """The event is one that this program does not know; a newer one may."""


class Applier:
    def __init__(self, model: ReadModel, feed: Feed) -> None:
        self._model = model
        self._feed = feed

    async def apply(self, generation: str, batch: Sequence[Recorded | Place]) -> None:
        """Return when every event is applied, or its customer parked. Raises only what Redis raises."""
        waiting = by_customer(batch)
        parked = await self._model.parked_among(generation, list(waiting))
        erased = {one: entry for one, entry in parked.items() if _tombstone(waiting[one])}
        for customer_id in parked.keys() - erased.keys():
            newest, entry = waiting.pop(customer_id)[-1].version, parked[customer_id]
            if newest > entry.passed_over:
                # a retry that has asked the feed before this event was there must not unpark the customer
                await self._model.park(generation, customer_id, replace(entry, passed_over=newest))
        while waiting:
            waiting = await self._round(generation, waiting, fill_gaps=True)
        for customer_id, entry in erased.items():
            await self._model.unpark(generation, customer_id, entry)

    async def apply_where_next(self, generation: str, batch: Sequence[Recorded | Place]) -> None:
        """Apply the events that are the next of their customer; the builder of the generation brings what is before
        the others.
        """
        waiting = by_customer(batch)
        while waiting:
            waiting = await self._round(generation, waiting, fill_gaps=False)

    async def retry(self, generation: str, customer_id: UUID, entry: Parked) -> bool:
        """Apply a parked customer's events, in order, from the event feed; True if it is no longer parked.

        It stays parked until they are stored: whoever dies on the way leaves it to the next retry. Raises
        FeedUnavailable.
        """
        entry = replace(entry, attempts=entry.attempts + 1, attempted_at=datetime.now(UTC))
        await self._model.park(generation, customer_id, entry)
        held = (await self._model.load(generation, [customer_id]))[0]
        missing = await self._feed.of_customer(customer_id, version_of(held))
        waiting = by_customer(missing)
        while waiting:
            waiting = await self._round(generation, waiting, fill_gaps=True, retried=entry)
        return await self._model.unpark(generation, customer_id, entry)

    async def _round(
        self,
        generation: str,
        waiting: Mapping[UUID, list[Recorded | Place]],
        *,
        fill_gaps: bool,
        retried: Parked | None = None,
    ) -> dict[UUID, list[Recorded | Place]]:
        """Load, fold, store; what another writer has overtaken meanwhile is returned, to be looked at again."""
        held = await self._model.load(generation, list(waiting))
        writes: list[Write] = []
        for (customer_id, events), stored in zip(waiting.items(), held, strict=True):
            if last := _tombstone(events):
                if last.version > version_of(stored):
                    writes.append(Write(customer_id, version_of(stored), views.pack(last)))
                continue
            view: views.View | None = None
            version = 0
            try:
                view = views.unpack(stored) if stored else None
                version = view.version if view else 0
                async for event in self._in_order(customer_id, events, version, fill_gaps):
                    view = _projected(view, event)
            except Exception as error:  # whatever it is, it concerns this customer only
                reached = view.version if view else 0
                obstacle = next((event for event in events if event.version > reached), events[-1])
                await self._park(generation, obstacle, error, retried)
            if view and view.version > version:
                writes.append(Write(customer_id, version, views.pack(view)))
        stored_ones = await self._model.store(generation, writes)
        return {
            write.customer_id: waiting[write.customer_id]
            for write, done in zip(writes, stored_ones, strict=True)
            if not done
        }

    async def _in_order(
        self, customer_id: UUID, events: Sequence[Recorded | Place], version: int, fill_gaps: bool
    ) -> AsyncIterator[Recorded | Place]:
        """What comes after the version, without gaps, up to the last of the events; or, unless gaps are to be filled,
        to the first gap.
        """
        for event in events:
            if event.version > version + 1 and fill_gaps:
                for missing in await self._feed.of_customer(customer_id, version):
                    if missing.version <= events[-1].version:
                        yield missing
                        version = missing.version
                if version < event.version:
                    raise HistoryBroken(f"the event feed does not have version {event.version}")
            elif event.version == version + 1:
                yield event
                version = event.version

    async def _park(
        self, generation: str, obstacle: Recorded | Place, error: Exception, retried: Parked | None
    ) -> None:
        now = datetime.now(UTC)
        entry = Parked(
            position=obstacle.position,
            version=obstacle.version,
            error=telemetry.describe(error),
            attempts=retried.attempts if retried else 1,
            since=retried.since if retried else now,
            attempted_at=now,
        )
        await self._model.park(generation, obstacle.customer_id, entry)
        log.error("customer parked", customer_id=str(obstacle.customer_id), position=entry.position, error=entry.error)


def _tombstone(events: Sequence[Recorded | Place]) -> views.ErasedView | None:
    """What is left of the customer, if these are its last events."""
    last = events[-1]
    return (
        tombstone(last, last.event) if isinstance(last, Recorded) and isinstance(last.event, CustomerErased) else None
    )


def _projected(view: views.View | None, event: Recorded | Place) -> views.View:
    if isinstance(event, Place):
        raise UnknownEvent(f"at position {event.position}")
    return project(view, event)


def by_customer(batch: Iterable[Recorded | Place]) -> dict[UUID, list[Recorded | Place]]:
    """The batch per customer, each version once and in order."""
    customers: dict[UUID, dict[int, Recorded | Place]] = {}
    for event in batch:
        customers.setdefault(event.customer_id, {})[event.version] = event
    return {customer_id: [events[version] for version in sorted(events)] for customer_id, events in customers.items()}
