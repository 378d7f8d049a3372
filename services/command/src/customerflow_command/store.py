"""The event store: load a customer, read the feed. What is written goes through `commit.GroupCommit`."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from functools import reduce
from typing import NamedTuple
from uuid import UUID

import msgspec
import structlog
from customerflow_shared import database
from customerflow_shared.events import Metadata, Place, Recorded
from sqlalchemy.ext.asyncio import AsyncEngine

from customerflow_command.customer.state import Customer, evolve
from customerflow_command.personal import KeyProvider, Sealed, UnreadableEvent, WrappedKey, unseal
from customerflow_command.snapshots import Snapshot, Snapshots
from customerflow_command.unit import HashedClaim

log = structlog.get_logger()

FEED_PAGE = 500
FEED_SLICE = 50  # events that are read, or told, without a pause
FOLDED_AT_ONCE = 100  # events of one customer; if there are more, a snapshot is looked for
LONG = 2 * FOLDED_AT_ONCE  # events, after which a snapshot is worth while
MAX_VERSION = 2**32 - 1  # that a row can have

EVENT_COLUMNS = (
    "e.position, e.customer_id, e.version, e.event_id, e.schema_version, e.recorded_at, e.metadata, "
    "e.type, e.data, e.pii, k.master_key_id, k.wrapped, "
    # a key may be missing for one reason only
    "CASE WHEN k.wrapped IS NULL THEN EXISTS (SELECT 1 FROM cf_events d WHERE d.customer_id = e.customer_id "
    "AND d.type = 'CustomerErased') ELSE 0 END"
)
SELECT_EVENTS = (
    f"SELECT {EVENT_COLUMNS} FROM cf_events e LEFT JOIN cf_customer_keys k ON k.customer_id = e.customer_id "
)

_metadata = msgspec.json.Decoder(Metadata)


class Known(msgspec.Struct, frozen=True):
    """A customer as last seen: the folded state, its version (0 and None before registration), its wrapped data key,
    and when its last event was recorded, or one before it.
    """

    state: Customer | None = None
    version: int = 0
    key: WrappedKey | None = None
    recorded_at: datetime | None = None


class Cache:
    """The most recently used customers. An entry may be stale: only a write may rely on it, for the unique index
    checks that. Nothing is remembered for long, since whoever is erased elsewhere shall be forgotten here too.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[UUID, tuple[Known, float]] = OrderedDict()
        self._doubted: set[UUID] = set()

    def get(self, customer_id: UUID) -> Known | None:
        if customer_id not in self._entries:
            return None
        self._entries.move_to_end(customer_id)
        return self._entries[customer_id][0]

    def is_doubted(self, customer_id: UUID) -> bool:
        return customer_id in self._doubted

    def doubt(self, customer_id: UUID) -> None:
        """The entry is known to be stale, or may be: what came after it must be read before it is used again."""
        if customer_id in self._entries:
            self._doubted.add(customer_id)

    def trust(self, customer_id: UUID) -> None:
        """What came after the entry has been read. It grows no younger by that."""
        self._doubted.discard(customer_id)

    def put(self, customer_id: UUID, known: Known) -> None:
        held = self.get(customer_id)
        if held is not None and held.version > known.version:
            return
        self._doubted.discard(customer_id)
        self._entries[customer_id] = (known, time.monotonic())
        self._entries.move_to_end(customer_id)
        while len(self._entries) > self._capacity:
            self.forget(next(iter(self._entries)))

    def forget(self, customer_id: UUID) -> None:
        self._entries.pop(customer_id, None)
        self._doubted.discard(customer_id)

    def forget_what_is_older_than(self, seconds: float) -> None:
        oldest = time.monotonic() - seconds
        for customer_id in [one for one, (_, since) in self._entries.items() if since < oldest]:
            self.forget(customer_id)


