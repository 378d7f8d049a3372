"""A read that meets the end of its generation, or of its Redis, is made anew; half of one is never shown."""

import asyncio
from typing import Any, cast

import httpx
import pytest
from customerflow_query.api import freshness
from customerflow_query.read_model import ATTEMPTS, Freshness, PositionNotReached, ReadModel, Rebuilding, Vanished
from customerflow_shared import views
from customerflow_shared.problems import Problem
from redis.asyncio import Redis

from .builders import ANA, BRUNO, GENERATION, NEXT, customer, progress, publish
from .lives import life, store


class Questioned:
    """Redis, with the times counted that it was asked who it is; it may be made to lie."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.asked = 0
        self.run_id: str | None = None

    async def info(self, section: str) -> Any:
        self.asked += 1
        found = await self.redis.info(section)
        return found if self.run_id is None else {"run_id": self.run_id}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.redis, name)


def questioned(redis: Redis) -> tuple[ReadModel, Questioned]:
    asking: Any = Questioned(redis)
    return ReadModel(asking), asking


async def nothing(_: str) -> None:
    pass


async def test_what_is_found_comes_with_how_fresh_it_is(redis: Redis, model: ReadModel) -> None:
    await publish(redis, customer())
    await progress(redis, 17, recorded=5_000)

    async def look(generation: str) -> list[views.Stored]:
        assert generation == GENERATION
        await progress(redis, 18, recorded=6_000)  # too late to be counted on
        return await model.documents(generation, [ANA])

    assert await model.read(look) == ([views.split(views.pack(customer()))], Freshness(17, 5_000))
    assert await model.documents(GENERATION, []) == []


async def test_a_switch_in_the_middle_is_seen(redis: Redis, model: ReadModel) -> None:
    await publish(redis, customer())
    seen = []

    async def look(generation: str) -> str:
        seen.append(generation)
        await publish(redis, customer(), generation=NEXT)
        return generation

    assert (await model.read(look)).value == NEXT
    assert seen == [GENERATION, NEXT]


async def test_who_changes_all_the_time_is_given_up(redis: Redis, model: ReadModel) -> None:
    await publish(redis, customer())
    looks = 0

    async def look(_: str) -> None:
        nonlocal looks
        looks += 1
        await publish(redis, customer(), generation=f"{views.SCHEMA}-{looks + 1:08}")

    with pytest.raises(Rebuilding):
        await model.read(look)
    assert looks == ATTEMPTS


@pytest.mark.parametrize("lost", [[views.LIVE], [views.VOUCHED], [views.LIVE, views.VOUCHED], None])
async def test_what_is_lost_in_the_middle_is_not_overlooked(
    redis: Redis, model: ReadModel, lost: list[str] | None
) -> None:
    await publish(redis, customer())

    async def look(_: str) -> None:
        await (redis.flushdb() if lost is None else redis.delete(*lost))

    with pytest.raises(Rebuilding):
        await model.read(look)


async def test_a_document_that_is_not_there_is_looked_for_again(redis: Redis, model: ReadModel) -> None:
    await publish(redis, customer())
    looks = 0

    async def look(generation: str) -> list[views.Stored]:
        nonlocal looks
        looks += 1
        if looks == 2:
            await publish(redis, customer(BRUNO))
        return await model.documents(generation, [ANA, BRUNO])

    assert len((await model.read(look)).value) == 2
    assert looks == 2
    with pytest.raises(Vanished):
        await model.documents(NEXT, [ANA])
    with pytest.raises(Rebuilding):
        await model.read(lambda _: model.documents(NEXT, [ANA]))


async def test_a_problem_is_as_well_founded_as_an_answer(redis: Redis, model: ReadModel) -> None:
    await publish(redis, customer(BRUNO))

    async def look(generation: str) -> str:
        if generation == NEXT:
            return "found"
        await publish(redis, customer(), generation=NEXT)
        raise Problem("customer-not-found", "No customer has this id.")

    assert (await freshness.read(model, freshness.ANYTHING, look)).value == "found"

    async def missed(_: str) -> str:
        raise Problem("customer-not-found", "No customer has this id.")

    await progress(redis, 17, recorded=5_000, generation=NEXT)
    with pytest.raises(Problem) as caught:
        await freshness.read(model, freshness.ANYTHING, missed)
    assert caught.value.headers["CustomerFlow-Position"] == "17"


@pytest.mark.parametrize("schema", [int(views.SCHEMA) - 1, int(views.SCHEMA) + 1])
async def test_a_generation_of_another_schema_is_not_read(redis: Redis, model: ReadModel, schema: int) -> None:
    await publish(redis, customer(), generation=f"{schema}-00000001")
    with pytest.raises(Rebuilding):
        await model.read(nothing)


async def test_the_process_is_asked_who_it_is_once(redis: Redis) -> None:
    await publish(redis, customer())
    model, asking = questioned(redis)
    for _ in range(20):
        await model.read(nothing)
    assert asking.asked == 1
    await asyncio.gather(*(model.read(nothing) for _ in range(20)))  # makes connections
    settled = asking.asked
    await model.read(nothing)
    await model.read(nothing)
    assert asking.asked <= settled + 1


async def test_a_new_connection_may_lead_to_another_process(redis: Redis) -> None:
    await publish(redis, customer())
    model, asking = questioned(redis)
    await model.read(nothing)
    await redis.connection_pool.disconnect()
    await model.read(nothing)
    assert asking.asked == 2
    asking.run_id = "restarted"
    await model.read(nothing)  # over a connection that was there before
    await redis.connection_pool.disconnect()
    with pytest.raises(Rebuilding):
        await model.read(nothing)
    asked = asking.asked
    with pytest.raises(Rebuilding):
        await model.read(nothing)  # and again, until it is vouched for
    assert asking.asked > asked
    await redis.set(views.VOUCHED, "restarted")
    await model.read(nothing)


async def test_a_restart_in_the_middle_is_seen(redis: Redis) -> None:
    await publish(redis, customer())
    model, asking = questioned(redis)

    async def look(_: str) -> None:
        asking.run_id = "restarted"
        await redis.connection_pool.disconnect()

    with pytest.raises(Rebuilding):
        await model.read(look)


async def test_what_was_healed_in_the_middle_is_read_again(redis: Redis) -> None:
    """The projector completes a restarted Redis and vouches for it while a read is on its way."""
    await redis.mset({views.LIVE: GENERATION, views.VOUCHED: "the process before"})
    model, _ = questioned(redis)
    seen = []

    async def look(generation: str) -> bool:
        seen.append(await redis.exists(views.customer_key(generation, ANA)))
        await publish(redis, customer())
        return bool(seen[-1])

    assert (await model.read(look)).value
    assert seen == [0, 1]


async def test_a_position_that_is_not_reached_is_told(redis: Redis, model: ReadModel) -> None:
    await publish(redis, customer())
    await progress(redis, 17, recorded=5_000)
    with pytest.raises(PositionNotReached) as caught:
        await model.read(nothing, position=18, wait=0.05)
    assert caught.value.freshness == Freshness(17, 5_000)


async def test_no_answer_is_half_of_one_while_generations_come_and_go(queries: httpx.AsyncClient, redis: Redis) -> None:
    lived = life(130)
    await store(redis, lived)
    path = f"/v1/customers/{ANA}"

    async def switch() -> None:
        for number in range(2, 30):  # the one that is live is the first
            new = f"{views.SCHEMA}-{number:08}"
            old = cast(bytes, await redis.get(views.LIVE)).decode()
            await store(redis, lived, generation=new)
            await redis.delete(*(key(old, ANA) for key in (views.customer_key, views.timeline_key, views.blocks_key)))
            await asyncio.sleep(0.05)

    switching = asyncio.create_task(switch())
    answers = 0
    while not switching.done():
        for route, expected in (("?atVersion=100", 1), ("/timeline?limit=200", 130), ("/diff?from=0&to=64", 1)):
            response = await queries.get(path + route)
            if response.status_code == 503:  # a machine so slow that three of them have gone by
                assert response.json()["code"] == "rebuilding"
                continue
            assert response.status_code == 200, response.text
            assert len(response.json().get("data", [0])) == expected
            answers += 1
    await switching
    assert answers > 10
