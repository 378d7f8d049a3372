"""Applying events to a generation of the read model.

Whoever delivers them, however often and in whatever order: a document changes only from version v to v + 1, a gap is
filled from the event feed, and what cannot be applied parks its customer, with all before it applied, while the
others flow on. Only an erasure waits for nothing: it takes the place of whatever is there, its timeline may follow.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID

import structlog
from customerflow_shared import metrics, telemetry, timeline, views
from customerflow_shared.events import CustomerErased, Place, Recorded, event_name
from customerflow_shared.timeline import BLOCK, Entry
from customerflow_shared.views import ErasedView, View
from msgspec import UNSET
from msgspec.structs import replace
from opentelemetry import trace

from customerflow_projector import history
from customerflow_projector.feed import Feed
from customerflow_projector.projections import HistoryBroken, project, tombstone
from customerflow_projector.read_model import Look, Overtaken, Parked, ReadModel, Write, version_of

log = structlog.get_logger()
tracer = trace.get_tracer("customerflow.projector")

RETRIES = 5  # of a customer to whom something happens meanwhile each time

_gaps = metrics.counter(
    "customerflow.projection.gaps", "{gap}", "Events that came before those before them, which the feed was asked for."
)
_parkings = metrics.counter(
    "customerflow.projection.parkings", "{customer}", "Customers that were parked, those parked again included."
)

Events: TypeAlias = Sequence[Recorded | Place]
"""Of one customer, by version."""


class UnknownEvent(Exception):
    """The event is one that this program does not know; a newer one may."""


class Round(NamedTuple):
    """`again`: what another writer has overtaken, to be looked at again; the versions that the others have; and whether
    what was to be marked with them is.
    """

    again: Mapping[UUID, Events]
    versions: Mapping[UUID, int]
    marked: bool


class Draft:
    """A customer's document while events are applied to it, with what they add to its timeline."""

    def __init__(self, before: View | None) -> None:
        self.before = before
        self.after = before
        self.entries: list[bytes] = []
        self.ends: list[bytes] = []
        """The documents at the ends of blocks."""
        self.obstacle: Recorded | Place | None = None
        """The event that could not be added."""

    @property
    def version(self) -> int:
        return self.after.version if self.after else 0

    def add(self, event: Recorded | Place) -> None:
        """Raises UnknownEvent or HistoryBroken."""
        self.obstacle = event
        if isinstance(event, Place):
            raise UnknownEvent(f"at position {event.position}")
        after = project(self.after, event)
        self.entries.append(timeline.encode(history.entry(self.after, event, after)))
        if after.version % BLOCK == 0:
            self.ends.append(views.split(views.pack(after)).document)
        self.after, self.obstacle = after, None


