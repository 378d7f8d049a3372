"""After a rebuild there is a way back for a while, with all that has happened since."""

import asyncio

import pytest
from customerflow_projector import keeper, rebuild, verify
from customerflow_projector.apply import Applier
from customerflow_projector.feed import FeedUnavailable
from customerflow_projector.generations import LOCK, Behind, RebuildRunning
from customerflow_projector.keeper import Keeper
from customerflow_projector.read_model import ReadModel
from customerflow_projector.rebuild import NoWayBack, roll_back
from customerflow_projector.verify import verifier
from customerflow_shared import views
from redis.asyncio import Redis

from .builders import ANA, LOOKUPS, EventStore, folded, renamings, unknown
from .steps import documents, dump, rebuilt, running, until
from .traffic import Traffic


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "LOOK_AGAIN_AFTER", 0.01)
    monkeypatch.setattr("customerflow_projector.compare.LOOK_AGAIN_AFTER", 0.01)
    monkeypatch.setattr(keeper, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(keeper, "FOLLOW_EVERY", 0.05)


async def went_back(model: ReadModel, store: EventStore) -> str:
    return await roll_back(model, store, Applier(model, store))


async def differences(model: ReadModel, store: EventStore) -> int:
    found = list[object]()
    await (await verifier(model, store, LOOKUPS, lambda one, _: found.append(one))).all()
    return len(found)


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_is_lost_that_happens_before_between_and_after(model: ReadModel, seed: int) -> None:
    traffic = Traffic(model, seed)
    first = (await rebuilt(model, traffic.store)).generation
    async with traffic.running():
        second = (await rebuilt(model, traffic.store, keep_previous=60)).generation
        assert await model.generations() == (second, None, first)
        await asyncio.sleep(0.1)
        assert await went_back(model, traffic.store) == first
        assert await model.generations() == (first, None, second)
        await asyncio.sleep(0.1)
    assert await differences(model, traffic.store) == 0
    assert await went_back(model, traffic.store) == second
    assert await differences(model, traffic.store) == 0


async def test_what_was_never_delivered_is_caught_up_first(model: ReadModel, redis: Redis) -> None:
    traffic = Traffic(model, 1)
    first = (await rebuilt(model, traffic.store)).generation
    second = (await rebuilt(model, traffic.store, keep_previous=60)).generation
    await traffic.some(30, delivered=False)
    assert await went_back(model, traffic.store) == first
    assert await differences(model, traffic.store) == 0
    assert await went_back(model, traffic.store) == second
    assert await dump(redis, first) == await dump(redis, second)


async def test_a_keeper_that_goes_ahead_is_not_taken_for_an_event_store_that_has_lost_events(
    model: ReadModel, redis: Redis
) -> None:
    traffic = Traffic(model, 1)
    first = (await rebuilt(model, traffic.store)).generation
    await rebuilt(model, traffic.store, keep_previous=60)

    class Moving(EventStore):
        async def head(self) -> int:
            known = await super().head()
            await traffic.some(1)
            await model.advance(first, known + 1, await model.run_id())
            return known

    store = Moving()
    store.events = traffic.store.events
    assert await went_back(model, store) == first


async def test_who_has_read_a_position_is_not_thrown_back(
    model: ReadModel, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "CATCH_UP", 0.1)
    traffic = Traffic(model, 1)
    await rebuilt(model, traffic.store)
    second = (await rebuilt(model, traffic.store, keep_previous=60)).generation
    await redis.set(views.key(second, "applied"), "100000 1")
    with pytest.raises(Behind):
        await went_back(model, traffic.store)
    assert (await model.generations()).live == second


async def test_who_was_parked_before_is_retried_first(model: ReadModel) -> None:
    readable = renamings(ANA, 3)
    first = (await rebuilt(model, EventStore([unknown(readable[0]), *readable[1:]]))).generation
    assert await model.parked(first)
    await rebuilt(model, EventStore(readable), keep_previous=60)
    assert await went_back(model, EventStore(readable)) == first
    assert not await model.parked(first)
    assert await documents(model) == folded(readable)


async def test_the_keeper_keeps_the_generation_before_up_to_date(model: ReadModel, redis: Redis) -> None:
    traffic = Traffic(model, 2)
    first = (await rebuilt(model, traffic.store)).generation
    second = (await rebuilt(model, traffic.store, keep_previous=60)).generation

    async def at_the_head() -> bool:
        positions = {(await model.applied(one))[0] for one in (first, second)}
        return positions == {len(traffic.store.events)}

    async with running(Keeper(model, traffic.store, Applier(model, traffic.store)).run):
        await traffic.some(20, delivered=False)
        await until(at_the_head)
    assert await dump(redis, first) == await dump(redis, second)


async def test_the_generation_before_is_removed_when_its_time_is_over_and_not_earlier(
    model: ReadModel, redis: Redis
) -> None:
    traffic = Traffic(model, 3)
    first = (await rebuilt(model, traffic.store)).generation
    complete = await redis.dbsize()

    async def is_gone() -> bool:
        return not [key async for key in redis.scan_iter(f"cf:{first}:*")]

    loop = asyncio.get_running_loop()
    async with running(Keeper(model, traffic.store, Applier(model, traffic.store)).run):
        begun = loop.time()
        await rebuilt(model, traffic.store, keep_previous=0.6)
        while loop.time() < begun + 0.5:
            assert (await model.generations()).previous == first
            assert len([key async for key in redis.scan_iter(f"cf:{first}:*")]) >= complete - 5
            await asyncio.sleep(0.05)
        await until(is_gone)
    assert (await model.generations()).previous is None
    assert await differences(model, traffic.store) == 0
    with pytest.raises(NoWayBack):
        await went_back(model, traffic.store)


async def test_what_is_written_into_a_generation_after_its_end_is_removed(
    model: ReadModel, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a consumer that had asked for the generations just before."""
    monkeypatch.setattr(keeper, "SWEEP_AGAIN_AFTER", 3.0)
    traffic = Traffic(model, 3)
    first = (await rebuilt(model, traffic.store)).generation

    async def is_gone() -> bool:
        return not [key async for key in redis.scan_iter(f"cf:{first}:*")]

    async with running(Keeper(model, traffic.store, Applier(model, traffic.store)).run):
        await rebuilt(model, traffic.store, keep_previous=0.1)
        await asyncio.sleep(0.2)
        await until(is_gone)
        await redis.set(views.customer_key(first, "x"), "personal")
        await until(is_gone)
    assert (await model.generations()).previous is None


async def test_the_keeper_removes_what_failed_rebuilds_have_left_but_not_what_can_be_resumed(
    model: ReadModel, redis: Redis
) -> None:
    traffic = Traffic(model, 4, page=20)
    await rebuilt(model, traffic.store)
    stale, resumable = views.new_generation(), views.new_generation()
    for generation in (stale, resumable):
        await model.begin(generation)
        await redis.set(views.customer_key(generation, "x"), "1")

    async def is_gone() -> bool:
        return not [key async for key in redis.scan_iter(f"cf:{stale}:*")]

    async with running(Keeper(model, traffic.store, Applier(model, traffic.store)).run):
        await until(is_gone)
        await asyncio.sleep(0.1)
    assert len([key async for key in redis.scan_iter(f"cf:{resumable}:*")]) == 2


@pytest.mark.parametrize("previous", [None, "0-00000001"])
async def test_without_a_generation_of_this_release_there_is_no_way_back(
    model: ReadModel, redis: Redis, previous: str | None
) -> None:
    traffic = Traffic(model, 1)
    live = (await rebuilt(model, traffic.store)).generation
    if previous:
        await redis.set(views.PREVIOUS, previous)
    with pytest.raises(NoWayBack):
        await went_back(model, traffic.store)
    assert (await model.generations()).live == live


async def test_a_generation_of_another_schema_is_never_the_way_back(model: ReadModel, redis: Redis) -> None:
    await redis.mset({views.LIVE: "0-00000001", "cf:0-00000001:customer:x": "of another form"})
    report = await rebuilt(model, Traffic(model, 1).store, keep_previous=60)
    assert await model.generations() == (report.generation, None, None)
    assert not await redis.exists("cf:0-00000001:customer:x")


async def test_nobody_goes_back_while_a_rebuild_runs_or_the_feed_is_away(model: ReadModel) -> None:
    traffic = Traffic(model, 1)
    await rebuilt(model, traffic.store)
    await rebuilt(model, traffic.store, keep_previous=60)
    before = await model.generations()
    traffic.store.away = True
    with pytest.raises(FeedUnavailable):
        await went_back(model, traffic.store)
    traffic.store.away = False
    await model.hold(LOCK, "another", 5)
    with pytest.raises(RebuildRunning):
        await went_back(model, traffic.store)
    assert await model.generations() == before
