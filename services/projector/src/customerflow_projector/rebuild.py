"""A new generation of the read model beside the live one: filled from the event feed, compared, then switched to; and
the way back to the one before.

While it is being built, live events go into both generations, so that nothing is missing at the moment of the switch. A
rebuild that is stopped, however, leaves what it has built; the next one goes on from there.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import structlog
from customerflow_shared import views

from customerflow_projector import generations
from customerflow_projector.apply import Applier
from customerflow_projector.compare import Comparison, compare
from customerflow_projector.feed import Feed
from customerflow_projector.follow import build, follow
from customerflow_projector.generations import Behind, locked, switch
from customerflow_projector.progress import Told
from customerflow_projector.read_model import ReadModel

log = structlog.get_logger()

KEEP_PREVIOUS = 900.0  # seconds
ABOUT_CAUGHT_UP = 500  # events, of which few can have been missed by those that bring the live ones
CATCH_UP = 10.0  # seconds that the last events may take before the switch
CATCH_UP_PAUSE = 0.01


class GenerationsDiffer(Exception):
    """The new generation lacks what the live one has; it has not been switched to."""

    def __init__(self, comparison: Comparison) -> None:
        super().__init__(
            f"{comparison.lacking} customers of the live generation are newer than, or unknown to, the event store; "
            "`rebuild --force` switches nevertheless, `rebuild --afresh` begins anew"
        )
        self.comparison = comparison


class NoWayBack(Exception):
    """There is no generation to go back to: none was kept, its time is over, or it is that of another release."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a rebuild found. `events` is where the feed ended, `resumed` how many there were already (0: it began)."""

    generation: str
    resumed: int
    events: int
    comparison: Comparison
    parked: int


async def rebuild(
    model: ReadModel,
    feed: Feed,
    applier: Applier,
    told: Told = lambda *_: None,
    *,
    force: bool = False,
    afresh: bool = False,
    keep_previous: float = KEEP_PREVIOUS,
) -> Report:
    """Raises RebuildRunning, Moved, Behind, RedisRestarted, GivenUp, GenerationsDiffer (unless forced),
    FeedUnavailable, or what Redis raises.
    """
    async with locked(model) as holder:
        run_id = await model.run_id()
        generation = await _begun(model, feed, afresh)
        live = (await model.generations()).live
        built = await model.built(generation)
        resumed = built.events if built else await model.checkpoint(generation)
        await generations.sweep(model)
        log.info("rebuilding", generation=generation, beside=live, after=resumed)

        async for done, of in build(model, feed, applier, generation, run_id):
            told(done, of)

        async def catch_up() -> int:
            position = 0
            async for position, head in follow(model, feed, applier, generation, run_id):
                told(position, head)
            return position

        position = await model.checkpoint(generation)
        while (reached := await catch_up()) > position + ABOUT_CAUGHT_UP:
            position = reached
        await _retry_parked(model, applier, generation)

        comparable = await model.is_ours(live)
        comparison = await compare(model, live if comparable else None, generation, between=catch_up)
        if comparison.lacking and not force:
            raise GenerationsDiffer(comparison)

        async def take_over() -> None:
            keep = keep_previous if comparable else 0
            await switch(
                model,
                views.BUILDING,
                generation,
                live,
                holder=holder,
                keep=keep,
                may_know_less=force or not comparable,
            )

        events = await _once_caught_up(catch_up, take_over)
        await model.vouch(run_id)
        log.info("switched", generation=generation, customers=comparison.customers, events=events)
        await generations.sweep(model)
        parked = len(await model.parked(generation))
    return Report(generation=generation, resumed=resumed, events=events, comparison=comparison, parked=parked)


async def roll_back(model: ReadModel, feed: Feed, applier: Applier, *, keep_previous: float = KEEP_PREVIOUS) -> str:
    """Let queries be answered again from the generation before, once it has all events; which one that is.

    Raises NoWayBack, RebuildRunning, Moved, Behind, RedisRestarted, GivenUp, FeedUnavailable, or what Redis raises.
    """
    async with locked(model) as holder:
        run_id = await model.run_id()
        live, _, previous = await model.generations()
        if previous is None or not await model.is_ours(previous):
            raise NoWayBack

        async def catch_up() -> int:
            return [position async for position, _ in follow(model, feed, applier, previous, run_id)][-1]

        async def take_over() -> None:
            await switch(model, views.PREVIOUS, previous, live, holder=holder, keep=keep_previous)

        await catch_up()
        await _retry_parked(model, applier, previous)
        position = await _once_caught_up(catch_up, take_over)
        log.info("switched back", generation=previous, position=position)
    return previous


async def _retry_parked(model: ReadModel, applier: Applier, generation: str) -> None:
    """What was in the way of them may be gone."""
    for customer_id, entry in (await model.parked(generation)).items():
        await applier.retry(generation, customer_id, entry)


async def _once_caught_up(catch_up: Callable[[], Awaitable[int]], take_over: Callable[[], Awaitable[None]]) -> int:
    """The position at which it took over. Raises Behind if the live generation stays ahead."""
    loop = asyncio.get_running_loop()
    until = loop.time() + CATCH_UP
    while True:
        position = await catch_up()
        try:
            await take_over()
        except Behind:
            if loop.time() > until:
                raise
            await asyncio.sleep(CATCH_UP_PAUSE)
        else:
            return position


async def _begun(model: ReadModel, feed: Feed, afresh: bool) -> str:
    """What a rebuild before this one has left, or a new generation."""
    building = (await model.generations()).building
    if building and not afresh and await model.is_ours(building):
        built = await model.built(building)
        known = built.head if built else await model.checkpoint(building)
        if await feed.head() >= known:
            return building
        log.warning("the event store knows less than what was built from it; it is built anew", generation=building)
    generation = views.new_generation()
    await model.begin(generation)
    return generation
