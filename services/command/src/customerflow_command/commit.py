"""Group commit: commands that arrive while a transaction is committing are written together by the next one.

Each command's unit (events, outbox pointers, claims, key) is in one transaction, whichever other units share it, and
is acknowledged only after that transaction's commit. In a transaction the claims come first and the positions last:
no one waits for a claim while holding the counter, and since the counter's row stays locked until the commit,
positions are gapless and become visible in order.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from uuid import UUID

import msgspec
import structlog
from asyncmy.errors import MySQLError as DriverError
from customerflow_shared import telemetry
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
MAX_WAITING = 10_000
TRIES = 3


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

    def __post_init__(self) -> None:
        # whoever asked may have left: then nobody else looks at an error
        self.written.add_done_callback(lambda written: written.cancelled() or written.exception())

    @property
    def first_version(self) -> int:
        return self.events[0][0].version

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
    """Writes units, in the order of their arrival, in as few transactions as the load makes them.

    `engine` is for this alone (see `database.open_commit_engine`).
    """

    def __init__(self, engine: AsyncEngine, on_commit: Callable[[], None]) -> None:
        self._engine = engine
        self._on_commit = on_commit
        self._waiting: list[Unit] = []
        self._arrived = asyncio.Event()

    async def write(self, unit: Unit) -> None:
        """Return once the unit is committed.

        Raises VersionTaken, ClaimTaken, StoreBusy, or DatabaseUnavailable (the unit may have been written). If the
        caller stops waiting, a unit whose transaction has begun is written all the same.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise StoreBusy
        with telemetry.span(tracer, "commit") as span:
            unit.span = span.get_span_context()
            self._waiting.append(unit)
            self._arrived.set()
            try:
                await asyncio.shield(unit.written)
            except asyncio.CancelledError:
                if unit in self._waiting:
                    self._waiting.remove(unit)
                raise

    async def run(self) -> None:
        """Write what arrives, until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                await self._write_group(self._next_group())

    def _next_group(self) -> list[Unit]:
        """The first units that do not depend on one another, within the limits; what depends on one of them waits."""
        group: list[Unit] = []
        waiting: list[Unit] = []
        touched: set[object] = set()
        size = 0
        for unit in self._waiting:
            touches = unit.touches()
            full = len(group) == MAX_UNITS or size >= MAX_BYTES
            if full or not touched.isdisjoint(touches):
                waiting.append(unit)
            else:
                group.append(unit)
                size += unit.size()
            touched |= touches
        self._waiting = waiting
        return group

    async def _write_group(self, group: list[Unit]) -> None:
        links = [trace.Link(unit.span) for unit in group]
        attributes = {"customerflow.group.size": len(group)}
        with telemetry.span(tracer, "commit group", context=Context(), links=links, attributes=attributes):
            try:
                await self._write(group)
            except Exception as error:
                expected = isinstance(error, StoreBusy | database.DatabaseUnavailable)
                if not expected:
                    log.error("a group could not be written", exc_info=error, units=len(group))
                for unit in group:
                    unit.fail(error)

    async def _write(self, group: Sequence[Unit]) -> None:
        """Write the units of the group that can be written; those that cannot fail alone.

        A unit that has lost a race is told apart by a read at the beginning of the transaction, or, if it is lost
        after that, by the read at the beginning of the next try.
        """
        tries = 0
        while group:
            try:
                await self._transaction(group)
                return
            except _Losers as losers:
                for unit, error in losers.errors.items():
                    unit.fail(error)
                group = [unit for unit in group if unit not in losers.errors]
            except DriverError as error:
                tries += 1
                log.warning("transaction refused", number=database.error_number(error), tries=tries)
                if tries == TRIES:
                    raise StoreBusy from None
                claimants = [unit for unit in group if unit.take]
                if claimants and len(claimants) < len(group):
                    # what they wait for need not hold up the others
                    await self._write([unit for unit in group if not unit.take])
                    group = claimants
                await asyncio.sleep(random.uniform(0, 0.02 * 2**tries))

    async def _transaction(self, group: Sequence[Unit]) -> None:
        async with database.session(self._engine) as session:
            losers = await _lost_versions(session, group) or await _lost_claims(session, group)
            if losers:
                await session.rollback()
            else:
                await _write_units(session, group)
                await session.commit()
        if losers:
            raise _Losers(losers)
        for unit in group:
            unit.succeed()
        self._on_commit()


class _Losers(Exception):
    """Some units of the group cannot be written; nothing has been."""

    def __init__(self, errors: Mapping[Unit, Exception]) -> None:
        self.errors = errors


async def _lost_versions(session: database.Session, group: Sequence[Unit]) -> dict[Unit, Exception]:
    """The units whose customer has gone on without them."""
    changes = [unit for unit in group if unit.first_version > 1]
    if not changes:
        return {}
    newest = dict(
        await session.rows(
            "SELECT customer_id, MAX(version) FROM cf_events "
            f"WHERE customer_id IN {database.placeholders(1, len(changes))} GROUP BY customer_id",
            [unit.customer_id.bytes for unit in changes],
        )
    )
    return {unit: VersionTaken() for unit in changes if newest.get(unit.customer_id.bytes, 0) >= unit.first_version}


async def _lost_claims(session: database.Session, group: Sequence[Unit]) -> dict[Unit, Exception]:
    """Take all claims of the group at once; the units that found one of theirs taken."""
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
    holders = {
        HashedClaim(kind, key_hash): holder
        for kind, key_hash, holder in await session.rows(
            "SELECT kind, key_hash, customer_id FROM cf_claims "
            f"WHERE (kind, key_hash) IN ({database.placeholders(len(rows), 2)})",
            [*chain.from_iterable(row[:2] for row in rows)],
        )
    }
    taken: dict[Unit, list[str]] = {}
    for claim, unit in wanted:
        if holders.get(claim) != unit.customer_id.bytes:
            taken.setdefault(unit, []).append(claim.kind)
    return {unit: ClaimTaken(kinds) for unit, kinds in taken.items()}


async def _release_claims(session: database.Session, customer_id: UUID, claims: Sequence[HashedClaim]) -> None:
    for claim in sorted(claims):
        await session.run(
            "DELETE FROM cf_claims WHERE kind = %s AND key_hash = %s AND customer_id = %s",
            (claim.kind, claim.key_hash, customer_id.bytes),
        )


async def _write_units(session: database.Session, units: Sequence[Unit]) -> None:
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
    # from here to the commit everybody else waits
    head = await session.last_insert_id(
        "UPDATE cf_position SET head = LAST_INSERT_ID(head + %s) WHERE id = 1", (len(events),)
    )
    first = head - len(events) + 1
    if first < 1:
        raise database.DatabaseRefused(None)  # the counter's row is missing
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
