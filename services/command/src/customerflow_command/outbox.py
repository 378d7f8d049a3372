"""The relay's side of the database: the lease that lets one relay act, and the outbox that it empties."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Self
from uuid import UUID

import structlog
from customerflow_shared import database, metrics, service
from customerflow_shared.database import utc_now
from customerflow_shared.patience import Patience
from sqlalchemy.ext.asyncio import AsyncEngine

from customerflow_command.store import EVENT_COLUMNS, EventRow

log = structlog.get_logger()

LEASE_SECONDS = 6.0
RENEW_EVERY = 1.5
MARGIN = 1.0  # a holder considers the lease lost this much earlier than the database does
KEPT_SECONDS = 15.0
BATCH = 500
WATCH_EVERY = 5.0
COUNTED = 100_000  # pointers; if there are more, their number is not told exactly

_backlog = metrics.gauge(
    "customerflow.outbox.backlog", "{event}", f"Events that are not confirmed yet; {COUNTED}: as many or more."
)
_oldest = metrics.gauge("customerflow.outbox.oldest.age", "s", "How old the oldest event is that is not confirmed yet.")
_parked = metrics.gauge("customerflow.outbox.parked", "{customer}", "Customers whose events cannot be sent.")
_active = metrics.gauge(
    "customerflow.relay.active", "{relay}", "Whether this relay holds the lease, and so sends: 1 or 0."
)


class LeaseLost(Exception):
    """Another relay may be active by now."""


class Lease:
    """Held by one process at a time, by the database's clock. `token` grows with each holder: the fencing number."""

    def __init__(self, engine: AsyncEngine, holder: str) -> None:
        self._engine = engine
        self._holder = holder
        self._until = 0.0
        self._changed = asyncio.Event()
        self._patience = Patience("lease")
        self.token = 0
        _active.read(lambda: float(self.held))

    @property
    def held(self) -> bool:
        return time.monotonic() < self._until

    def require(self) -> None:
        if not self.held:
            raise LeaseLost

    async def wait(self, seconds: float) -> None:
        """Return when the lease is taken, or after that time."""
        self._changed.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    @asynccontextmanager
    async def sought(self) -> AsyncIterator[None]:
        """Take the lease when it is free and renew it while it is ours; give it back at the end."""
        try:
            async with service.background("lease", lambda: self._patience.persist(self._hold)):
                yield
        finally:
            await asyncio.shield(self._give_back())

    async def _hold(self) -> None:
        await self._take_or_renew()
        self._patience.rewarded()
        await asyncio.sleep(RENEW_EVERY)

    async def _take_or_renew(self) -> None:
        asked = time.monotonic()
        async with database.session(self._engine) as session:
            renewed = self.token and await session.run(
                "UPDATE cf_leases SET expires_at = UTC_TIMESTAMP(6) + INTERVAL %s SECOND "
                "WHERE name = 'relay' AND holder = %s AND token = %s",
                (LEASE_SECONDS, self._holder, self.token),
            )
            taken = not renewed and await session.run(
                "UPDATE cf_leases SET token = token + 1, holder = %s, "
                "expires_at = UTC_TIMESTAMP(6) + INTERVAL %s SECOND "
                "WHERE name = 'relay' AND expires_at < UTC_TIMESTAMP(6)",
                (self._holder, LEASE_SECONDS),
            )
            token = (await session.rows("SELECT token FROM cf_leases WHERE name = 'relay'"))[0][0] if taken else 0
            await session.commit()
        if taken:
            self.token = token
            log.info("lease taken", token=token)
        if taken or renewed:
            self._until = asked + LEASE_SECONDS - MARGIN
            self._changed.set()

    async def _give_back(self) -> None:
        self._until = 0.0
        # should the database be away, the lease expires by itself
        with suppress(database.DatabaseUnavailable):
            async with database.session(self._engine) as session:
                await session.run(
                    "UPDATE cf_leases SET expires_at = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND "
                    "WHERE name = 'relay' AND holder = %s AND token = %s",
                    (self._holder, self.token),
                )
                await session.commit()


