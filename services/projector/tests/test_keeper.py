"""Whatever is lost on the way, the keeper makes the read model whole again."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from customerflow_projector import keeper
from customerflow_projector.apply import Applier
from customerflow_projector.feed import FeedUnavailable
from customerflow_projector.keeper import Keeper, ReadModelNotReady
from customerflow_projector.progress import Pace
from customerflow_projector.read_model import Look, ReadModel
from customerflow_shared import views
from customerflow_shared.events import Place, Recorded
from customerflow_shared.indexing import Lookups
from msgspec.structs import replace
from redis.asyncio import Redis

from .builders import ANA, BRUNO, ENTRY, LONG_AGO, LOOKUPS, EventStore, folded, interleaved, renamings
from .steps import documents, rebuilt, running, until

HISTORY = interleaved(renamings(ANA, 10), renamings(BRUNO, 10))


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(keeper, "FOLLOW_EVERY", 0.05)


@asynccontextmanager
async def kept(
    model: ReadModel, store: EventStore, applier: Applier | None = None, projects: Callable[[], bool] = lambda: True
) -> AsyncIterator[Keeper]:
    it = Keeper(model, store, applier or Applier(model, store), projects)
    async with running(it.run):
        yield it


async def fill(model: ReadModel, history: list[Recorded]) -> str:
    return (await rebuilt(model, EventStore(history))).generation


def holds(model: ReadModel, history: list[Recorded]) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return await documents(model) == folded(history)

    return check


def ready(it: Keeper) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        try:
            await it.check()
        except ReadModelNotReady:
            return False
        return True

    return check


async def test_an_empty_redis_is_filled(model: ReadModel) -> None:
    async with kept(model, EventStore(HISTORY)) as it:
        await until(ready(it))
        assert await holds(model, HISTORY)()


async def test_a_generation_of_another_schema_is_replaced(model: ReadModel, redis: Redis) -> None:
    await redis.set(views.LIVE, "0-00000001")
    async with kept(model, EventStore(HISTORY)) as it:
        with pytest.raises(ReadModelNotReady, match="no generation of this schema"):
            await it.check()
        await until(ready(it))
        assert await holds(model, HISTORY)()


async def test_a_generation_of_a_newer_release_is_left_alone(model: ReadModel, redis: Redis) -> None:
    newer = f"{int(views.SCHEMA) + 1}-00000001"
    await redis.set(views.LIVE, newer)
    async with kept(model, EventStore(HISTORY)) as it:
        await asyncio.sleep(0.3)
        with pytest.raises(ReadModelNotReady, match="no generation of this schema"):
            await it.check()
        assert await model.generations() == (newer, None, None)


async def test_a_redis_that_is_emptied_is_filled_again(model: ReadModel, redis: Redis) -> None:
    async with kept(model, EventStore(HISTORY)) as it:
        await until(ready(it))
        await redis.flushdb()
        await until(ready(it))
        assert await holds(model, HISTORY)()


async def test_a_redis_that_is_emptied_while_it_is_looked_at_is_filled_again_at_once(
    model: ReadModel, redis: Redis
) -> None:
    class Emptied(ReadModel):
        emptied = False

        async def run_id(self) -> str:
            if not self.emptied:
                await redis.flushdb()
            self.emptied = True
            return await super().run_id()

    before = await fill(model, HISTORY)
    store, applied = EventStore(HISTORY, page=2), set[tuple[str, int]]()

    class Watched(Applier):
        async def apply(self, generation: str, batch: Sequence[Recorded | Place], look: Look | None = None) -> None:
            applied.update((generation, one.position) for one in batch)
            await super().apply(generation, batch, look)

    async def is_built_anew() -> bool:
        return (await model.generations()).live not in (before, None)

    async with kept(Emptied(redis, LOOKUPS), store, Watched(model, store)):
        await until(is_built_anew)
        assert await holds(model, HISTORY)()
    assert len([position for generation, position in applied if generation == before]) <= store.page


async def test_an_event_that_was_never_delivered_is_applied(model: ReadModel) -> None:
    store = EventStore(HISTORY[:11])
    async with kept(model, store) as it:
        await until(ready(it))
        store.events = [*HISTORY]
        await until(holds(model, HISTORY))


async def test_following_goes_on_from_the_checkpoint(model: ReadModel) -> None:
    generation = await fill(model, HISTORY[:8])
    store = EventStore(HISTORY, page=3)

    async def at_the_head() -> bool:
        return await model.checkpoint(generation) == len(HISTORY)

    async with kept(model, store):
        await until(at_the_head)
        assert await holds(model, HISTORY)()


async def test_a_restarted_redis_is_not_ready_before_what_it_lost_is_applied(model: ReadModel, redis: Redis) -> None:
    """It has come back from an older state: an older checkpoint, and older documents."""
    generation = await fill(model, HISTORY[:8])
    await model.vouch("the run id of the process before")
    store = EventStore(HISTORY)
    store.away = True
    async with kept(model, store) as it:
        with pytest.raises(ReadModelNotReady, match="Redis has been restarted"):
            await it.check()
        await asyncio.sleep(0.1)
        assert not await ready(it)()
        store.away = False
        await until(ready(it))
        assert await holds(model, HISTORY)()
        assert (await model.generations())[0] == generation


async def test_a_page_that_a_restart_has_lost_is_applied_again(model: ReadModel, redis: Redis) -> None:
    """Redis is restarted between the page and the checkpoint."""

    class Restarted(ReadModel):
        restarted = False

        async def run_id(self) -> str:
            return await super().run_id() if self.restarted else "before"

    class Losing(Applier):
        async def apply(self, generation: str, batch: Sequence[Recorded | Place], look: Look | None = None) -> None:
            if restarted.restarted:
                await super().apply(generation, batch, look)
            restarted.restarted = True

    await fill(model, HISTORY[:8])
    await model.vouch("long before")
    restarted, store = Restarted(redis, LOOKUPS), EventStore(HISTORY)
    async with kept(restarted, store, Losing(restarted, store)) as it:
        await until(ready(it))
        assert await holds(model, HISTORY)()


async def test_an_event_store_that_knows_less_changes_nothing(model: ReadModel) -> None:
    await fill(model, HISTORY)
    async with kept(model, EventStore(HISTORY[:5])) as it:
        await asyncio.sleep(0.2)
        assert await ready(it)()
        assert await holds(model, HISTORY)()


async def test_a_parked_customer_is_retried_when_it_is_due(model: ReadModel) -> None:
    generation = await fill(model, HISTORY)
    lately = datetime.now(UTC) - timedelta(seconds=3)
    not_due = replace(ENTRY, attempts=4, attempted_at=lately)
    await model.park(generation, ANA, replace(ENTRY, attempts=1, attempted_at=lately))
    await model.park(generation, BRUNO, not_due)

    async def ana_is_free() -> bool:
        return ANA not in await model.parked(generation)

    async with kept(model, EventStore(HISTORY)):
        await until(ana_is_free)
        await asyncio.sleep(0.1)
        assert await model.parked(generation) == {BRUNO: not_due}


async def test_who_is_discarded_is_not_retried_by_the_keeper(model: ReadModel) -> None:
    generation = await fill(model, HISTORY)
    for one in (ANA, BRUNO):
        await model.park(generation, one, ENTRY)
    assert await model.discard(generation, ANA, reason="a load test", by="user:42")

    async def bruno_is_free() -> bool:
        return BRUNO not in await model.parked(generation)

    async with kept(model, EventStore(HISTORY)):
        await until(bruno_is_free)
        await asyncio.sleep(0.1)
        assert await model.parked(generation) == {ANA: ENTRY}


class SlowFeed(EventStore):
    """It takes its time over each customer, and may not answer in the end."""

    customers = 0
    answers = True

    async def of_customer(self, customer_id: UUID, after: int) -> list[Recorded | Place]:
        self.customers += 1
        await asyncio.sleep(0.08)
        if not self.answers:
            raise FeedUnavailable
        return await super().of_customer(customer_id, after)


async def test_many_parked_customers_are_retried_by_one_keeper_only(
    model: ReadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "LOCK_SECONDS", 0.5)
    generation = await fill(model, HISTORY)
    for number in range(12):
        await model.park(generation, UUID(int=number), ENTRY)

    async def all_are_free() -> bool:
        return not await model.parked(generation)

    first, second = SlowFeed(HISTORY), SlowFeed(HISTORY)
    async with kept(model, first), kept(model, second):
        await until(all_are_free)
    assert sorted([first.customers, second.customers]) == [0, 12]


async def test_many_parked_customers_do_not_keep_the_keeper_from_following(model: ReadModel) -> None:
    generation = await fill(model, HISTORY[:8])
    for number in range(100, 300):
        attempted_at = LONG_AGO + timedelta(seconds=number)
        await model.park(generation, UUID(int=number), replace(ENTRY, attempted_at=attempted_at))
    await model.park(generation, UUID(int=1), ENTRY)
    feed = SlowFeed(HISTORY[:8])
    async with kept(model, feed):
        await asyncio.sleep(0.5)
        feed.events = [*HISTORY]
        await until(holds(model, HISTORY), seconds=2)
        retried = 201 - len(await model.parked(generation))
    assert 0 < retried < 100
    left = {one.int for one in await model.parked(generation)}
    assert left == set(range(300 - len(left), 300))


async def test_a_feed_that_fails_is_not_asked_for_the_other_parked_customers(
    model: ReadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("customerflow_shared.patience.FIRST_PAUSE", 60)
    generation = await fill(model, HISTORY)
    for number in range(3):
        await model.park(generation, UUID(int=number), ENTRY)
    feed = SlowFeed(HISTORY)
    feed.answers = False
    async with kept(model, feed):
        await asyncio.sleep(0.3)
        assert feed.customers == 1


async def test_one_keeper_keeps_and_the_next_takes_over(model: ReadModel, redis: Redis) -> None:
    first, second = EventStore(HISTORY), EventStore(HISTORY)
    async with kept(model, second) as standby:
        await until(ready(standby))
        async with kept(model, first):
            await asyncio.sleep(0.1)
            assert first.asked == 0
    store = EventStore(HISTORY[:])
    async with kept(model, store):  # the lock was released, not left to expire
        await asyncio.sleep(0.2)
        assert store.asked > 0


async def test_the_feeds_absence_is_waited_for(model: ReadModel) -> None:
    store = EventStore(HISTORY)
    store.away = True
    async with kept(model, store) as it:
        await asyncio.sleep(0.2)
        assert not await ready(it)()
        store.away = False
        await until(ready(it))


async def test_what_the_keeper_has_seen_applied_counts_as_fresh(model: ReadModel, redis: Redis) -> None:
    generation = await fill(model, HISTORY)
    store = EventStore(HISTORY)
    before = time.time() * 1000

    async def checked() -> int:
        return int(await redis.get(views.key(generation, "checked")) or 0)

    async def is_checked_again() -> bool:
        return await checked() > before

    async with kept(model, store):
        await until(is_checked_again)
        store.away = True
        await asyncio.sleep(0.1)
        last = await checked()
        await asyncio.sleep(0.2)
        assert await checked() == last


async def test_a_generation_with_another_look_up_key_is_built_anew(redis: Redis) -> None:
    other = ReadModel(redis, Lookups(bytes(32)))
    before = await fill(other, HISTORY)
    model = ReadModel(redis, LOOKUPS)
    async with kept(model, EventStore(HISTORY)) as it:
        await until(ready(it))
        assert (await model.generations()).live != before


async def test_a_build_that_a_keeper_has_begun_is_gone_on_with_by_the_next(model: ReadModel) -> None:
    class Cut(EventStore):
        async def after(self, position: int) -> AsyncIterator[tuple[int, list[Recorded | Place]]]:
            async for found in super().after(position):
                yield found
                if position == 0:
                    raise FeedUnavailable

    store = Cut(HISTORY, page=5)
    async with kept(model, store) as it:
        await until(ready(it))
        assert await holds(model, HISTORY)()


def test_progress_is_told_with_rate_and_time_left() -> None:
    told, now = list[str](), iter([0.0, 1.0, 6.0, 7.0, 10.0])
    pace = Pace("events", told.append, clock=lambda: next(now))
    for done in (1000, 1100, 1600, 1700, 3000):
        pace(done, 3000)
    assert told == [
        "1,000 of 3,000 events",
        "1,600 of 3,000 events, 100 a second, 14 seconds left",
        "3,000 of 3,000 events, 200 a second, 0 seconds left",
    ]


async def test_while_nothing_is_to_be_applied_the_keeper_applies_nothing(model: ReadModel, redis: Redis) -> None:
    projects = False
    await fill(model, HISTORY[:10])
    async with kept(model, EventStore(HISTORY), projects=lambda: projects) as it:
        await asyncio.sleep(0.5)
        assert await holds(model, HISTORY[:10])()
        projects = True
        await until(holds(model, HISTORY))
        projects = False
        await asyncio.sleep(0.1)
        await redis.flushdb()
        await asyncio.sleep(0.5)
        with pytest.raises(ReadModelNotReady):  # that nothing is applied does not make it look whole
            await it.check()
        projects = True
        await until(ready(it))
        assert await holds(model, HISTORY)()
