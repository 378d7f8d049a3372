"""What the command service does unasked: erasures and ends of suspensions whose time has come, snapshots of long
histories, and forgetting: old idempotency keys, and customers that have been in memory for a while.

Every replica does it. That needs no leader: what is due is decided like any other command, so of two replicas that
come at once the second finds nothing left to do.
"""

import asyncio
from datetime import datetime
from uuid import UUID

import structlog
from customerflow_shared import database, telemetry
from customerflow_shared.database import DatabaseUnavailable, utc_now
from customerflow_shared.patience import Patience
from sqlalchemy.ext.asyncio import AsyncEngine

from customerflow_command.customer.commands import DoWhatIsDue
from customerflow_command.customer.errors import CustomerIsErased
from customerflow_command.fingerprints import ForeignSecret
from customerflow_command.idempotency import purge
from customerflow_command.mediator import Handler, SwitchedOff, by_system
from customerflow_command.store import Store

log = structlog.get_logger()

PURGE_EVERY = 600.0  # seconds
REMEMBERED = 60.0  # seconds
AT_ONCE = 100
LONG_AGO = datetime(2000, 1, 1)


class Upkeep:
    def __init__(self, engine: AsyncEngine, send: Handler, store: Store, *, every: float) -> None:
        """`every`: seconds between two looks at what is due."""
        self._engine = engine
        self._store = store
        self._send = send
        self._every = every
        self._purge_at = 0.0
        self._patience = Patience("upkeep")

    async def run(self) -> None:
        await self._patience.persist(self._look)

    async def _look(self) -> None:
        self._store.cache.forget_what_is_older_than(REMEMBERED)
        await self._store.take_snapshots()
        now = asyncio.get_running_loop().time()
        if now >= self._purge_at:
            await purge(self._engine)
            self._purge_at = now + PURGE_EVERY
        after = (LONG_AGO, b"")
        while page := await self._due(after):
            for due_at, customer_id in page:
                await self._do_what_is_due(UUID(bytes=customer_id))
                after = (due_at, customer_id)
        self._patience.rewarded()
        await asyncio.sleep(self._every)

    async def _due(self, after: tuple[datetime, bytes]) -> list[tuple[datetime, bytes]]:
        """The next that are due, whatever has become of those before."""
        async with database.session(self._engine) as session:
            rows = await session.rows(
                "SELECT due_at, customer_id FROM cf_due WHERE due_at <= %s AND due_at >= %s "
                "AND (due_at > %s OR customer_id > %s) ORDER BY due_at, customer_id LIMIT %s",
                (utc_now().replace(tzinfo=None), after[0], *after, AT_ONCE),
            )
        return [(due_at, customer_id) for due_at, customer_id in rows]

    async def _do_what_is_due(self, customer_id: UUID) -> None:
        """What cannot be done is tried again at the next look, and holds up no other customer."""
        try:
            await self._send(by_system(customer_id, DoWhatIsDue()))
        except (CustomerIsErased, SwitchedOff):
            pass  # another replica was faster; or it has to wait
        except (DatabaseUnavailable, ForeignSecret):
            raise
        except Exception as error:  # whatever it is, it concerns this customer only
            log.error("what is due cannot be done", customer_id=str(customer_id), reason=telemetry.describe(error))
