"""Keeps the read model whole, whatever is lost on the way: an emptied or restarted Redis, a lost queue, a parked
customer.

The keeper follows the event feed by position behind the live projection. Its checkpoint lies in Redis with the
documents, so a Redis that comes back from an older state comes back with an older checkpoint, and what it has lost is
applied again.

It also keeps the generation before the live one up to date for as long as there is a way back to it, and removes what
is no longer needed.
"""

import asyncio
import math
import secrets
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import structlog
from customerflow_shared import service, views
from customerflow_shared.patience import Patience

from customerflow_projector import generations
from customerflow_projector.apply import Applier
from customerflow_projector.feed import Feed
from customerflow_projector.follow import follow
from customerflow_projector.progress import Pace
from customerflow_projector.read_model import Generations, Parked, ReadModel
from customerflow_projector.rebuild import rebuild

log = structlog.get_logger()

LOCK = "cf:keeper"
LOCK_SECONDS = 10.0
LOOK_EVERY = 1.0  # seconds
FOLLOW_EVERY = 1.0  # seconds
SWEEP_AGAIN_AFTER = 60.0  # seconds; nobody goes on writing for so long by generations asked for before
LONGEST_WAIT = 60.0  # seconds between two tries for a parked customer


class ReadModelNotReady(Exception):
    """The read model is empty, of another schema, or not yet known to be complete."""


class Keeper:
    """One of the projector's replicas keeps; the others stand by. `projects` says whether events are to be applied."""

    def __init__(
        self, model: ReadModel, feed: Feed, applier: Applier, projects: Callable[[], bool] = lambda: True
    ) -> None:
        self._model = model
        self._feed = feed
        self._applier = applier
        self._projects = projects
        self._holder = secrets.token_hex(8)
        self._follow_at = 0.0
        self._keeps = False
        self._swept: Generations | None = None
        self._sweep_again_at = math.inf
        self._patience = Patience("keeper")

    async def run(self) -> None:
        try:
            async with service.background("sweeper", self._sweep):
                await self._patience.persist(self._keep)
        finally:
            await asyncio.shield(self._model.release(LOCK, self._holder))

    async def _keep(self) -> None:
        self._keeps = await self._hold()
        if self._keeps and self._projects():
            await self._look()
        self._patience.rewarded()
        await asyncio.sleep(LOOK_EVERY)

    async def _hold(self) -> bool:
        return await self._model.hold(LOCK, self._holder, LOCK_SECONDS)

    async def _sweep(self) -> None:
        """Remove what other generations have left, whenever the ones that are needed have changed; and again a while
        after that, for a consumer that had asked before may have written into one that was no longer needed.
        """

        async def sweep() -> None:
            needed = await self._model.generations()
            now, changed = asyncio.get_running_loop().time(), needed != self._swept
            if self._keeps and (changed or now >= self._sweep_again_at):
                removed = await generations.sweep(self._model)
                log.info("swept", keys=removed, **needed._asdict())
                self._swept = needed
                self._sweep_again_at = now + SWEEP_AGAIN_AFTER if changed else math.inf
            await asyncio.sleep(LOOK_EVERY)

        await Patience("sweeper").persist(sweep)

    async def check(self) -> None:
        """Raises ReadModelNotReady unless queries can be answered from the read model."""
        live = (await self._model.generations()).live
        if not await self._model.is_ours(live):
            raise ReadModelNotReady("no generation of this schema is live")
        if await self._model.vouched() != await self._model.run_id():
            raise ReadModelNotReady("Redis has been restarted; what it may have lost is being applied again")

    async def _look(self) -> None:
        live, _, previous = await self._model.generations()
        if views.is_of_newer_schema(live):
            raise ReadModelNotReady("the read model is that of a newer release")
        if live is None or not await self._model.is_ours(live):
            log.warning("the read model is empty or outdated; it is built anew", live=live)
            report = await rebuild(self._model, self._feed, self._applier, Pace("events", _log_progress))
            log.info("the read model is built", events=report.events, customers=report.comparison.customers)
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
            if previous and await self._model.is_ours(previous):
                await self._follow(previous, run_id)
        await self._retry_parked(live)

    async def _follow(self, generation: str, run_id: str) -> None:
        """Apply whatever the live projection has not applied, up to the head of the feed."""
        asked_at = datetime.now(UTC)
        head = 0
        async with aclosing(follow(self._model, self._feed, self._applier, generation, run_id)) as pages:
            async for _, head in pages:  # noqa: B007
                await self._hold()
                if not self._projects():
                    return
        if (await self._model.applied(generation))[0] >= head:
            await self._model.saw_everything(generation, round(asked_at.timestamp() * 1000))

    async def _retry_parked(self, generation: str) -> None:
        """Until the feed fails, another keeper has taken over, or it is time to follow; the next time goes on. What is
        discarded is left alone.
        """
        loop = asyncio.get_running_loop()
        standings = await self._model.standings(generation)
        for customer_id, (entry, discarded) in sorted(standings.items(), key=lambda one: one[1].parked.attempted_at):
            if discarded or not _is_due(entry):
                continue
            if not self._projects():
                return
            if not await self._hold():
                return
            if await self._applier.retry(generation, customer_id, entry):
                log.info("customer is no longer parked", customer_id=str(customer_id))
            if loop.time() >= self._follow_at:
                return


def _is_due(entry: Parked) -> bool:
    wait = min(2.0 ** min(entry.attempts, 10), LONGEST_WAIT)
    return datetime.now(UTC) >= entry.attempted_at + timedelta(seconds=wait)


def _log_progress(sentence: str) -> None:
    log.info("rebuilding", progress=sentence)
