"""Reads of one turn of the event loop are one command, and never answer what is not known for sure."""

import asyncio
import random
import time
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from customerflow_query import read_model
from customerflow_query.read_model import Freshness, ReadModel, ReadModelUnavailable, Rebuilding
from customerflow_query.reader import LARGEST_FETCH, Reader
from customerflow_shared import views
from customerflow_shared.views import Stored
from redis.asyncio import Redis

from .builders import ANA, BRUNO, GENERATION, NEXT, NOBODY, customer, erased, progress, publish, silent_server


def found(customer_id: UUID = ANA, *, version: int = 7, name: str = "Ana Souza") -> Stored:
    return views.split(views.pack(customer(customer_id, version=version, name=name)))


class Counted:
    """Redis, with its multiple reads counted."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.mgets = 0
        self.delay = 0.0

    async def mget(self, *keys: str) -> Any:
        self.mgets += 1
        await asyncio.sleep(self.delay)
        return await self.redis.mget(*keys)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.redis, name)


class Documents:
    """What a reader reads, without how fresh it is."""

    def __init__(self, redis: Redis) -> None:
        self.reader = Reader(ReadModel(redis))

    async def read(self, customer_id: UUID) -> Stored | None:
        return (await self.reader.read(customer_id)).value


def counted(redis: Redis) -> tuple[Documents, Counted]:
    counting: Any = Counted(redis)
    return Documents(counting), counting


async def test_a_customer_is_read_as_it_is_stored(redis: Redis) -> None:
    await publish(redis, customer())
    assert await Documents(redis).read(ANA) == found()


async def test_that_a_customer_is_erased_is_seen_without_reading_the_document(redis: Redis) -> None:
    await publish(redis, customer(), erased(BRUNO))
    ana, bruno = await asyncio.gather(*map(Documents(redis).read, [ANA, BRUNO]))
    assert ana == found()
    assert bruno == views.split(views.pack(erased(BRUNO)))
    assert bruno
    assert (bruno.version, bruno.erased) == (8, True)


async def test_a_customer_that_does_not_exist_is_none(redis: Redis) -> None:
    await publish(redis, customer())
    assert await Documents(redis).read(NOBODY) is None


async def test_all_reads_of_one_turn_are_one_command(redis: Redis) -> None:
    many = [UUID(int=number) for number in range(100)]
    await publish(redis, *map(customer, many))
    it, counting = counted(redis)
    await it.read(many[0])  # learns the generation
    counting.mgets = 0
    wanted = many * 5
    assert await asyncio.gather(*map(it.read, wanted)) == [found(one) for one in wanted]
    assert counting.mgets == 1


async def test_more_than_the_largest_fetch_are_a_few_commands(redis: Redis) -> None:
    many = [UUID(int=number) for number in range(LARGEST_FETCH * 2 + 1)]
    await publish(redis, *map(customer, many))
    it, counting = counted(redis)
    await it.read(many[0])
    counting.mgets = 0
    assert await asyncio.gather(*map(it.read, many)) == [found(one) for one in many]
    assert counting.mgets == 3


async def test_what_is_asked_for_while_redis_is_busy_goes_with_the_next_command(redis: Redis) -> None:
    """However many turns ask: no read waits for a connection, and none is lost."""
    many = [UUID(int=number) for number in range(400)]
    await publish(redis, *map(customer, many))
    it, counting = counted(redis)
    await it.read(many[0])  # learns the generation
    counting.mgets, counting.delay = 0, 0.05

    async def in_a_turn_of_its_own(number: int) -> Stored | None:
        await asyncio.sleep(number * 0.0005)
        return await it.read(many[number])

    assert await asyncio.gather(*map(in_a_turn_of_its_own, range(400))) == [found(one) for one in many]
    assert counting.mgets <= 40


async def test_a_switch_of_the_generation_is_seen_at_once(redis: Redis) -> None:
    it = Documents(redis)
    await publish(redis, customer(version=7))
    assert await it.read(ANA) == found(version=7)
    await publish(redis, customer(version=8), generation=NEXT)
    await redis.delete(views.customer_key(GENERATION, ANA))
    assert await it.read(ANA) == found(version=8)


async def test_without_a_live_generation_nothing_is_answered(redis: Redis) -> None:
    it = Documents(redis)
    with pytest.raises(Rebuilding):
        await it.read(ANA)
    with pytest.raises(Rebuilding):
        await ReadModel(redis).check()
    await publish(redis, customer())
    await ReadModel(redis).check()
    await redis.flushdb()
    with pytest.raises(Rebuilding):
        await it.read(ANA)


@pytest.mark.parametrize("vouched", ["the process before", None])
async def test_a_restarted_redis_shows_what_it_has_and_denies_nothing(redis: Redis, vouched: str | None) -> None:
    await publish(redis, customer())
    if vouched:
        await redis.set(views.VOUCHED, vouched)
    else:
        await redis.delete(views.VOUCHED)
    it = Documents(redis)
    with pytest.raises(Rebuilding):
        await it.read(NOBODY)
    assert await it.read(ANA) == found()
    mixed = await asyncio.gather(it.read(ANA), it.read(NOBODY), return_exceptions=True)
    assert mixed[0] == found()
    assert isinstance(mixed[1], Rebuilding)


async def test_a_restarted_redis_is_not_believed_how_far_it_has_come(redis: Redis) -> None:
    """What was marked as applied after the restart may follow what was lost by it."""
    await publish(redis, customer())
    await redis.set(views.key(GENERATION, "applied"), "7 1795348801005")
    it = Reader(read_model.ReadModel(redis))
    assert (await it.read(ANA)).freshness == (7, 1795348801005)
    await redis.set(views.VOUCHED, "the process before")
    assert (await it.read(ANA)).freshness == read_model.UNKNOWN


async def test_a_customer_restored_right_after_it_was_missed_is_not_denied(redis: Redis) -> None:
    """The projector completes a restarted Redis, and vouches for it, after the miss and before it is judged."""

    class Healing(Counted):
        async def mget(self, *keys: str) -> Any:
            answer = await super().mget(*keys)
            if self.mgets == 2:
                await publish(redis, customer())
            return answer

    await redis.mset({views.LIVE: GENERATION, views.VOUCHED: "the process before"})
    healing: Any = Healing(redis)
    with pytest.raises(Rebuilding):
        await Documents(healing).read(ANA)
    assert await Documents(redis).read(ANA) == found()


async def test_a_server_that_is_away_is_said_to_be(cf_redis_url: str) -> None:
    client = read_model.connect("redis://127.0.0.1:9/0")
    began = time.monotonic()
    with pytest.raises(ReadModelUnavailable, match="ConnectionError"):
        await Documents(client).read(ANA)
    assert time.monotonic() - began < 1
    await client.aclose()


async def test_a_silent_server_is_given_up_within_five_seconds() -> None:
    async with silent_server() as url:
        client = read_model.connect(url)
        began = time.monotonic()
        answers = await asyncio.gather(*(Documents(client).read(ANA) for _ in range(20)), return_exceptions=True)
        assert time.monotonic() - began < 5
        assert all(isinstance(answer, ReadModelUnavailable) for answer in answers)
        await client.aclose()


async def test_whatever_goes_wrong_whoever_asked_is_told(redis: Redis) -> None:
    await publish(redis, customer())
    await redis.set(views.customer_key(GENERATION, BRUNO), b"not what the projector writes")
    it = Documents(redis)
    with pytest.raises(ValueError, match="invalid literal"):
        await it.read(BRUNO)
    assert await it.read(ANA) == found()


async def test_what_is_fetched_together_is_equally_fresh(redis: Redis) -> None:
    await publish(redis, customer(), customer(BRUNO))
    await progress(redis, 17, recorded=5_000, checked=7_000)
    it = Reader(ReadModel(redis))
    ana, nobody = await asyncio.gather(it.read(ANA), it.read(NOBODY))
    assert ana.freshness is nobody.freshness
    assert ana.freshness == Freshness(17, 7_000)
    await progress(redis, 18, recorded=8_000)
    assert (await it.read(BRUNO)).freshness == Freshness(18, 8_000)


@pytest.mark.parametrize("schema", [int(views.SCHEMA) - 1, int(views.SCHEMA) + 1])
async def test_a_generation_of_another_schema_is_not_read(redis: Redis, schema: int) -> None:
    await publish(redis, customer(), generation=f"{schema}-00000001")
    with pytest.raises(Rebuilding):
        await Documents(redis).read(ANA)
    with pytest.raises(Rebuilding):
        await ReadModel(redis).check()


async def test_who_gives_up_does_not_take_the_answer_from_others(redis: Redis) -> None:
    await publish(redis, customer())
    it = Documents(redis)
    first, second = asyncio.create_task(it.read(ANA)), asyncio.create_task(it.read(ANA))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == found()
    assert first.cancelled()


async def test_an_error_that_nobody_waits_for_any_more_is_forgotten() -> None:
    client = read_model.connect("redis://127.0.0.1:9/0")
    alone = asyncio.create_task(Documents(client).read(ANA))
    await asyncio.sleep(0)
    alone.cancel()
    await asyncio.sleep(0.3)  # warnings about exceptions never retrieved are errors here
    assert alone.cancelled()
    await client.aclose()


async def test_thousands_of_cancelled_reads_give_nobody_anothers_answer(redis: Redis) -> None:
    many = [UUID(int=number) for number in range(200)]
    await publish(redis, *map(customer, many))
    it = Documents(redis)
    chance = random.Random(0)

    async def impatient(one: UUID) -> None:
        task = asyncio.create_task(it.read(one))
        await asyncio.sleep(chance.random() / 500)
        if chance.random() < 0.5:
            task.cancel()
        with suppress(asyncio.CancelledError):
            assert await task == found(one)

    for _ in range(10):
        await asyncio.gather(*(impatient(one) for one in many))
