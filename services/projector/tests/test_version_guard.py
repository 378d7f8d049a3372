"""A document in Redis changes only from version v to v + 1, whoever writes it."""

import asyncio
from uuid import UUID

import pytest
from customerflow_projector.read_model import ReadModel, Write, version_of
from customerflow_shared import views
from redis.asyncio import Redis

from .builders import ANA, BRUNO

GENERATION = views.new_generation()


def write(version: int, *, customer_id: UUID = ANA, mark: str = "") -> Write:
    return Write(customer_id, version - 1, b"%d\n{%b}" % (version, mark.encode()))


def erased(version: int) -> Write:
    return Write(ANA, version - 1, b"%d erased\n{}" % version)


async def versions(model: ReadModel, *customers: UUID) -> list[int]:
    return [version_of(stored) for stored in await model.load(GENERATION, customers)]


async def test_repeated_late_and_early_writes_have_no_effect(model: ReadModel) -> None:
    made = [(await model.store(GENERATION, [write(version)]))[0] for version in (1, 2, 2, 4, 3, 4, 1)]
    assert made == [True, True, False, False, True, True, False]
    assert await versions(model, ANA) == [4]


async def test_what_another_has_stored_is_not_written_over(model: ReadModel) -> None:
    await model.store(GENERATION, [write(1, mark="first")])
    assert await model.store(GENERATION, [write(1, mark="second")]) == [False]
    assert await model.load(GENERATION, [ANA]) == [b"1\n{first}"]


async def test_an_erased_customer_keeps_its_version_so_that_what_is_late_does_not_bring_it_back(
    model: ReadModel,
) -> None:
    made = [(await model.store(GENERATION, [one]))[0] for one in (write(1), erased(2), write(1), write(2), erased(2))]
    assert made == [True, True, False, False, False]
    assert await versions(model, ANA) == [2]
    assert await model.load(GENERATION, [ANA]) == [b"2 erased\n{}"]
    assert await model.store(GENERATION, [write(3)]) == [True], "its version is read as any other is"


async def test_each_write_of_a_batch_is_judged_by_itself(model: ReadModel) -> None:
    assert await model.store(GENERATION, [write(1), write(5, customer_id=BRUNO)]) == [True, False]
    assert await versions(model, ANA, BRUNO) == [1, 0]


async def test_of_many_writers_of_one_version_one_succeeds(model: ReadModel) -> None:
    for version in range(1, 21):
        made = await asyncio.gather(
            *(model.store(GENERATION, [write(version, mark=str(writer))]) for writer in range(8))
        )
        assert sum(done for [done] in made) == 1


@pytest.mark.parametrize("document", [b"", b"0", b"7\n{}", b"\xff\x00\n\r\n"])
async def test_the_version_is_read_from_the_first_line_only(model: ReadModel, document: bytes) -> None:
    await model.store(GENERATION, [Write(ANA, 0, b"12345678901\n" + document)])
    assert await model.store(GENERATION, [Write(ANA, 12345678901, b"12345678902\n" + document)]) == [True]
    assert await model.load(GENERATION, [ANA]) == [b"12345678902\n" + document]
    assert await versions(model, ANA) == [12345678902]


@pytest.mark.parametrize("foreign", [b"Ana", b"", b"-1\n{}", b" 7\n{}", b"7", b"seven\n{}"])
async def test_what_the_projector_has_not_written_counts_as_nothing(
    model: ReadModel, redis: Redis, foreign: bytes
) -> None:
    await redis.set(views.customer_key(GENERATION, ANA), foreign)
    assert await model.store(GENERATION, [write(1)]) == [True]


async def test_a_server_that_has_forgotten_the_script_is_told_again(model: ReadModel, redis: Redis) -> None:
    await model.store(GENERATION, [write(1)])
    await redis.script_flush()
    assert await model.store(GENERATION, [write(2), write(1, customer_id=BRUNO)]) == [True, True]
    assert await versions(model, ANA, BRUNO) == [2, 1]


async def test_nothing_to_do_asks_nothing(model: ReadModel) -> None:
    assert await model.store(GENERATION, []) == []
    assert await model.load(GENERATION, []) == []
    assert await model.parked_among(GENERATION, []) == {}
