"""Group commit: commands that arrive while a transaction is committing are written together by the next one.

Each command's unit (events, outbox pointers, claims, key) is in one transaction, whichever other units share it, and
is acknowledged only after that transaction's commit. In a transaction the claims come first and the positions last:
no one waits for a claim while holding the counter, and since the counter's row stays locked until the commit,
positions are gapless and become visible in order.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from uuid import UUID

import msgspec
import structlog
from customerflow_shared.events import Recorded
from opentelemetry import trace
from opentelemetry.context import Context
from sqlalchemy.ext.asyncio import AsyncEngine

from customerflow_command import database
from customerflow_command.personal import Sealed, WrappedKey

log = structlog.get_logger()
tracer = trace.get_tracer("customerflow.command")

MAX_UNITS = 256
MAX_BYTES = 2 * 1024 * 1024  # well below the smallest default of max_allowed_packet, 16 MiB
ATTEMPTS = 5
TRANSIENT = {database.DEADLOCK, database.LOCK_WAIT_TIMEOUT}


class VersionTaken(Exception):
    """Another command has written this version of the customer first."""


class ClaimTaken(Exception):
    """Another customer holds a value that must be unique."""

    def __init__(self, kinds: Sequence[str]) -> None:
        super().__init__(", ".join(kinds))
        self.kinds = kinds


class StoreBusy(Exception):
    """The database kept refusing the transaction (deadlock or lock wait); nothing was written."""


class HashedClaim(msgspec.Struct, frozen=True, order=True):
    kind: str
    key_hash: bytes


@dataclass(eq=False)
class Unit:
    """What one command writes, all or nothing. `events` are without their positions, which the transaction gives."""

    customer_id: UUID
    events: Sequence[tuple[Recorded, Sealed]]
    take: frozenset[HashedClaim] = frozenset()
    release: frozenset[HashedClaim] = frozenset()
    new_key: WrappedKey | None = None
    span: trace.SpanContext = trace.INVALID_SPAN_CONTEXT
    written: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def touches(self) -> set[object]:
        """Two units that share any of these may not be in one transaction."""
        return {self.customer_id, *self.take, *self.release}

    def size(self) -> int:
        return sum(len(sealed.data) + len(sealed.pii or b"") + 200 for _, sealed in self.events)

    def fail(self, error: Exception) -> None:
        if not self.written.done():
            self.written.set_exception(error)

    def succeed(self) -> None:
        if not self.written.done():
            self.written.set_result(None)


class GroupCommit:
    """Writes units, in the order of their arrival, as few transactions as the load makes them."""

    def __init__(self, engine: AsyncEngine, on_commit: Callable[[], None]) -> None:
        self._engine = engine
        self._on_commit = on_commit
        self._waiting: list[Unit] = []
        self._arrived = asyncio.Event()

    async def write(self, unit: Unit) -> None:
        """Return once the unit is committed.

        Raises VersionTaken, ClaimTaken, StoreBusy, or DatabaseUnavailable (the unit may have been written).

        The unit is written even if the caller stops waiting.
        """
        with tracer.start_as_current_span("commit") as span:
            unit.span = span.get_span_context()
            self._waiting.append(unit)
            self._arrived.set()
            await asyncio.shield(unit.written)

    async def run(self) -> None:
        """Write what arrives, until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                await self._write_group(self._next_group())

    def _next_group(self) -> list[Unit]:
        """The longest run of independent units at the front of the queue, within the limits."""
        touched: set[object] = set()
        size = 0
        for count, unit in enumerate(self._waiting):
            size += unit.size()
            if count and (count == MAX_UNITS or size > MAX_BYTES or not touched.isdisjoint(unit.touches())):
                group, self._waiting = self._waiting[:count], self._waiting[count:]
                return group
            touched |= unit.touches()
        group, self._waiting = self._waiting, []
        return group

    async def _write_group(self, group: list[Unit]) -> None:
        try:
            links = [trace.Link(unit.span) for unit in group]
            with tracer.start_as_current_span(
                "commit group", context=Context(), links=links, attributes={"customerflow.group.size": len(group)}
            ):
                await self._with_retries(lambda: self._transaction(group))
        except VersionTaken as error:
            if len(group) == 1:
                group[0].fail(error)
            else:
                # one of them lost a race: tell it apart by writing one by one
                for unit in group:
                    await self._write_group([unit])
        except (StoreBusy, database.DatabaseUnavailable) as error:
            for unit in group:
                unit.fail(error)
        except Exception as error:
            log.error("a group could not be written", exc_info=error, units=len(group))
            for unit in group:
                unit.fail(error)

    async def _with_retries(self, transaction: Callable[[], Awaitable[None]]) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await transaction()
            except Exception as error:
                number = database.error_number(error)
                if number == database.DUPLICATE_ENTRY:
                    raise VersionTaken from None
                if number not in TRANSIENT:
                    raise
                log.warning("transaction refused", number=number, attempt=attempt)
            await asyncio.sleep(random.uniform(0, 0.02 * 2**attempt))
        raise StoreBusy

    async def _transaction(self, group: list[Unit]) -> None:
        losers: dict[Unit, ClaimTaken]
        async with database.session(self._engine) as session:
            losers = await _take_claims(session, group)
            winners = [unit for unit in group if unit not in losers]
            if winners:
                await _write_units(session, winners)
            await session.commit()
        if winners:
            self._on_commit()
        for unit in winners:
            unit.succeed()
        for unit, error in losers.items():
            unit.fail(error)