class Outbox:
    """Pointers to events that the broker has not confirmed yet, in the order of their positions.

    Used as a context, at whose end it gives back the connections that it has kept.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # one statement at a time: what a pooled connection takes besides is three round trips
        self._reading = database.KeptConnection(engine, KEPT_SECONDS, autocommit=True)
        self._settling = database.KeptConnection(engine, KEPT_SECONDS, autocommit=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._reading.close()
        await self._settling.close()

    async def first(self, besides: Iterable[int] = ()) -> list[EventRow]:
        """The events of the first pointers but these, and but for customers that are parked."""
        under_way = sorted(besides)
        others = f"AND o.position NOT IN {database.placeholders(1, len(under_way))} " if under_way else ""
        async with self._reading.session() as session:
            rows = await session.rows(
                f"SELECT {EVENT_COLUMNS} FROM cf_outbox o JOIN cf_events e ON e.position = o.position "
                "LEFT JOIN cf_customer_keys k ON k.customer_id = o.customer_id "
                "LEFT JOIN cf_outbox_parked p ON p.customer_id = o.customer_id "
                f"WHERE p.customer_id IS NULL {others}ORDER BY o.position LIMIT %s",
                (*under_way, BATCH),
            )
        return [EventRow(*row) for row in rows]

    async def settle(self, positions: Sequence[int], token: int) -> None:
        """Forget pointers whose events the broker has confirmed. Raises LeaseLost if the lease has passed on."""
        if not positions:
            return
        async with self._settling.session() as session:
            settled = await session.run(
                f"DELETE FROM cf_outbox WHERE position IN {database.placeholders(1, len(positions))} "
                "AND EXISTS (SELECT 1 FROM cf_leases WHERE name = 'relay' AND token = %s)",
                (*positions, token),
            )
        if settled < len(positions):
            raise LeaseLost

    async def park(self, customer_id: UUID, position: int, reason: str) -> None:
        """Hold a customer's events back, so that the others can go on."""
        async with database.session(self._engine) as session:
            await session.run(
                "INSERT IGNORE INTO cf_outbox_parked (customer_id, position, reason, parked_at) "
                "VALUES (%s, %s, %s, %s)",
                (customer_id.bytes, position, reason[:255], utc_now().replace(tzinfo=None)),
            )
            await session.commit()

    async def parked(self) -> list[tuple[UUID, int, str]]:
        async with database.session(self._engine) as session:
            rows = await session.rows("SELECT customer_id, position, reason FROM cf_outbox_parked ORDER BY position")
        return [(UUID(bytes=customer_id), position, reason) for customer_id, position, reason in rows]

    async def release(self, customer_id: UUID) -> bool:
        """Let a parked customer's events be sent again; False if it was not parked."""
        async with database.session(self._engine) as session:
            released = await session.run("DELETE FROM cf_outbox_parked WHERE customer_id = %s", (customer_id.bytes,))
            await session.commit()
        return released > 0

    async def release_after(self, seconds: float) -> None:
        """Let the events of all customers be tried again that were parked so long ago."""
        async with database.session(self._engine) as session:
            await session.run(
                "DELETE FROM cf_outbox_parked WHERE parked_at < UTC_TIMESTAMP(3) - INTERVAL %s SECOND", (seconds,)
            )
            await session.commit()

    async def watch(self) -> None:
        """Measure what waits, until cancelled; also while another relay sends, and while the broker is away."""
        patience = Patience("outbox watch")

        async def measure() -> None:
            try:
                await self._measure()
            except BaseException:
                for one in (_backlog, _oldest, _parked):
                    one.set(None)
                raise
            patience.rewarded()
            await asyncio.sleep(WATCH_EVERY)

        await patience.persist(measure)

    async def _measure(self) -> None:
        async with database.session(self._engine) as session:
            ((waiting, first),) = await session.rows(
                "SELECT COUNT(*), MIN(position) FROM (SELECT position FROM cf_outbox ORDER BY position LIMIT %s) o",
                (COUNTED,),
            )
            age = first and await session.rows(
                "SELECT TIMESTAMPDIFF(MICROSECOND, recorded_at, UTC_TIMESTAMP(6)) FROM cf_events WHERE position = %s",
                (first,),
            )
            ((parked,),) = await session.rows("SELECT COUNT(*) FROM cf_outbox_parked")
            await session.commit()
        _backlog.set(waiting)
        _oldest.set(max(0, age[0][0]) / 1e6 if age else 0)
        _parked.set(parked)
