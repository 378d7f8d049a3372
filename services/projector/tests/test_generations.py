"""Checkpoints, locks and generations: what moves only forward, and only by whoever may move it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from customerflow_projector import generations
from customerflow_projector.generations import LOCK, SCAN_PAGE, Behind, Moved, scan
from customerflow_projector.read_model import ReadModel
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


async def switch_to(model: ReadModel, generation: str, holder: str, **options: Any) -> None:
    live = (await model.generations()).live
    await generations.switch(model, views.BUILDING, generation, live, holder=holder, **options)


async def test_only_the_holder_of_the_lock_switches(model: ReadModel, redis: Redis) -> None:
    await redis.set(views.LIVE, OLD)
    await model.begin(NEW)
    assert await model.generations() == (OLD, NEW, None)
    with pytest.raises(Moved):
        await switch_to(model, NEW, "one")
    await model.hold(LOCK, "two", 10)
    with pytest.raises(Moved):
        await switch_to(model, NEW, "one")
    assert await model.generations() == (OLD, NEW, None)
    await switch_to(model, NEW, "two")
    assert await model.generations() == (NEW, None, None)


async def test_a_switch_whose_answer_was_lost_can_be_asked_for_again(model: ReadModel, redis: Redis) -> None:
    await redis.set(views.LIVE, OLD)
    await model.hold(LOCK, "one", 10)
    await model.begin(NEW)
    for _ in range(2):
        await generations.switch(model, views.BUILDING, NEW, OLD, holder="one", keep=10)
        assert await model.generations() == (NEW, None, OLD)
    for _ in range(2):
        await generations.switch(model, views.PREVIOUS, OLD, NEW, holder="one", keep=10)
        assert await model.generations() == (OLD, None, NEW)


async def test_a_command_whose_connection_is_cut_is_sent_again(redis: Redis, cf_redis_url: str) -> None:
    connection = await redis.client_id()  # of the one in the pool
    waiting = asyncio.ensure_future(redis.blpop(["late"], timeout=3))
    async with Redis.from_url(cf_redis_url) as other:
        while str(connection) not in {one["id"] for one in await other.client_list() if one["cmd"] == "blpop"}:
            await asyncio.sleep(0.01)
        await other.client_kill_filter(_id=str(connection))
        await asyncio.sleep(0.1)
        await other.rpush("late", "come")
    assert await waiting == (b"late", b"come")


async def test_a_generation_that_is_no_longer_being_built_is_not_switched_to(model: ReadModel) -> None:
    """Its builder was suspended, and another has built meanwhile and dropped what it found."""
    await model.hold(LOCK, "one", 10)
    await model.begin(OLD)
    await model.begin(NEW)
    with pytest.raises(Moved):
        await switch_to(model, OLD, "one")
    await switch_to(model, NEW, "one")
    with pytest.raises(Moved):
        await switch_to(model, OLD, "one")
    assert await model.generations() == (NEW, None, None)


async def test_who_has_read_a_position_is_not_thrown_back_by_a_switch(model: ReadModel, redis: Redis) -> None:
    await redis.mset({views.LIVE: OLD, views.key(OLD, "applied"): "100 5", views.key(NEW, "applied"): "99 5"})
    await model.hold(LOCK, "one", 10)
    await model.begin(NEW)
    with pytest.raises(Behind):
        await switch_to(model, NEW, "one")
    assert await model.generations() == (OLD, NEW, None)
    await redis.set(views.key(NEW, "applied"), "100 5")
    await switch_to(model, NEW, "one")
    assert await model.generations() == (NEW, None, None)


async def test_a_switch_is_told_to_those_who_wait_for_a_position(model: ReadModel, redis: Redis) -> None:
    await model.hold(LOCK, "one", 10)
    await model.begin(NEW)
    await redis.set(views.key(NEW, "applied"), "7 5")
    async with redis.pubsub() as listening:
        await listening.subscribe(views.CHANGED)
        await listening.get_message(timeout=1)
        await switch_to(model, NEW, "one")
        assert (await listening.get_message(timeout=1) or {})["data"] == b"7"


async def test_what_was_live_is_the_way_back_until_its_time_is_over(model: ReadModel, redis: Redis) -> None:
    await redis.set(views.LIVE, OLD)
    await model.hold(LOCK, "one", 10)
    await model.begin(NEW)
    await switch_to(model, NEW, "one", keep=0.1)
    assert await model.generations() == (NEW, None, OLD)
    await asyncio.sleep(0.12)
    assert await model.generations() == (NEW, None, None)


async def test_sweeping_removes_only_what_is_no_longer_needed(model: ReadModel, redis: Redis) -> None:
    previous, stale = "1-00000004", "1-00000005"
    await redis.mset({views.LIVE: OLD, views.BUILDING: NEW, views.PREVIOUS: previous})
    kept = [views.LIVE, views.BUILDING, views.PREVIOUS, views.VOUCHED, "cf:rebuild", "cf:keeper", "customers"]
    kept += ["other:cf:1-00000001:x", views.customer_key(previous, ANA)]
    kept += [views.customer_key(OLD, ANA), views.checkpoint_key(OLD), views.customer_key(NEW, ANA)]
    dropped = [views.customer_key(OTHER, ANA), views.parked_key(OTHER), views.checkpoint_key("2-00000001")]
    dropped += [views.customer_key(stale, number) for number in map(str, range(3000))]
    await redis.mset(dict.fromkeys([*kept[3:], *dropped], "1"))
    assert await generations.sweep(model) == len(dropped)
    assert {key.decode() async for key in redis.scan_iter()} == set(kept)


async def test_a_generation_that_is_begun_while_others_are_swept_stays(
    model: ReadModel, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await redis.mset({views.LIVE: OLD, views.customer_key(OTHER, ANA): "1"})

    async def late(*_: object) -> AsyncIterator[list[str]]:
        await model.begin(NEW)
        yield [views.key(NEW, "lookup-key"), views.customer_key(OTHER, ANA)]

    monkeypatch.setattr(generations, "scan", late)
    assert await generations.sweep(model) == 1
    assert await redis.exists(views.key(NEW, "lookup-key"))


async def test_all_keys_are_found_over_many_pages(model: ReadModel, redis: Redis) -> None:
    written = {views.customer_key(NEW, UUID(int=number)) for number in range(SCAN_PAGE * 2 + 100)}
    await redis.mset(dict.fromkeys(written, "1"))
    await redis.mset({views.customer_key(OLD, UUID(int=number)): "1" for number in range(10)})
    pages = [page async for page in scan(redis, views.customer_key(NEW, "*"))]
    assert {key for page in pages for key in page} == written
    assert len(pages) > 1


async def test_a_parked_customer_is_listed_until_it_is_unparked(model: ReadModel) -> None:
    await model.park(NEW, ANA, ENTRY)
    assert await model.parked(NEW) == {ANA: ENTRY}
    assert (await model.look(NEW, [BRUNO, ANA])).parked == {ANA: ENTRY}
    assert await model.parked(OLD) == {}
    assert await model.unpark(NEW, ANA, ENTRY)
    assert await model.parked(NEW) == {}


async def test_an_entry_that_has_changed_is_not_removed(model: ReadModel) -> None:
    await model.park(NEW, ANA, replace(ENTRY, passed_over=3))
    assert not await model.unpark(NEW, ANA, ENTRY)
    assert await model.parked(NEW) == {ANA: replace(ENTRY, passed_over=3)}
    assert await model.unpark(NEW, BRUNO, ENTRY)
