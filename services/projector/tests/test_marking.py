"""How far the read model has come: marked by who has applied something, in any order, and told to who listens."""

import random
from collections.abc import Sequence
from itertools import permutations

import pytest
from customerflow_projector import read_model
from customerflow_projector.read_model import ReadModel, Write
from customerflow_shared import views
from customerflow_shared.events import Place, Recorded
from msgspec.structs import replace
from redis.asyncio import Redis

from .builders import ANA, BEGINNING, BRUNO, interleaved, renamings, unknown
from .given_when_then import ACTIVE
from .steps import dump

GENERATION = f"{views.SCHEMA}-00000001"
HISTORY = interleaved(renamings(ANA, 10), renamings(BRUNO, 10))


def milliseconds(version: int) -> int:
    """When it was recorded."""
    return round(BEGINNING.timestamp() * 1000) + 1000 * version


async def marked(model: ReadModel, *positions: int, of: Sequence[Recorded | Place] = HISTORY) -> int:
    await model.mark(GENERATION, [of[position - 1] for position in positions])
    return (await model.applied(GENERATION))[0]


async def test_nothing_is_applied_at_first(model: ReadModel) -> None:
    assert await model.applied(GENERATION) == (0, 0)


async def test_what_is_next_is_applied_and_what_is_not_waits_for_its_turn(model: ReadModel, redis: Redis) -> None:
    assert await marked(model, 1, 2) == 2
    assert await marked(model, 6, 4) == 2
    assert await redis.zrange(views.key(GENERATION, "handled"), 0, -1) == [
        b"4 %d" % milliseconds(2),
        b"6 %d" % milliseconds(3),
    ]
    assert await marked(model, 8, 3) == 4
    assert await marked(model, 5) == 6
    assert await marked(model, 7) == 8
    assert not await redis.exists(views.key(GENERATION, "handled"))


async def test_what_has_waited_is_taken_in_portions_for_redis_to_answer_between(
    model: ReadModel, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_model, "TAKEN_AT_ONCE", 3)
    await marked(model, *range(2, 15))
    assert await marked(model, 1) == 4
    assert [await marked(model, one, one + 1) for one in range(1, 20, 2)][-1] == 20
    assert not await redis.exists(views.key(GENERATION, "handled"))


async def test_what_was_applied_before_changes_nothing(model: ReadModel, redis: Redis) -> None:
    await marked(model, 1, 2, 4, 5)
    before = await dump(redis, GENERATION)
    assert await marked(model, 2, 1, 5, 2) == 2
    assert await dump(redis, GENERATION) == before
    assert await marked(model, 3, 2) == 5


@pytest.mark.parametrize("order", list(permutations(range(1, 5))))
async def test_any_order_leaves_the_same(model: ReadModel, redis: Redis, order: Sequence[int]) -> None:
    for position in order:
        await marked(model, position)
    found = await dump(redis, GENERATION)
    assert found.keys() == {"applied", "changes"}
    assert found["applied"] == b"4 %d" % milliseconds(2)


async def test_the_time_never_runs_back(model: ReadModel) -> None:
    """Of two commands the one that began first may be the last to be written down."""
    late, early = HISTORY[0], replace(HISTORY[1], recorded_at=BEGINNING)
    await model.mark(GENERATION, [late])
    await model.mark(GENERATION, [early])
    assert await model.applied(GENERATION) == (2, milliseconds(1))


async def test_an_event_that_is_not_known_is_passed_without_a_line(model: ReadModel, redis: Redis) -> None:
    history: list[Recorded | Place] = [HISTORY[0], unknown(HISTORY[1]), HISTORY[2]]
    assert await marked(model, 3, 2, 1, of=history) == 3
    assert await model.applied(GENERATION) == (3, milliseconds(2))
    assert await redis.zcard(views.key(GENERATION, "changes")) == 2


async def test_a_line_tells_that_something_happened_and_nothing_of_what(model: ReadModel, redis: Redis) -> None:
    await marked(model, 3)
    assert await redis.zrange(views.key(GENERATION, "changes"), 0, -1, withscores=True) == [
        (
            b'{"position":3,"customerId":"00000000-0000-0000-0000-00000000000a","version":2,'
            b'"type":"CustomerProfileChanged","recordedAt":"2026-11-22T12:00:02.005Z"}',
            3,
        )
    ]


@pytest.mark.parametrize("seed", range(5))
async def test_the_newest_lines_are_kept_however_they_came(
    model: ReadModel, redis: Redis, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(views, "CHANGES_KEPT", 7)
    positions = list(range(1, 21)) * 2
    random.Random(seed).shuffle(positions)
    for position in positions:
        await marked(model, position)
    lines = await redis.zrange(views.key(GENERATION, "changes"), 0, -1, withscores=True)
    assert [one[1] for one in lines] == list(range(14, 21))


async def test_who_listens_is_told_when_the_live_generation_has_moved(model: ReadModel, redis: Redis) -> None:
    async with redis.pubsub(ignore_subscribe_messages=True) as listening:
        await listening.subscribe(views.CHANGED)
        await marked(model, 1)  # not live
        await redis.set(views.LIVE, GENERATION)
        await marked(model, 3)  # not moved
        await marked(model, 2)
        told = [await listening.get_message(timeout=0.3) for _ in range(3)]
    assert [message["data"] for message in told if message] == [b"3"]


async def test_generations_are_marked_each_for_itself(model: ReadModel) -> None:
    await marked(model, 1)
    assert await model.applied(views.new_generation()) == (0, 0)


async def test_when_everything_was_seen_is_kept(model: ReadModel, redis: Redis) -> None:
    await model.saw_everything(GENERATION, 1_795_000_000_000)
    assert await redis.get(views.key(GENERATION, "checked")) == b"1795000000000"


def writing(version: int) -> Write:
    return Write(expected=version - 1, before=None, after=replace(ACTIVE, version=version), entries=[b"{}"])


async def test_what_is_stored_is_marked_in_the_same_round_trip(model: ReadModel) -> None:
    assert await model.store_and_mark(GENERATION, [writing(1)], HISTORY[:1]) == ([True], True)
    assert (await model.applied(GENERATION))[0] == 1


async def test_what_another_has_overtaken_is_not_marked_before_it_is_applied(model: ReadModel) -> None:
    assert await model.store_and_mark(GENERATION, [writing(2)], HISTORY[:2]) == ([False], False)
    assert (await model.applied(GENERATION))[0] == 0


async def test_what_another_has_applied_meanwhile_is_marked(model: ReadModel) -> None:
    await model.store(GENERATION, [writing(1), writing(2)])
    assert await model.store_and_mark(GENERATION, [writing(1)], HISTORY[:1]) == ([False], True)
    assert (await model.applied(GENERATION))[0] == 1


async def test_a_server_that_has_forgotten_the_scripts_is_told_again(model: ReadModel, redis: Redis) -> None:
    await redis.script_flush()
    assert await marked(model, 1) == 1
    await redis.script_flush()
    assert await model.store_and_mark(GENERATION, [writing(1)], HISTORY[1:2]) == ([True], True)
    assert (await model.applied(GENERATION))[0] == 2
