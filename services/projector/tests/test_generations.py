"""Checkpoints, locks and generations: what moves only forward, and only by whoever may move it."""

import asyncio
from uuid import UUID

from customerflow_projector.read_model import SCAN_PAGE, ReadModel, Write
from customerflow_shared import views
from msgspec.structs import replace
from redis.asyncio import Redis

from .builders import ANA, BRUNO, ENTRY

OLD, NEW, OTHER = "1-00000001", "1-00000002", "1-00000003"


async def test_a_checkpoint_only_grows(model: ReadModel) -> None:
    assert await model.checkpoint(NEW) == 0
    for position, expected in [(5, 5), (3, 5), (5, 5), (40, 40), (9, 40)]:
        assert await model.advance(NEW, position, await model.run_id())
        assert await model.checkpoint(NEW) == expected
    assert await model.checkpoint(OTHER) == 0


async def test_a_checkpoint_is_of_one_redis_process(model: ReadModel) -> None:
    assert not await model.advance(NEW, 5, "that of the process before")
    assert await model.checkpoint(NEW) == 0


async def test_a_lock_has_one_holder_until_it_is_released(model: ReadModel) -> None:
    assert await model.hold("cf:lock", "one", 10)
    assert not await model.hold("cf:lock", "two", 10)
    assert await model.hold("cf:lock", "one", 10)
    await model.release("cf:lock", "two")
    assert not await model.hold("cf:lock", "two", 10)
    await model.release("cf:lock", "one")
    assert await model.hold("cf:lock", "two", 10)


async def test_a_lock_that_is_not_renewed_is_free_again(model: ReadModel) -> None:
    assert await model.hold("cf:lock", "one", 0.05)
    await asyncio.sleep(0.1)
    assert await model.hold("cf:lock", "two", 10)


async def test_only_the_holder_of_the_lock_switches(model: ReadModel, redis: Redis) -> None:
    await redis.set(views.LIVE, OLD)
    await model.begin(NEW)
    assert await model.generations() == (OLD, NEW, None)
    assert not await model.switch(NEW, "cf:lock", "one")
    await model.hold("cf:lock", "two", 10)
    assert not await model.switch(NEW, "cf:lock", "one")
    assert await model.generations() == (OLD, NEW, None)
    assert await model.switch(NEW, "cf:lock", "two")
    assert await model.generations() == (NEW, None, None)


async def test_a_generation_that_is_no_longer_being_built_is_not_switched_to(model: ReadModel) -> None:
    """Its builder was suspended, and another has built meanwhile and dropped what it found."""
    await model.hold("cf:lock", "one", 10)
    await model.begin(OLD)
    await model.begin(NEW)
    assert not await model.switch(OLD, "cf:lock", "one")
    assert await model.switch(NEW, "cf:lock", "one")
    assert not await model.switch(OLD, "cf:lock", "one")
    assert await model.generations() == (NEW, None, None)


async def test_giving_up_concerns_only_the_generation_being_built(model: ReadModel, redis: Redis) -> None:
    await redis.set(views.LIVE, OLD)
    await model.begin(NEW)
    await model.give_up(OLD)
    assert await model.generations() == (OLD, NEW, None)
    await model.give_up(NEW)
    assert await model.generations() == (OLD, None, None)


async def test_dropping_removes_only_other_generations(model: ReadModel, redis: Redis) -> None:
    kept = [views.LIVE, views.BUILDING, views.VOUCHED, "cf:rebuild", "cf:keeper", "customers", "other:cf:1-00000001:x"]
    kept += [views.customer_key(OLD, ANA), views.checkpoint_key(OLD), views.customer_key(NEW, ANA)]
    dropped = [views.customer_key(OTHER, ANA), views.parked_key(OTHER), views.checkpoint_key("2-00000001")]
    await redis.mset(dict.fromkeys([*kept, *dropped], "1"))
    await model.drop_all_but(OLD, NEW)
    assert {key.decode() async for key in redis.scan_iter()} == set(kept)


async def test_all_documents_are_found_over_many_pages(model: ReadModel, redis: Redis) -> None:
    writes = [Write(UUID(int=number), 0, b"1\n%d" % number) for number in range(SCAN_PAGE * 2 + 100)]
    await model.store(NEW, writes)
    await model.store(OLD, writes[:10])
    await model.advance(NEW, 1, await model.run_id())
    found: dict[UUID, bytes] = {}
    pages = 0
    async for page in model.documents(NEW):
        found |= page
        pages += 1
    assert found == {write.customer_id: write.stored for write in writes}
    assert pages > 1
    await model.drop_all_but(OLD)
    assert await redis.dbsize() == 10


async def test_a_parked_customer_is_listed_until_it_is_unparked(model: ReadModel) -> None:
    await model.park(NEW, ANA, ENTRY)
    assert await model.parked(NEW) == {ANA: ENTRY}
    assert await model.parked_among(NEW, [BRUNO, ANA]) == {ANA: ENTRY}
    assert await model.parked(OLD) == {}
    assert await model.unpark(NEW, ANA, ENTRY)
    assert await model.parked(NEW) == {}


async def test_an_entry_that_has_changed_is_not_removed(model: ReadModel) -> None:
    await model.park(NEW, ANA, replace(ENTRY, passed_over=3))
    assert not await model.unpark(NEW, ANA, ENTRY)
    assert await model.parked(NEW) == {ANA: replace(ENTRY, passed_over=3)}
    assert await model.unpark(NEW, BRUNO, ENTRY)
