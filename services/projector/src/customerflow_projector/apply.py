"""Applying events to a generation of the read model.

Whoever delivers them, however often and in whatever order: a document changes only from version v to v + 1, a gap is
filled from the event feed, and what cannot be applied parks its customer while the others flow on.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import structlog
from customerflow_shared import telemetry, views
from customerflow_shared.events import Place, Recorded
from msgspec.structs import replace

from customerflow_projector.feed import Feed, FeedUnavailable
from customerflow_projector.projections import HistoryBroken, project
from customerflow_projector.read_model import Parked, ReadModel, Write

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
        for customer_id, entry in (await self._model.parked_among(generation, list(waiting))).items():
            newest = waiting.pop(customer_id)[-1].version
            if newest > entry.passed_over:
                # a retry that has asked the feed before this event was there must not unpark the customer
                await self._model.park(generation, customer_id, replace(entry, passed_over=newest))
        while waiting:
            waiting = await self._round(generation, waiting, fill_gaps=True)

    async def apply_where_next(self, generation: str, batch: Sequence[Recorded | Place]) -> None:
        """Apply the events that are the next of their customer; the builder of the generation brings what is before
        the others.
        """
        waiting = by_customer(batch)
        while waiting:
            waiting = await self._round(generation, waiting, fill_gaps=False)

    async def retry(self, generation: str, customer_id: UUID, entry: Parked) -> bool:
        """Apply a parked customer's events, in order, from the event feed; True if it is no longer parked.

        It stays parked until they are stored: whoever dies on the way leaves it to the next retry.
        """
        entry = replace(entry, attempts=entry.attempts + 1, attempted_at=datetime.now(UTC))
        await self._model.park(generation, customer_id, entry)
        held = (await self._model.load(generation, [customer_id]))[0]
        try:
            missing = await self._feed.of_customer(customer_id, views.split(held)[0] if held else 0)
        except FeedUnavailable:
            return False
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
            try:
                write = await self._fold(customer_id, events, stored, fill_gaps)
            except Exception as error:  # whatever it is, it concerns this customer only
                now = datetime.now(UTC)
                entry = Parked(
                    position=events[0].position,
                    version=events[0].version,
                    error=telemetry.describe(error),
                    attempts=retried.attempts if retried else 1,
                    since=retried.since if retried else now,
                    attempted_at=now,
                )
                await self._model.park(generation, customer_id, entry)
                log.error("customer parked", customer_id=str(customer_id), position=entry.position, error=entry.error)
                continue
            if write:
                writes.append(write)
        stored_ones = await self._model.store(generation, writes)
        return {
            write.customer_id: waiting[write.customer_id]
            for write, done in zip(writes, stored_ones, strict=True)
            if not done
        }

    async def _fold(
        self, customer_id: UUID, events: Iterable[Recorded | Place], stored: bytes | None, fill_gaps: bool
    ) -> Write | None:
        """The write that the events amount to; None if they have all been applied before."""
        view = views.unpack(stored) if stored else None
        version = view.version if view else 0
        news = [event for event in events if event.version > version]
        if not news:
            return None
        if not _is_contiguous(news, version):
            if not fill_gaps:
                return None
            wanted = news[-1].version
            news = await self._feed.of_customer(customer_id, version)
            if not news or news[-1].version < wanted:
                raise HistoryBroken(f"the event feed does not have version {wanted}")
        for event in news:
            if isinstance(event, Place):
                raise UnknownEvent(f"at position {event.position}")
            view = project(view, event)
        return Write(customer_id, version, views.pack(view)) if view else None


def by_customer(batch: Iterable[Recorded | Place]) -> dict[UUID, list[Recorded | Place]]:
    """The batch per customer, each version once and in order."""
    customers: dict[UUID, dict[int, Recorded | Place]] = {}
    for event in batch:
        customers.setdefault(event.customer_id, {})[event.version] = event
    return {customer_id: [events[version] for version in sorted(events)] for customer_id, events in customers.items()}


def _is_contiguous(events: Sequence[Recorded | Place], version: int) -> bool:
    return events[0].version == version + 1 and events[-1].version == version + len(events)
