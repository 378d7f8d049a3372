"""A new generation of the read model beside the live one: filled from the event feed, compared, then switched to.

While it is being built, live events go into both generations, so that nothing is missing at the moment of the switch.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import msgspec
import structlog
from customerflow_shared import patience, views
from redis.exceptions import RedisError

from customerflow_projector.apply import Applier
from customerflow_projector.feed import Feed
from customerflow_projector.read_model import ReadModel, version_of

log = structlog.get_logger()

LOCK = "cf:rebuild"
LOCK_SECONDS = 15.0
LOOKS = 5  # at documents that differ: both generations are moving
LOOK_AGAIN_AFTER = 0.2  # seconds

Progress = Callable[[int, int], None]
"""Called with the position reached and the head of the event store."""


class RebuildRunning(Exception):
    """Another process is rebuilding the read model."""


class RebuildInterrupted(Exception):
    """The rebuild's lock was lost, and another process may have begun anew; or Redis was restarted."""


class GenerationsDiffer(Exception):
    """The new generation lacks what the live one has; it has not been switched to."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuild found.

    `repaired` are customers whose live document was older than, or different from, their events' fold.
    """

    generation: str
    events: int
    customers: int
    repaired: int
    parked: int


async def rebuild(model: ReadModel, feed: Feed, applier: Applier, progress: Progress, *, force: bool = False) -> Report:
    """Raises RebuildRunning, RebuildInterrupted, GenerationsDiffer (unless forced), FeedUnavailable, or what Redis
    raises.
    """
    async with _locked(model) as holder, _being_built(model) as generation:
        before = (await model.generations()).live
        run_id = await model.run_id()
        await model.drop_all_but(*filter(None, [before, generation]))  # what rebuilds that failed have left
        log.info("rebuilding", generation=generation, beside=before)

        position = 0
        while reached := await _copy(feed, applier, generation, position, progress):
            position = reached
        if not await model.advance(generation, position, run_id):
            raise RebuildInterrupted

        customers, repaired, missing = await _compare(model, before, generation)
        if missing and not force:
            raise GenerationsDiffer(
                f"{missing} customers of the live generation are newer than, or unknown to, the event store"
            )
        if not await model.switch(generation, LOCK, holder):
            raise RebuildInterrupted
        await model.vouch(run_id)
        log.info("switched", generation=generation, customers=customers)
        await model.drop_all_but(generation)
        parked = len(await model.parked(generation))
    return Report(generation=generation, events=position, customers=customers, repaired=repaired, parked=parked)


async def _copy(feed: Feed, applier: Applier, generation: str, position: int, progress: Progress) -> int:
    """Apply what comes after the position; the position reached, or 0 if nothing came."""
    reached = 0
    async for head, page in feed.after(position):
        await applier.apply(generation, page)
        reached = page[-1].position
        progress(reached, max(head, reached))
    return reached


async def _compare(model: ReadModel, live: str | None, new: str) -> tuple[int, int, int]:
    """How many customers the new generation has, how many of the live one it repairs, and how many it lacks."""
    customers = 0
    async for page in model.documents(new):
        customers += len(page)
    if live is None or not views.is_of_this_schema(live):
        return customers, 0, 0
    repaired = missing = 0
    async for page in model.documents(live):
        suspects = list(page)
        for look in range(LOOKS):
            olds, news = await model.load(live, suspects), await model.load(new, suspects)
            pairs = list(zip(suspects, olds, news, strict=True))
            suspects = [
                one
                for one, old, fresh in pairs
                if old is not None and (not fresh or version_of(fresh) < version_of(old))
            ]
            if look == 0:
                repaired += sum(
                    1
                    for _, old, fresh in pairs
                    if old and fresh and fresh != old and version_of(fresh) >= version_of(old)
                )
            if not suspects:
                break
            await asyncio.sleep(LOOK_AGAIN_AFTER)
        missing += len(suspects)
    return customers, repaired, missing


@asynccontextmanager
async def _locked(model: ReadModel) -> AsyncIterator[str]:
    holder = secrets.token_hex(8)
    if not await model.hold(LOCK, holder, LOCK_SECONDS):
        raise RebuildRunning

    async def keep() -> None:
        while True:
            await asyncio.sleep(LOCK_SECONDS / 5)
            with suppress(RedisError, OSError):  # the next time may be soon enough
                if not await model.hold(LOCK, holder, LOCK_SECONDS):
                    return

    keeper = asyncio.create_task(keep())
    try:
        yield holder
    finally:
        await patience.end(keeper, every=0.1)
        await model.release(LOCK, holder)


@asynccontextmanager
async def _being_built(model: ReadModel) -> AsyncIterator[str]:
    """A new generation that live events go into as well, until it is live itself or given up."""
    generation = views.new_generation()
    await model.begin(generation)
    try:
        yield generation
    finally:
        with suppress(RedisError, OSError):  # what ended the rebuild is the thing to tell
            await model.give_up(generation)
