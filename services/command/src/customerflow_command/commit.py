"""Group commit: commands that arrive while a transaction is committing are written together by the next one.

Each command's unit (events, outbox pointers, claims, key, answer to its idempotency key) is in one transaction,
whichever other units share it, and is acknowledged only after that transaction's commit. In a transaction the keys and
claims come first and the positions last: no one waits for a claim while holding the counter, and since the counter's
row stays locked until the commit, positions are gapless and become visible in order.

All statements of a transaction are sent at once, in the hope that none of its units has lost a race. If one has, the
database refuses the whole, and the next transactions look before they write, until nobody is found to have lost.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence

import structlog
from asyncmy.errors import MySQLError as DriverError
from customerflow_shared import database, metrics, telemetry
from opentelemetry import trace
from sqlalchemy.ext.asyncio import AsyncEngine

from customerflow_command import transaction
from customerflow_command.unit import ClaimTaken, KeyTaken, Unit, VersionTaken
from customerflow_command.waiting import Waiting

log = structlog.get_logger()
tracer = trace.get_tracer("customerflow.command")

LARGEST = 256
MAX_BYTES = 2 * 1024 * 1024  # well below the smallest default of max_allowed_packet, 16 MiB
MAX_WAITING = 10_000  # a bound of memory; under a steady load `patience` is met first
TRIES = 3
CONNECTION_SECONDS = 15.0

_group_sizes = metrics.histogram(
    "customerflow.commit.group.size", "{command}", "Commands that were written together.", bounds=metrics.SIZES
)
_group_seconds = metrics.histogram(
    "customerflow.commit.duration",
    "s",
    "From the beginning of a group's transaction to its commit, further tries included.",
    ["customerflow.outcome"],
)
_waiting_commands = metrics.gauge("customerflow.commit.waiting", "{command}", "Commands that wait to be written.")
_conflicts = metrics.counter(
    "customerflow.command.conflicts",
    "{conflict}",
    "Commands that have lost a race, by what others had taken first.",
    ["customerflow.conflict"],
)
_refusals = metrics.counter(
    "customerflow.commit.refusals",
    "{transaction}",
    "Transactions that the database has refused, by its number of the error.",
    ["db.response.status_code"],
)
_CONFLICTS: Mapping[type[Exception], str] = {VersionTaken: "version", ClaimTaken: "claim", KeyTaken: "key"}
for _conflict in _CONFLICTS.values():
    _conflicts.begin(_conflict)


def open_commit_engine(url: str) -> AsyncEngine:
    """One connection, for `GroupCommit` alone: no round trip but its statements.

    Should this process freeze in the middle of a transaction, the server ends the session and frees its locks after
    20 seconds; so the connection is renewed before it can have been idle for so long. Locks of others are waited for
    one second at a time.
    """
    return database.open_with(
        url,
        "SET SESSION innodb_lock_wait_timeout = 1, wait_timeout = 20",
        pool_size=1,
        pool_recycle=int(CONNECTION_SECONDS),
        pool_reset_on_return=None,
    )


class StoreBusy(Exception):
    """The database is too busy, or kept refusing the transaction (deadlock or lock wait); nothing was written."""


class GroupCommit:
    """Writes units, in the order of their arrival, in as few transactions as the load makes them.

    `engine` is for this alone (see `open_commit_engine`). No transaction has more than `largest` units. Who
    would have to wait for longer than `patience` seconds, as fast as it goes now, is sent away at once.
    """

    def __init__(
        self, engine: AsyncEngine, on_commit: Callable[[], None], *, largest: int = LARGEST, patience: float = 4.0
    ) -> None:
        self._connection = database.KeptConnection(engine, CONNECTION_SECONDS)
        self._on_commit = on_commit
        self._largest = largest
        self._patience = patience
        self._waiting = Waiting()
        _waiting_commands.read(self._waiting.__len__)
        self._arrived = asyncio.Event()
        self._seconds = 0.0  # that a group takes, of late
        self._rivals = False  # have written, of late, what was to be written here

    async def write(self, unit: Unit) -> int | None:
        """The position of the unit's last event, None if it has none, once it is committed.

        Raises VersionTaken, KeyTaken, ClaimTaken, StoreBusy, or DatabaseUnavailable (the unit may have been written).
        If the caller stops waiting, a unit whose transaction has begun is written all the same.
        """
        groups_ahead = len(self._waiting) // self._largest
        if len(self._waiting) >= MAX_WAITING or groups_ahead * self._seconds > self._patience:
            raise StoreBusy
        with telemetry.span(tracer, "commit") as span:
            unit.span = span.get_span_context()
            self._waiting.add(unit)
            self._arrived.set()
            try:
                return await unit.written
            except asyncio.CancelledError:
                self._waiting.leave(unit)
                raise

    async def run(self) -> None:
        """Write what arrives, until cancelled."""
        try:
            while True:
                await self._arrival()
                await self._write_group(self._waiting.take(self._largest, MAX_BYTES))
        finally:
            await self._connection.close()

    async def _arrival(self) -> None:
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()

    async def _write_group(self, group: Sequence[Unit]) -> None:
        loop = asyncio.get_running_loop()
        began, outcome = loop.time(), "done"
        size = {"customerflow.group.size": len(group)}
        with telemetry.shared(tracer, "commit group", [unit.span for unit in group], attributes=size) as span:
            try:
                await self._write(group)
            except Exception as error:
                outcome = type(error).__name__
                span.set_status(trace.StatusCode.ERROR, telemetry.describe(error))
                expected = isinstance(error, StoreBusy | database.DatabaseUnavailable)
                if not expected:
                    log.error("a group could not be written", exc_info=error, units=len(group))
                _fail(dict.fromkeys(group, error))
            finally:
                for unit in group:
                    self._waiting.end(unit)
        seconds = loop.time() - began
        self._seconds += 0.2 * (seconds - self._seconds)
        _group_sizes.record(len(group))
        _group_seconds.record(seconds, outcome)

    async def _write(self, group: Sequence[Unit]) -> None:
        """Write the units of the group that can be written; those that cannot fail alone."""
        tries = 0
        while group:
            try:
                if self._rivals and (losers := await self._losers(group)):
                    _fail(losers)
                    group = [unit for unit in group if unit not in losers]
                    tries = 0
                if group:
                    await self._transaction(group)
                return
            except DriverError as error:
                tries += 1
                number = database.error_number(error)
                _refusals.add(1, number or 0)
                if number == database.DUPLICATE_ENTRY and tries < TRIES:
                    self._rivals = True
                    continue
                log.warning("transaction refused", number=number, tries=tries)
                if tries == TRIES:
                    raise StoreBusy from None
                claimants = [unit for unit in group if unit.take]
                if claimants and len(claimants) < len(group):
                    # what they wait for need not hold up the others
                    await self._write([unit for unit in group if not unit.take])
                    group = claimants
                await asyncio.sleep(random.uniform(0, 0.02 * 2**tries))

    async def _losers(self, group: Sequence[Unit]) -> Mapping[Unit, Exception]:
        async with self._connection.session() as session:
            losers = await transaction.losers(session, group)
            await session.rollback()
        for error in losers.values():
            _conflicts.add(1, _CONFLICTS[type(error)])
        self._rivals = bool(losers)
        return losers

    async def _transaction(self, group: Sequence[Unit]) -> None:
        async with self._connection.session() as session:
            positions = await transaction.commit(session, group)
        for unit in group:
            unit.succeed(positions.get(unit))
        self._on_commit()


def _fail(errors: Mapping[Unit, Exception]) -> None:
    for unit, error in errors.items():
        unit.fail(error)
