"""Whether claims and due dates are what the customers' events say, and the way back if they are not.

Drift has few causes: a row changed by hand, a table restored alone, another uniqueness policy than when the customer
was written. Each page of customers is compared within one snapshot of the database, so that live traffic is never
mistaken for drift; what has been repaired is looked at again.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import reduce
from itertools import groupby
from typing import Literal, TypeAlias
from uuid import UUID

import msgspec
from customerflow_shared import database
from sqlalchemy.ext.asyncio import AsyncEngine

from customerflow_command.customer.claims import Uniqueness, claims
from customerflow_command.customer.state import Customer, due, evolve
from customerflow_command.personal import KeyProvider, Pepper, UnreadableEvent
from customerflow_command.store import SELECT_EVENTS, EventReader, EventRow
from customerflow_command.transaction import due_set, released
from customerflow_command.unit import HashedClaim

PAGE = 200
LOOKS = 3
FIRST = UUID(int=0)

What: TypeAlias = Literal["missing", "stale", "conflict", "due", "unreadable"]


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """A claim that the customer should hold and does not (`missing`), because another does (`conflict`), or that it
    holds and should not (`stale`); another `due` date than its history says; a history that is `unreadable`.
    """

    customer_id: UUID
    what: What
    claim: HashedClaim | None = None
    due_at: datetime | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What was found among the next `customers`, up to and including the id `upto`."""

    customers: int
    upto: UUID
    repaired: list[Drift]
    left: list[Drift]


class Verifier:
    def __init__(self, engine: AsyncEngine, keys: KeyProvider, pepper: Pepper, unique: Uniqueness) -> None:
        self._engine = engine
        self._reader = EventReader(keys)
        self._pepper = pepper
        self._unique = unique

    async def count(self, after: UUID = FIRST) -> int:
        """How many customers have a greater id."""
        async with database.session(self._engine) as session:
            rows = await session.rows(
                "SELECT COUNT(*) FROM cf_events WHERE version = 1 AND customer_id > %s", (after.bytes,)
            )
        return int(rows[0][0])

    async def pages(self, *, repair: bool, after: UUID = FIRST) -> AsyncIterator[Page]:
        """All customers with a greater id than `after`, by id. One may stop anywhere and go on after `upto`."""
        while ids := await self._ids(after):
            left, repaired = await self._drifts(ids), []
            for _ in range(LOOKS if repair else 0):
                if not left:
                    break
                before = left
                await self._repair(before)
                left = await self._drifts(sorted({drift.customer_id.bytes for drift in before}))
                repaired += [drift for drift in before if drift not in left]
            after = UUID(bytes=ids[-1])
            yield Page(customers=len(ids), upto=after, repaired=repaired, left=left)

    async def _ids(self, after: UUID) -> list[bytes]:
        """Whoever has events, claims or a due date."""
        parts = [
            f"(SELECT DISTINCT customer_id FROM {table} WHERE customer_id > %s ORDER BY customer_id LIMIT {PAGE})"
            for table in ("cf_events", "cf_claims", "cf_due")
        ]
        async with database.session(self._engine) as session:
            rows = await session.rows(f"{' UNION '.join(parts)} ORDER BY 1 LIMIT {PAGE}", [after.bytes] * len(parts))
        return [customer_id for (customer_id,) in rows]

    async def _drifts(self, ids: Sequence[bytes]) -> list[Drift]:
        among = f"customer_id IN {database.placeholders(1, len(ids))}"
        async with self._snapshot() as session:
            rows = [
                EventRow(*row)
                for row in await session.rows(f"{SELECT_EVENTS} WHERE e.{among} ORDER BY e.customer_id, e.version", ids)
            ]
            held = [
                (customer_id, HashedClaim(kind, key_hash))
                for customer_id, kind, key_hash in await session.rows(
                    f"SELECT customer_id, kind, key_hash FROM cf_claims WHERE {among}", ids
                )
            ]
            dues = dict(await session.rows(f"SELECT customer_id, due_at FROM cf_due WHERE {among}", ids))
            histories = {customer_id: [*history] for customer_id, history in groupby(rows, lambda row: row.customer_id)}
            found = [
                drift
                for one in ids
                for drift in self._differences(
                    UUID(bytes=one),
                    histories.get(one, []),
                    {claim for customer_id, claim in held if customer_id == one},
                    dues.get(one),
                )
            ]
            return [await _or_conflict(session, drift) for drift in found]

    def _differences(
        self, customer_id: UUID, history: Sequence[EventRow], held: set[HashedClaim], due_at: datetime | None
    ) -> list[Drift]:
        try:
            events = [self._reader.read(row).event for row in history]
        except UnreadableEvent:
            return [Drift(customer_id=customer_id, what="unreadable")]
        customer: Customer | None = reduce(evolve, events, None)
        holds = {HashedClaim(one.kind, self._pepper.claim(one)) for one in claims(customer, self._unique)}
        right = due(customer) if customer else None
        differences: list[tuple[What, HashedClaim]] = [("missing", claim) for claim in sorted(holds - held)]
        differences += [("stale", claim) for claim in sorted(held - holds)]
        drifts = [Drift(customer_id=customer_id, what=what, claim=claim) for what, claim in differences]
        if right != (due_at and due_at.replace(tzinfo=UTC)):
            drifts.append(Drift(customer_id=customer_id, what="due", due_at=right))
        return drifts

    async def _repair(self, drifts: Sequence[Drift]) -> None:
        async with database.session(self._engine) as session:
            for drift in drifts:
                match drift.what, drift.claim:
                    case "missing", HashedClaim(kind=kind, key_hash=key_hash):
                        await session.run(
                            "INSERT IGNORE INTO cf_claims (kind, key_hash, customer_id) VALUES (%s, %s, %s)",
                            (kind, key_hash, drift.customer_id.bytes),
                        )
                    case "stale", HashedClaim() as claim:
                        await session.run(released(drift.customer_id, claim))
                    case "due", _:
                        await session.run(due_set(drift.customer_id, drift.due_at))
            await session.commit()

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[database.Session]:
        async with database.session(self._engine) as session:
            await session.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            await session.run("START TRANSACTION WITH CONSISTENT SNAPSHOT")
            yield session
            await session.rollback()


async def _or_conflict(session: database.Session, drift: Drift) -> Drift:
    if drift.what != "missing" or drift.claim is None:
        return drift
    taken = await session.rows(
        "SELECT 1 FROM cf_claims WHERE kind = %s AND key_hash = %s", (drift.claim.kind, drift.claim.key_hash)
    )
    return msgspec.structs.replace(drift, what="conflict") if taken else drift
