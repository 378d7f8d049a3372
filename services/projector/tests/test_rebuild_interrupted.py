"""A rebuild that is disturbed never switches to a generation that lacks something, and can be begun again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import cast
from uuid import UUID

import pytest
from customerflow_projector.feed import FeedUnavailable
from customerflow_projector.follow import GivenUp, RedisRestarted
from customerflow_projector.generations import LOCK, Moved, RebuildRunning
from customerflow_projector.read_model import Generations, ReadModel
from customerflow_shared import patience, views
from customerflow_shared.events import Place, Recorded
from redis.asyncio import Redis

from .builders import ANA, BRUNO, LOOKUPS, EventStore, folded, interleaved, renamings
from .steps import documents, rebuilt

HISTORY = interleaved(renamings(ANA, 20), renamings(BRUNO, 20))


class Disturbed(EventStore):
    """Something happens once, in the middle of its being read."""

    def __init__(self, disturb: Callable[[], Awaitable[object]]) -> None:
        super().__init__(HISTORY, page=10)
        self.disturb: Callable[[], Awaitable[object]] | None = disturb

    async def by_customer(self, after: UUID) -> AsyncIterator[tuple[int, list[Recorded | Place]]]:
        async for found in super().by_customer(after):
            yield found
            if self.disturb and found[1][-1].customer_id == ANA:
                disturb, self.disturb = self.disturb, None
                await disturb()


async def assert_complete(model: ReadModel) -> None:
    building = (await model.generations()).building
    assert building is None
    assert await documents(model) == folded(HISTORY)


async def test_a_second_rebuild_is_refused_while_one_runs(model: ReadModel) -> None:
    async def second() -> None:
        with pytest.raises(RebuildRunning):
            await rebuilt(model, EventStore(HISTORY))

    await rebuilt(model, Disturbed(second))
    await assert_complete(model)


async def test_a_rebuild_that_has_lost_its_lock_does_not_switch(model: ReadModel, redis: Redis) -> None:
    before = await rebuilt(model, EventStore(HISTORY))
    with pytest.raises(Moved):
        await rebuilt(model, Disturbed(lambda: redis.set(LOCK, "another")))
    assert (await model.generations())[0] == before.generation
    assert await redis.get(LOCK) == b"another"  # which is not ours to release


async def test_a_rebuild_that_was_suspended_while_another_was_made_finds_it_done(
    model: ReadModel, redis: Redis
) -> None:
    """If it gets its lock back: what it had built has been completed and switched to by the other."""
    by_the_other: list[Generations] = []

    async def suspended() -> None:
        holder = cast(bytes, await redis.get(LOCK)).decode()
        await redis.delete(LOCK)
        await rebuilt(model, EventStore(HISTORY))
        await model.hold(LOCK, holder, 15)
        by_the_other.append(await model.generations())

    await rebuilt(model, Disturbed(suspended))
    assert [await model.generations()] == by_the_other
    await assert_complete(model)


async def test_a_redis_that_is_emptied_on_the_way_is_not_switched(model: ReadModel, redis: Redis) -> None:
    with pytest.raises(GivenUp):
        await rebuilt(model, Disturbed(redis.flushdb))
    assert await model.generations() == (None, None, None)
    await rebuilt(model, EventStore(HISTORY))
    await assert_complete(model)


async def test_a_redis_that_is_restarted_on_the_way_is_not_switched(redis: Redis) -> None:
    """It may have come back without the last that was written to it."""

    class Restarted(ReadModel):
        async def run_id(self) -> str:
            return "that of the process before"

    model = Restarted(redis, LOOKUPS)
    with pytest.raises(RedisRestarted):
        await rebuilt(model, EventStore(HISTORY))
    assert (await model.generations())[0] is None
    assert await model.vouched() is None


async def test_a_cancelled_rebuild_can_be_begun_again(model: ReadModel, redis: Redis) -> None:
    reached = asyncio.Event()

    async def hang() -> None:
        reached.set()
        await asyncio.sleep(60)

    first = asyncio.create_task(rebuilt(model, Disturbed(hang)))
    await reached.wait()
    await patience.end(first, every=0.1)
    live, building, _ = await model.generations()
    assert (live, building is None) == (None, False)
    report = await rebuilt(model, EventStore(HISTORY))
    await assert_complete(model)
    assert {key.decode().split(":")[1] async for key in redis.scan_iter("cf:*:*")} == {report.generation}


async def test_a_killed_rebuild_can_be_begun_again_once_its_lock_is_free(model: ReadModel, redis: Redis) -> None:
    await model.hold(LOCK, "killed", 0.05)
    await model.begin(views.new_generation())
    with pytest.raises(RebuildRunning):
        await rebuilt(model, EventStore(HISTORY))
    await asyncio.sleep(0.1)
    await rebuilt(model, EventStore(HISTORY))
    await assert_complete(model)


async def test_rebuilds_that_fail_again_and_again_do_not_fill_redis(model: ReadModel, redis: Redis) -> None:
    async def cut() -> None:
        raise FeedUnavailable

    for _ in range(5):
        with pytest.raises(FeedUnavailable):
            await rebuilt(model, Disturbed(cut), afresh=True)
    assert len([key async for key in redis.scan_iter("cf:*:customer:*")]) <= 2


async def test_a_long_rebuild_keeps_its_lock_though_redis_misses_a_beat(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hiccup(ReadModel):
        held = 0

        async def hold(self, lock: str, holder: str, seconds: float) -> bool:
            self.held += 1
            if self.held == 2:
                raise TimeoutError
            return await super().hold(lock, holder, seconds)

    monkeypatch.setattr("customerflow_projector.generations.LOCK_SECONDS", 0.3)
    model = Hiccup(redis, LOOKUPS)
    await rebuilt(model, Disturbed(lambda: asyncio.sleep(0.6)))
    await assert_complete(model)
    assert model.held > 5


async def test_a_rebuild_ends_though_a_cancellation_is_swallowed(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """As asyncio.wait_for does on Python 3.11, which redis-py uses."""

    class Swallowing(ReadModel):
        held = swallowed = 0

        async def hold(self, lock: str, holder: str, seconds: float) -> bool:
            self.held += 1
            try:
                await asyncio.sleep(0 if self.held == 1 else 30)  # renewing takes until it is cancelled
            except asyncio.CancelledError:
                self.swallowed += 1
                if self.swallowed > 1:
                    raise
            return await super().hold(lock, holder, 15)

    monkeypatch.setattr("customerflow_projector.generations.LOCK_SECONDS", 0.01)
    model = Swallowing(redis, LOOKUPS)
    async with asyncio.timeout(5):
        await rebuilt(model, Disturbed(lambda: asyncio.sleep(0.05)))
    assert model.swallowed
    await assert_complete(model)
