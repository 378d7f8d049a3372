"""The event store: load a customer, read the feed. What is written goes through `commit.GroupCommit`."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from functools import reduce
from typing import Any
from uuid import UUID

import msgspec
import structlog
from customerflow_shared.events import Metadata, Place, Recorded
from sqlalchemy.ext.asyncio import AsyncEngine

from customerflow_command import database
from customerflow_command.customer import Customer, evolve
from customerflow_command.personal import KeyProvider, Sealed, UnreadableEvent, WrappedKey, unseal

log = structlog.get_logger()

FEED_PAGE = 500

EVENT_COLUMNS = (
    "e.position, e.customer_id, e.version, e.event_id, e.schema_version, e.recorded_at, e.metadata, "
    "e.type, e.data, e.pii, k.master_key_id, k.wrapped"
)
_SELECT = f"SELECT {EVENT_COLUMNS} FROM cf_events e LEFT JOIN cf_customer_keys k ON k.customer_id = e.customer_id "

_metadata = msgspec.json.Decoder(Metadata)


class Known(msgspec.Struct, frozen=True):
    """A customer as last seen: the folded state, its version (0 and None before registration), its wrapped data key."""

    state: Customer | None = None
    version: int = 0
    key: WrappedKey | None = None


class Cache:
    """The most recently used customers. An entry may be stale: only a write may rely on it, for the unique index
    checks that.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[UUID, Known] = OrderedDict()

    def get(self, customer_id: UUID) -> Known | None:
        known = self._entries.get(customer_id)
        if known is not None:
            self._entries.move_to_end(customer_id)
        return known

    def put(self, customer_id: UUID, known: Known) -> None:
        held = self._entries.get(customer_id)
        if held is not None and held.version > known.version:
            return
        self._entries[customer_id] = known
        self._entries.move_to_end(customer_id)
        while len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def forget(self, customer_id: UUID) -> None:
        self._entries.pop(customer_id, None)


class EventReader:
    """Turns rows of `EVENT_COLUMNS` into recorded events; the only place where personal data is decrypted."""

    def __init__(self, keys: KeyProvider) -> None:
        self._keys = keys

    def read(self, row: tuple[Any, ...]) -> Recorded:
        """Raises UnreadableEvent if the row cannot be what this system wrote."""
        (
            position,
            customer_id,
            version,
            event_id,
            schema,
            recorded_at,
            metadata,
            name,
            data,
            pii,
            key_id,
            wrapped,
        ) = row
        customer, event = UUID(bytes=customer_id), UUID(bytes=event_id)
        if wrapped is None:
            raise UnreadableEvent("the customer has no data key")
        data_key = self._keys.unwrap(WrappedKey(key_id, wrapped))
        return Recorded(
            position=position,
            customer_id=customer,
            version=version,
            event_id=event,
            schema_version=schema,
            recorded_at=recorded_at.replace(tzinfo=UTC),
            metadata=_metadata.decode(metadata),
            event=unseal(Sealed(name, data, pii), data_key, customer, event),
        )


class Store:
    """Reads customers and the feed from the event table."""

    def __init__(self, engine: AsyncEngine, keys: KeyProvider, *, cached_customers: int = 10_000) -> None:
        self._engine = engine
        self._reader = EventReader(keys)
        self.cache = Cache(cached_customers)

    async def load(self, customer_id: UUID, *, fresh: bool = False) -> Known:
        """The customer as it is now (`fresh`), or as it was last seen by this process."""
        if not fresh and (known := self.cache.get(customer_id)):
            return known
        async with database.session(self._engine) as session:
            rows = await session.rows(_SELECT + "WHERE e.customer_id = %s ORDER BY e.version", (customer_id.bytes,))
        if not rows:
            return Known()
        history = [self._reader.read(row) for row in rows]
        state = reduce(evolve, (recorded.event for recorded in history), None)
        key_id, wrapped = rows[-1][-2:]
        known = Known(state, history[-1].version, WrappedKey(key_id, wrapped))
        self.cache.put(customer_id, known)
        return known

    async def head(self) -> int:
        """The last position that has been given out and committed."""
        async with database.session(self._engine) as session:
            return int((await session.rows("SELECT head FROM cf_position"))[0][0])

    async def feed(self, after: int) -> AsyncIterator[list[Recorded | Place]]:
        """All events with a position above `after`, in pages, in order, up to the head of the moment.

        Of an event that cannot be read there is the place only, so that its customer can be set aside and the others
        go on.
        """
        while True:
            async with database.session(self._engine) as session:
                rows = await session.rows(
                    _SELECT + "WHERE e.position > %s ORDER BY e.position LIMIT %s", (after, FEED_PAGE)
                )
            page = self._read(rows)
            if page:
                yield page
            if len(rows) < FEED_PAGE:
                return
            after = page[-1].position

    async def stream(self, customer_id: UUID, after: int) -> list[Recorded | Place]:
        """One customer's events with a version above `after`; places as in `feed`."""
        async with database.session(self._engine) as session:
            rows = await session.rows(
                _SELECT + "WHERE e.customer_id = %s AND e.version > %s ORDER BY e.version",
                (customer_id.bytes, after),
            )
        return self._read(rows)

    def _read(self, rows: Iterable[tuple[Any, ...]]) -> list[Recorded | Place]:
        page: list[Recorded | Place] = []
        for row in rows:
            try:
                page.append(self._reader.read(row))
            except UnreadableEvent as error:
                place = Place(position=row[0], customer_id=UUID(bytes=row[1]), version=row[2])
                log.error("event cannot be read", position=place.position, error=str(error))
                page.append(place)
        return page


def utc_now() -> datetime:
    """Now, to the millisecond: what the event table keeps, so that every reader sees the same time."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)