class EventRow(NamedTuple):
    """A row of `EVENT_COLUMNS`."""

    position: int
    customer_id: bytes
    version: int
    event_id: bytes
    schema_version: int
    recorded_at: datetime
    metadata: str
    name: str
    data: str
    pii: bytes | None
    master_key_id: str | None
    wrapped_key: bytes | None
    erased: int

    @property
    def customer(self) -> UUID:
        return UUID(bytes=self.customer_id)

    @property
    def key(self) -> WrappedKey | None:
        if self.master_key_id is None or self.wrapped_key is None:
            return None
        return WrappedKey(self.master_key_id, self.wrapped_key)


class EventReader:
    """Turns rows into recorded events; the only place where personal data is decrypted."""

    def __init__(self, keys: KeyProvider) -> None:
        self._keys = keys

    def read(self, row: EventRow) -> Recorded:
        """In its present form, and redacted if its customer is erased.

        Raises UnreadableEvent if the row cannot be what this system wrote.
        """
        key = row.key
        if key is None and not row.erased:
            raise UnreadableEvent("the customer has no data key")
        try:
            customer_id, event_id = row.customer, UUID(bytes=row.event_id)
            sealed = Sealed(row.name, row.schema_version, row.data, row.pii)
            data_key = self._keys.unwrap(key) if key else None
            event = unseal(sealed, data_key, customer_id, event_id)
            return Recorded(
                position=row.position,
                customer_id=customer_id,
                version=row.version,
                event_id=event_id,
                schema_version=event.schema_version,
                recorded_at=row.recorded_at.replace(tzinfo=UTC),
                redacted=data_key is None,
                metadata=_metadata.decode(row.metadata),
                event=event,
            )
        except (msgspec.MsgspecError, ValueError, TypeError, AttributeError):
            raise UnreadableEvent("the row is not what this program writes") from None