class Applier:
    def __init__(self, model: ReadModel, feed: Feed) -> None:
        self._model = model
        self._feed = feed

    async def apply(self, generation: str, batch: Sequence[Recorded | Place], look: Look | None = None) -> None:
        """Return when every event is applied, or its customer parked, and marked as such. Who has looked already saves
        a round trip. Raises only what Redis raises.
        """
        await self._apply(generation, batch, look, handled=batch)

    async def apply_unmarked(self, generation: str, batch: Sequence[Recorded | Place]) -> None:
        """As `apply`; how far the generation is says whoever builds it."""
        await self._apply(generation, batch, None, handled=())

    async def _apply(
        self,
        generation: str,
        batch: Sequence[Recorded | Place],
        look: Look | None,
        handled: Sequence[Recorded | Place],
    ) -> None:
        waiting = by_customer(batch)
        _, parked, documents = look or await self._model.look(generation, waiting)
        erased = {one: entry for one, entry in parked.items() if tombstone_of(waiting[one])}
        for customer_id in parked.keys() - erased.keys():
            newest, entry = waiting.pop(customer_id)[-1].version, parked[customer_id]
            if newest > entry.passed_over:
                # a retry that has asked the feed before this event was there must not unpark the customer
                await self._model.park(generation, customer_id, replace(entry, passed_over=newest))
        found = await self._round(generation, waiting, documents, fill_gaps=True, handled=handled)
        while found.again:
            found = await self._round(generation, found.again, fill_gaps=True, handled=handled)
        if not found.marked:
            await self._model.mark(generation, handled)
        for customer_id, entry in erased.items():
            await self._model.unpark(generation, customer_id, entry)

    async def apply_where_next(self, generation: str, batch: Sequence[Recorded | Place]) -> Sequence[Recorded | Place]:
        """Apply the events that are the next of their customer; the builder of the generation brings what is before
        the others. Return those that the generation now contains.
        """
        waiting: Mapping[UUID, Events] = by_customer(batch)
        reached: dict[UUID, int] = {}
        while waiting:
            found = await self._round(generation, waiting, fill_gaps=False)
            waiting = found.again
            reached |= found.versions
        return [event for event in batch if event.version <= reached[event.customer_id]]

    async def retry(self, generation: str, customer_id: UUID, entry: Parked) -> bool:
        """Apply a parked customer's events, in order, from the event feed; True if it is no longer parked.

        It stays parked until they are stored: whoever dies on the way leaves it to the next retry. If another event or
        another retry comes meanwhile it is retried again. Raises FeedUnavailable.
        """
        for _ in range(RETRIES):
            entry = replace(entry, attempts=entry.attempts + 1, attempted_at=datetime.now(UTC))
            if await self._retry_once(generation, customer_id, entry):
                return True
            now = await self._model.standing(generation, customer_id)
            if now is None:
                return True
            if now.parked.attempts == entry.attempts and now.parked.attempted_at > entry.attempted_at:
                return False  # parked again: something is in the way
            entry = now.parked
        return False

    async def _retry_once(self, generation: str, customer_id: UUID, entry: Parked) -> bool:
        await self._model.park(generation, customer_id, entry)
        held = (await self._model.load(generation, [customer_id]))[0]
        # the erasure itself is asked for again: it may be the timeline that is wanting
        version = version_of(held) - (1 if isinstance(readable(held), ErasedView) else 0)
        waiting: Mapping[UUID, Events] = by_customer(await self._feed.of_customer(customer_id, version))
        while waiting:
            waiting = (await self._round(generation, waiting, fill_gaps=True, retried=entry)).again
        return await self._model.unpark(generation, customer_id, entry)

    async def _round(
        self,
        generation: str,
        waiting: Mapping[UUID, Events],
        documents: Mapping[UUID, bytes | None] | None = None,
        *,
        fill_gaps: bool,
        retried: Parked | None = None,
        handled: Sequence[Recorded | Place] = (),
    ) -> Round:
        """Load (unless these are the documents), fold, store. If nobody was overtaken, and there was anything to store,
        the `handled` are marked with it.
        """
        if documents is None:
            held = await self._model.load(generation, list(waiting))
            documents = dict(zip(waiting, held, strict=True))
        versions = {one: version_of(documents[one]) for one in waiting}
        writes: list[Write] = []
        overtaken: set[UUID] = set()
        for customer_id, events in waiting.items():
            stored = documents[customer_id]
            try:
                if last := tombstone_of(events):
                    write = await self._erasure(generation, last, events, stored, retried)
                else:
                    write = await self._next(generation, customer_id, events, stored, fill_gaps, retried)
            except Overtaken:
                overtaken.add(customer_id)
            else:
                writes += [write] if write else []
        with _traced(writes, waiting, live=bool(handled or retried)):
            made, marked = await self._model.store_and_mark(generation, writes, () if overtaken else handled)
        for write, done in zip(writes, made, strict=True):
            if done:
                versions[write.after.id] = write.after.version
            else:
                overtaken.add(write.after.id)
        again = {one: waiting[one] for one in overtaken}
        return Round(again, {one: version for one, version in versions.items() if one not in overtaken}, marked)

    async def _next(
        self,
        generation: str,
        customer_id: UUID,
        events: Sequence[Recorded | Place],
        stored: bytes | None,
        fill_gaps: bool,
        retried: Parked | None,
    ) -> Write | None:
        """What the events come to, as far as they can be applied. Raises Overtaken."""
        draft = Draft(None)
        try:
            draft = Draft(views.unpack(stored) if stored else None)
            if _follow(events, draft.version):
                for event in events:
                    draft.add(event)
            else:
                async for event in self._in_order(customer_id, events, draft.version, fill_gaps):
                    draft.add(event)
        except Exception as error:  # whatever it is, it concerns this customer only
            first = next((event for event in events if event.version > draft.version), events[-1])
            obstacle = draft.obstacle or first
            await self._park(generation, obstacle, error, retried)
        if draft.after is None or not draft.entries:
            return None
        expected = draft.before.version if draft.before else 0
        if not draft.ends:
            return Write(expected=expected, before=draft.before, after=draft.after, entries=draft.entries)
        there = await self._model.entries(generation, customer_id, expected)
        if len(there) != expected % BLOCK:
            broken = HistoryBroken(f"after the last block there are {len(there)} entries, at version {expected}")
            await self._park(generation, events[0], broken, retried)
            return None
        blocks, entries = history.packed([*there, *draft.entries], draft.ends)
        return Write(
            expected=expected, before=draft.before, after=draft.after, entries=entries, blocks=blocks, kept="blocks"
        )

    async def _erasure(
        self,
        generation: str,
        last: ErasedView,
        events: Sequence[Recorded | Place],
        stored: bytes | None,
        retried: Parked | None,
    ) -> Write | None:
        """The tombstone, with all that has happened, told without what it was. If nobody can tell it now, the customer
        is erased all the same, and parked until somebody can.
        """
        before = readable(stored)
        told = await self._told(generation, last.id) if stored else {}
        if isinstance(before, ErasedView) and len(told) == last.version:
            return None
        told |= {event.version: history.bare(event) for event in events if isinstance(event, Recorded)}
        try:
            if len(told) < last.version:
                found = await self._feed.of_customer(last.id, 0)
                told = {event.version: history.bare(event) for event in found if isinstance(event, Recorded)}
            if told.keys() != set(range(1, last.version + 1)):
                raise HistoryBroken(f"of {last.version} events {len(told)} can be told")
            entries = [timeline.encode(timeline.redacted(told[version])) for version in sorted(told)]
        except Exception as error:
            await self._park(generation, events[-1], error, retried)
            entries = []
        blocks, entries_left = history.packed(entries, [None] * (len(entries) // BLOCK))
        return Write(
            expected=version_of(stored),
            before=before,
            after=last,
            entries=entries_left,
            blocks=blocks,
            kept="nothing",
        )

    async def _told(self, generation: str, customer_id: UUID) -> dict[int, Entry]:
        """What the timeline has, by version; nothing if it cannot be read."""
        try:
            return {one.version: one for one in history.unpacked(*await self._model.timeline(generation, customer_id))}
        except ValueError:
            return {}

    async def _in_order(
        self, customer_id: UUID, events: Sequence[Recorded | Place], version: int, fill_gaps: bool
    ) -> AsyncIterator[Recorded | Place]:
        """What comes after the version, without gaps, up to the last of the events; or, unless gaps are to be filled,
        to the first gap.
        """
        for event in events:
            if event.version > version + 1 and fill_gaps:
                _gaps.add(1)
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
            type=event_name(type(obstacle.event)) if isinstance(obstacle, Recorded) else UNSET,
        )
        await self._model.park(generation, obstacle.customer_id, entry)
        _parkings.add(1)
        correlation_id = str(obstacle.metadata.correlation_id) if isinstance(obstacle, Recorded) else None
        log.error(
            "customer parked",
            customer_id=str(obstacle.customer_id),
            position=entry.position,
            error=entry.error,
            correlation_id=correlation_id,
        )


def _traced(writes: Sequence[Write], events: Mapping[UUID, Events], *, live: bool) -> AbstractContextManager[object]:
    """What the broker does not bring is in its commands' traces all the same; but not what is built anew."""
    if not live or trace.get_current_span().is_recording():
        return nullcontext()
    written = (event for write in writes for event in events[write.after.id])
    parents = telemetry.recorded(event.metadata.traceparent for event in written if isinstance(event, Recorded))
    return telemetry.shared(tracer, "project from the feed", parents) if parents else nullcontext()


def _follow(events: Events, version: int) -> bool:
    """Whether they are the next ones, without gaps."""
    return events[0].version == version + 1 and events[-1].version == version + len(events)


def tombstone_of(events: Sequence[Recorded | Place]) -> ErasedView | None:
    """What is left of the customer, if these are its last events."""
    last = events[-1]
    return (
        tombstone(last, last.event) if isinstance(last, Recorded) and isinstance(last.event, CustomerErased) else None
    )


def readable(stored: bytes | None) -> View | None:
    try:
        return views.unpack(stored) if stored else None
    except ValueError:
        return None


def by_customer(batch: Iterable[Recorded | Place]) -> dict[UUID, list[Recorded | Place]]:
    """The batch per customer, each version once and in order."""
    customers: dict[UUID, dict[int, Recorded | Place]] = {}
    for event in batch:
        customers.setdefault(event.customer_id, {})[event.version] = event
    return {customer_id: [events[version] for version in sorted(events)] for customer_id, events in customers.items()}
