"""Keeps the read model whole, whatever is lost on the way: an emptied or restarted Redis, a lost queue, a parked
customer.

The keeper follows the event feed by position behind the live projection. Its checkpoint lies in Redis with the
documents, so a Redis that comes back from an older state comes back with an older checkpoint, and what it has lost is
applied again.
"""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta

import structlog
from customerflow_shared import views
from customerflow_shared.patience import Patience

from customerflow_projector.apply import Applier
from customerflow_projector.feed import Feed
from customerflow_projector.read_model import Parked, ReadModel
from customerflow_projector.rebuild import rebuild

log = structlog.get_logger()

LOCK = "cf:keeper"
LOCK_SECONDS = 10.0
LOOK_EVERY = 1.0  # seconds
FOLLOW_EVERY = 2.0  # seconds
LONGEST_WAIT = 60.0  # seconds between two tries for a parked customer


class ReadModelNotReady(Exception):
    """The read model is empty, of another schema, or not yet known to be complete."""


class Keeper:
    """One of the projector's replicas keeps; the others stand by."""

    def __init__(self, model: ReadModel, feed: Feed, applier: Applier) -> None:
        self._model = model
        self._feed = feed
        self._applier = applier
        self._holder = secrets.token_hex(8)
        self._follow_at = 0.0
        self._patience = Patience("keeper")

    async def run(self) -> None:
        try:
            await self._patience.persist(self._keep)
        finally:
            await asyncio.shield(self._model.release(LOCK, self._holder))

    async def _keep(self) -> None:
        if await self._model.hold(LOCK, self._holder, LOCK_SECONDS):
            await self._look()
        self._patience.rewarded()
        await asyncio.sleep(LOOK_EVERY)

    async def check(self) -> None:
        """Raises ReadModelNotReady unless queries can be answered from the read model."""
        live = (await self._model.generations()).live
        if not views.is_of_this_schema(live):
            raise ReadModelNotReady("no generation of this schema is live")
        if await self._model.vouched() != await self._model.run_id():
            raise ReadModelNotReady("Redis has been restarted; what it may have lost is being applied again")

    async def _look(self) -> None:
        live = (await self._model.generations()).live
        if views.is_of_newer_schema(live):
            raise ReadModelNotReady("the read model is that of a newer release")
        if live is None or not views.is_of_this_schema(live):
            log.warning("the read model is empty or outdated; it is built anew", live=live)
            report = await rebuild(self._model, self._feed, self._applier, _log_progress)
            log.info("the read model is built", events=report.events, customers=report.customers)
            return
        run_id = await self._model.run_id()
        restarted = await self._model.vouched() != run_id
        now = asyncio.get_running_loop().time()
        if restarted or now >= self._follow_at:
            await self._follow(live, run_id)
            self._follow_at = now + FOLLOW_EVERY
        if restarted:
            await self._model.vouch(run_id)
            log.info("redis has been restarted; the read model is complete again", generation=live)
        await self._retry_parked(live)

    async def _retry_parked(self, generation: str) -> None:
        """Until the feed fails, or another keeper has taken over."""
        for customer_id, entry in (await self._model.parked(generation)).items():
            if not _is_due(entry):
                continue
            if not await self._model.hold(LOCK, self._holder, LOCK_SECONDS):
                return
            if await self._applier.retry(generation, customer_id, entry):
                log.info("customer is no longer parked", customer_id=str(customer_id))

    async def _follow(self, generation: str, run_id: str) -> None:
        """Apply whatever the live projection has not applied, up to the head of the feed."""
        position = await self._model.checkpoint(generation)
        async for _, page in self._feed.after(position):
            await self._applier.apply(generation, page)
            if not await self._model.advance(generation, page[-1].position, run_id):
                raise ReadModelNotReady("Redis has been restarted while the feed was followed")
            await self._model.hold(LOCK, self._holder, LOCK_SECONDS)


def _is_due(entry: Parked) -> bool:
    wait = min(2.0 ** min(entry.attempts, 10), LONGEST_WAIT)
    return datetime.now(UTC) >= entry.attempted_at + timedelta(seconds=wait)


def _log_progress(position: int, head: int) -> None:
    log.info("rebuilding", position=position, head=head)