async def _take_claims(session: database.Session, group: list[Unit]) -> dict[Unit, ClaimTaken]:
    """Insert all claims of the group at once; the units that found one taken, with none of theirs left behind."""
    wanted = sorted(((claim, unit) for unit in group for claim in unit.take), key=lambda pair: pair[0])
    if not wanted:
        return {}
    rows = [(claim.kind, claim.key_hash, unit.customer_id.bytes) for claim, unit in wanted]
    inserted = await session.run(
        f"INSERT IGNORE INTO cf_claims (kind, key_hash, customer_id) VALUES {database.placeholders(len(rows), 3)}",
        [*chain.from_iterable(rows)],
    )
    if inserted == len(rows):
        return {}
    keys = [*chain.from_iterable(row[:2] for row in rows)]
    holders = {
        HashedClaim(kind, key_hash): holder
        for kind, key_hash, holder in await session.rows(
            "SELECT kind, key_hash, customer_id FROM cf_claims "
            f"WHERE (kind, key_hash) IN ({database.placeholders(len(rows), 2)})",
            keys,
        )
    }
    taken: dict[Unit, list[str]] = {}
    for claim, unit in wanted:
        if holders.get(claim) != unit.customer_id.bytes:
            taken.setdefault(unit, []).append(claim.kind)
    for unit in taken:
        ours = [claim for claim in unit.take if holders.get(claim) == unit.customer_id.bytes]
        await _release_claims(session, unit.customer_id, ours)
    return {unit: ClaimTaken(kinds) for unit, kinds in taken.items()}


async def _release_claims(session: database.Session, customer_id: UUID, claims: Sequence[HashedClaim]) -> None:
    for claim in sorted(claims):
        await session.run(
            "DELETE FROM cf_claims WHERE kind = %s AND key_hash = %s AND customer_id = %s",
            (claim.kind, claim.key_hash, customer_id.bytes),
        )


async def _write_units(session: database.Session, units: list[Unit]) -> None:
    for unit in units:
        await _release_claims(session, unit.customer_id, [*unit.release])
    keys = [
        (unit.customer_id.bytes, unit.new_key.master_key_id, unit.new_key.wrapped) for unit in units if unit.new_key
    ]
    if keys:
        await session.run(
            "INSERT INTO cf_customer_keys (customer_id, master_key_id, wrapped) "
            f"VALUES {database.placeholders(len(keys), 3)}",
            [*chain.from_iterable(keys)],
        )
    events = [event for unit in units for event in unit.events]
    head = await session.last_insert_id(
        "UPDATE cf_position SET head = LAST_INSERT_ID(head + %s) WHERE id = 1", (len(events),)
    )
    first = head - len(events) + 1
    rows = [_row(position, recorded, sealed) for position, (recorded, sealed) in enumerate(events, start=first)]
    await session.run(
        "INSERT INTO cf_events "
        "(position, customer_id, version, event_id, schema_version, recorded_at, metadata, type, data, pii) "
        f"VALUES {database.placeholders(len(rows), 10)}",
        [*chain.from_iterable(rows)],
    )
    await session.run(
        f"INSERT INTO cf_outbox (position, customer_id) VALUES {database.placeholders(len(rows), 2)}",
        [*chain.from_iterable(row[:2] for row in rows)],
    )


def _row(position: int, recorded: Recorded, sealed: Sealed) -> tuple[Any, ...]:
    return (
        position,
        recorded.customer_id.bytes,
        recorded.version,
        recorded.event_id.bytes,
        recorded.schema_version,
        recorded.recorded_at.replace(tzinfo=None),
        msgspec.json.encode(recorded.metadata).decode(),
        sealed.name,
        sealed.data,
        sealed.pii,
    )
