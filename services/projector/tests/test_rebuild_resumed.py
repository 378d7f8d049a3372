"""A rebuild that was stopped goes on where it was, and ends as if it had never been stopped."""

import asyncio
import random

import pytest
from customerflow_projector import verify
from customerflow_projector.apply import Applier
from customerflow_projector.feed import FeedUnavailable
from customerflow_projector.generations import LOCK
from customerflow_projector.read_model import ReadModel
from customerflow_projector.rebuild import rebuild
from customerflow_projector.verify import verifier
from customerflow_shared import patience, views
from redis.asyncio import Redis

from .builders import LOOKUPS, EventStore
from .steps import dump, rebuilt
from .traffic import Traffic


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "LOOK_AGAIN_AFTER", 0.01)
    monkeypatch.setattr("customerflow_projector.compare.LOOK_AGAIN_AFTER", 0.01)


async def killed(model: ReadModel, store: EventStore, chance: random.Random, redis: Redis) -> int:
    """A rebuild that ends at any moment, without having put anything in order; how far it had come."""
    reached = asyncio.Event()
    pages = chance.randint(1, 3)

    def told(*_: int) -> None:
        nonlocal pages
        pages -= 1
        if pages < 0:
            reached.set()

    task = asyncio.ensure_future(rebuild(model, store, Applier(model, store), told))
    waiting = asyncio.ensure_future(reached.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    await asyncio.sleep(chance.uniform(0, 0.003))
    for one in (task, waiting):
        await patience.end(one, every=0.01)
    await redis.delete(LOCK)  # it was released, or runs out
    building = (await model.generations()).building
    return await come_to(model, building) if building else 0


async def come_to(model: ReadModel, building: str) -> int:
    """How many events are built."""
    built = await model.built(building)
    return built.events if built else await model.checkpoint(building)


async def test_killed_again_and_again_under_load_it_ends_as_a_straight_one(model: ReadModel, redis: Redis) -> None:
    traffic, chance = Traffic(model, 0, customers=1500, page=10), random.Random(0)
    await rebuilt(model, traffic.store)
    # how far a rebuild comes before it is killed depends on the machine; it must not come to its end
    nearly_all = len(traffic.store.events) * 2 // 3
    positions = [0]
    async with traffic.running():
        while len(positions) <= 20 and positions[-1] < nearly_all:
            positions.append(await killed(model, traffic.store, chance, redis))
        resumed = await rebuilt(model, traffic.store, keep_previous=60)
    assert len(positions) > 5
    assert positions == sorted(positions)
    assert resumed.resumed > 0
    assert resumed.comparison.differences == []
    found = list[object]()
    await (await verifier(model, traffic.store, LOOKUPS, lambda one, _: found.append(one))).all()
    assert found == []
    straight = await rebuilt(model, traffic.store, keep_previous=60)
    assert await dump(redis, straight.generation) == await dump(redis, resumed.generation)


async def test_what_was_built_is_not_built_again(model: ReadModel) -> None:
    store = Traffic(model, 1, customers=200, page=50).store
    asked = store.events[:]

    class Cut(EventStore):
        async def head(self) -> int:
            self.away = False
            return await super().head()

    store = Cut(asked, page=50)
    told: list[int] = []

    def cut(position: int, _: int) -> None:
        store.away = position >= 200

    with pytest.raises(FeedUnavailable):
        await rebuild(model, store, Applier(model, store), cut)
    building = (await model.generations()).building
    assert building is not None
    at = await come_to(model, building)
    assert at >= 200

    report = await rebuild(model, store, Applier(model, store), lambda position, _: told.append(position))
    assert (report.generation, report.resumed, told[0]) == (building, at, at)


async def test_afresh_drops_what_was_built(model: ReadModel, redis: Redis) -> None:
    store = Traffic(model, 1).store
    left = views.new_generation()
    await model.begin(left)
    report = await rebuilt(model, store, afresh=True)
    assert report.generation != left
    assert not await redis.exists(views.key(left, "lookup-key"))


@pytest.mark.parametrize("left", ["0-00000001", "3-00000001"])
async def test_what_another_release_or_another_key_has_left_is_not_gone_on_with(
    model: ReadModel, redis: Redis, left: str
) -> None:
    await redis.mset({views.BUILDING: left, views.key(left, "lookup-key"): "another"})
    assert (await rebuilt(model, Traffic(model, 1).store)).generation != left
    assert not await redis.exists(views.key(left, "lookup-key"))


async def test_an_event_store_that_knows_less_than_was_built_begins_anew(model: ReadModel, redis: Redis) -> None:
    left = views.new_generation()
    await model.begin(left)
    await redis.set(views.checkpoint_key(left), 10_000)
    assert (await rebuilt(model, Traffic(model, 1).store)).generation != left
