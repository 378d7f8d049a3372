"""Group commit: commands that arrive while a transaction is committing are written together by the next one.

Each command's unit (events, outbox pointers, claims, key, answer to its idempotency key) is in one transaction,
whichever other units share it, and is acknowledged only after that transaction's commit. In a transaction the keys and
claims come first and the positions last: no one waits for a claim while holding the counter, and since the counter's
row stays locked until the commit, positions are gapless and become visible in order.
"""

import asyncio
import random
from collections.abc import Callable, Sequence

import structlog
from asyncmy.errors import MySQLError as DriverError
from customerflow_shared import telemetry
from opentelemetry import trace
from opentelemetry.context import Context
from sqlalchemy.ext.asyncio import AsyncEngine

from customerflow_command import database, transaction
from customerflow_command.unit import Unit

log = structlog.get_logger()
tracer = trace.get_tracer("customerflow.command")

MAX_UNITS = 256
MAX_BYTES = 2 * 1024 * 1024  # well below the smallest default of max_allowed_packet, 16 MiB
MAX_WAITING = 10_000
TRIES = 3


class StoreBusy(Exception):
    """The database kept refusing the transaction (deadlock or lock wait); nothing was written."""


class GroupCommit:
    """Writes units, in the order of their arrival, in as few transactions as the load makes them.

    `engine` is for this alone (see `database.open_commit_engine`).
    """

    def __init__(self, engine: AsyncEngine, on_commit: Callable[[], None]) -> None:
        self._engine = engine
        self._on_commit = on_commit
        self._waiting: list[Unit] = []
        self._arrived = asyncio.Event()

    async def write(self, unit: Unit) -> int | None:
        """The position of the unit's last event, None if it has none, once it is committed.

        Raises VersionTaken, KeyTaken, ClaimTaken, StoreBusy, or DatabaseUnavailable (the unit may have been written).
        If the caller stops waiting, a unit whose transaction has begun is written all the same.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise StoreBusy
        with telemetry.span(tracer, "commit") as span:
            unit.span = span.get_span_context()
            self._waiting.append(unit)
            self._arrived.set()
            try:
                return await asyncio.shield(unit.written)
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
            except transaction.Losers as losers:
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
            losers = (
                await transaction.lost_versions(session, group)
                or await transaction.lost_keys(session, group)
                or await transaction.lost_claims(session, group)
            )
            if losers:
                await session.rollback()
            else:
                positions = await transaction.write(session, group)
                await session.commit()
        if losers:
            raise transaction.Losers(losers)
        for unit in group:
            unit.succeed(positions.get(unit))
        self._on_commit()