class Store:
    """Reads customers and the feed from the event table."""

    def __init__(self, engine: AsyncEngine, keys: KeyProvider, *, cached_customers: int = 10_000) -> None:
        self._engine = engine
        self._reader = EventReader(keys)
        self._snapshots = Snapshots(engine, keys)
        self._long: dict[UUID, Snapshot] = {}
        self.cache = Cache(cached_customers)

    async def load(self, customer_id: UUID, *, fresh: bool = False) -> Known:
        """The customer as it is now (`fresh`), or as it was last seen by this process."""
        known = self.cache.get(customer_id)
        if known is not None and not fresh and not self.cache.is_doubted(customer_id):
            return known
        known, folded = known or Known(), 0
        while True:
            # page by page, so that a long history does not hold up everybody else's commands
            rows = await self._rows(
                "WHERE e.customer_id = %s AND e.version > %s ORDER BY e.version LIMIT %s",
                customer_id.bytes,
                known.version,
                FOLDED_AT_ONCE,
            )
            if rows:
                events = [self._reader.read(row).event for row in rows]
                state = reduce(evolve, events, known.state)
                known = Known(state, rows[-1].version, rows[-1].key, rows[-1].recorded_at.replace(tzinfo=UTC))
                self.cache.put(customer_id, known)
            self.cache.trust(customer_id)
            if len(rows) < FOLDED_AT_ONCE:
                break
            folded += len(rows)
            if folded == FOLDED_AT_ONCE and (snapshot := await self._snapshots.find(customer_id)):
                known = max(known, Known(*snapshot, known.recorded_at), key=lambda one: one.version)
        if folded >= LONG:
            self._note_long(customer_id, known)
        return known

    def remember(self, customer_id: UUID, known: Known, before: int) -> None:
        """The customer as it is since a command, which has found it at the version `before`."""
        self.cache.put(customer_id, known)
        if known.version // LONG > before // LONG:
            self._note_long(customer_id, known)

    def _note_long(self, customer_id: UUID, known: Known) -> None:
        if known.state and known.key:
            self._long[customer_id] = Snapshot(known.state, known.version, known.key)

    async def take_snapshots(self) -> None:
        """Of the customers whose histories have become long, or been found so, since the last time."""
        while self._long:
            await self._snapshots.take(*self._long.popitem())

    async def holder(self, claim: HashedClaim) -> UUID | None:
        """Who holds the value."""
        async with database.session(self._engine) as session:
            rows = await session.rows(
                "SELECT customer_id FROM cf_claims WHERE kind = %s AND key_hash = %s", (claim.kind, claim.key_hash)
            )
        return UUID(bytes=rows[0][0]) if rows else None

    async def head(self) -> int:
        """The last position that has been given out and committed."""
        async with database.session(self._engine) as session:
            return int((await session.rows("SELECT head FROM cf_position"))[0][0])

    async def position(self, customer_id: UUID, version: int) -> int:
        """Where in the feed the customer reached the version."""
        async with database.session(self._engine) as session:
            rows = await session.rows(
                "SELECT position FROM cf_events WHERE customer_id = %s AND version = %s", (customer_id.bytes, version)
            )
        return int(rows[0][0])

    async def feed(self, after: int, upto: int, *, page: int | None = None) -> AsyncIterator[list[Recorded | Place]]:
        """All events with a position above `after` and not above `upto`, in pages of this many, in order.

        Of an event that cannot be read there is the place only, so that its customer can be set aside and the others
        go on.
        """
        while after < upto:
            rows = await self._rows(
                "WHERE e.position > %s AND e.position <= %s ORDER BY e.position LIMIT %s",
                after,
                upto,
                page or FEED_PAGE,
            )
            if not rows:
                return
            yield await self._read(rows)
            after = rows[-1].position

    async def stream(self, customer_id: UUID, after: int) -> AsyncIterator[list[Recorded | Place]]:
        """One customer's events with a version above `after`, in pages, in order; places as in `feed`."""
        while rows := await self._rows(
            "WHERE e.customer_id = %s AND e.version > %s ORDER BY e.version LIMIT %s",
            customer_id.bytes,
            after,
            FEED_PAGE,
        ):
            yield await self._read(rows)
            if len(rows) < FEED_PAGE:
                return
            after = rows[-1].version

    async def by_customer(self, after: UUID, upto: int) -> AsyncIterator[list[Recorded | Place]]:
        """The events, with positions not above `upto`, of all customers with a greater id than `after`: by id, each
        customer's by version, in pages; places as in `feed`.
        """
        within, version = after, MAX_VERSION
        while True:
            # the rest of a customer that the page before has cut, then the next customers: a range of the index each
            rows = await self._rows(
                "WHERE e.customer_id = %s AND e.version > %s AND e.position <= %s ORDER BY e.version LIMIT %s",
                within.bytes,
                version,
                upto,
                FEED_PAGE,
            )
            if len(rows) < FEED_PAGE:
                rows += await self._rows(
                    "WHERE e.customer_id > %s AND e.position <= %s ORDER BY e.customer_id, e.version LIMIT %s",
                    within.bytes,
                    upto,
                    FEED_PAGE,
                )
            if not rows:
                return
            yield await self._read(rows)
            within, version = rows[-1].customer, rows[-1].version

    async def _rows(self, condition: str, *arguments: object) -> list[EventRow]:
        async with database.session(self._engine) as session:
            return [EventRow(*row) for row in await session.rows(SELECT_EVENTS + condition, arguments)]

    async def _read(self, rows: Sequence[EventRow]) -> list[Recorded | Place]:
        """Between slices of them, commands are not held up."""
        page: list[Recorded | Place] = []
        for start in range(0, len(rows), FEED_SLICE):
            page += map(self._recorded, rows[start : start + FEED_SLICE])
            await asyncio.sleep(0)
        return page

    def _recorded(self, row: EventRow) -> Recorded | Place:
        try:
            return self._reader.read(row)
        except UnreadableEvent as error:
            log.error("event cannot be read", position=row.position, error=str(error))
            return Place(position=row.position, customer_id=row.customer, version=row.version)
