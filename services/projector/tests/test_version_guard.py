"""A document in Redis changes only from version v to v + 1, whoever writes it, and with it all that follows from it."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from customerflow_projector.read_model import STORED_AT_ONCE, Overtaken, ReadModel, Write, version_of
from customerflow_shared import views
from customerflow_shared.views import CustomerView, ErasedView, View
from msgspec.structs import replace
from redis.asyncio import Redis

from .builders import ANA, BRUNO
from .given_when_then import ACTIVE
from .steps import dump

GENERATION = views.new_generation()


def at(version: int, *, customer_id: UUID = ANA, **changes: object) -> CustomerView:
    return replace(ACTIVE, id=customer_id, version=version, **changes)


def write(version: int, *, customer_id: UUID = ANA, before: View | None = None, **changes: object) -> Write:
    after = at(version, customer_id=customer_id, **changes)
    return Write(expected=version - 1, before=before, after=after, entries=[b"%d" % version])


def erased(version: int) -> Write:
    after = ErasedView(id=ANA, version=version, erased_at=ACTIVE.created_at)
    return Write(expected=version - 1, before=None, after=after, entries=[], kept="nothing")


async def versions(model: ReadModel, *customers: UUID) -> list[int]:
    return [version_of(stored) for stored in await model.load(GENERATION, customers)]


async def test_repeated_late_and_early_writes_have_no_effect(model: ReadModel) -> None:
    made = [(await model.store(GENERATION, [write(version)]))[0] for version in (1, 2, 2, 4, 3, 4, 1)]
    assert made == [True, True, False, False, True, True, False]
    assert await versions(model, ANA) == [4]
    assert await model.timeline(GENERATION, ANA) == ([], [b"1", b"2", b"3", b"4"])


async def test_what_another_has_stored_is_not_written_over(model: ReadModel, redis: Redis) -> None:
    await model.store(GENERATION, [write(1, name="First")])
    before = await dump(redis, GENERATION)
    second = write(1, name="Second", tags=("vip",), email="second@example.com", lifecycle_stage="lead")
    assert await model.store(GENERATION, [second]) == [False]
    assert await dump(redis, GENERATION) == before


async def test_what_follows_from_a_document_moves_with_it(model: ReadModel, redis: Redis) -> None:
    """Of a total that comes to 0 nothing is left, nor of an index without a member."""
    steps = [at(1, tags=("vip",), lifecycle_stage="lead"), at(2, name="Ana Lima", email=None, tags=("new",))]
    befores: list[View | None] = [None, *steps]
    for before, after in zip(befores, steps, strict=False):
        entries = [b"%d" % after.version]
        there = Write(expected=after.version - 1, before=before, after=after, entries=entries)
        assert await model.store(GENERATION, [there, write(1, customer_id=BRUNO)]) in ([True, True], [True, False])
    found = await dump(redis, GENERATION)
    assert found["counts"] == {b"status:active": b"2", b"type:person": b"2"}
    assert found["days"] == {b"1970-01-01": b"2"}
    assert found["names"][ANA.bytes] == b"ana lima\n"
    assert found["words"] == [
        (b"ana\0" + ANA.bytes, 0),
        (b"ana\0" + BRUNO.bytes, 0),
        (b"lima\0" + ANA.bytes, 0),
        (b"souza\0" + BRUNO.bytes, 0),
    ]
    assert [member[-16:] for member, _ in found["lookup"]] == [BRUNO.bytes]
    assert {name for name in found if name.startswith("facet:")} == {
        "facet:status:active",
        "facet:type:person",
        "facet:tag:new",
    }


async def test_what_is_kept_of_a_timeline_is_said(model: ReadModel) -> None:
    entries: Any = {"expected": 0, "before": None, "after": at(1), "entries": [b"\0a", b"b"]}
    await model.store(GENERATION, [Write(**entries)])
    packed = {"expected": 1, "after": at(2), "entries": [b"c\r\n"], "blocks": [b"a b"], "kept": "blocks"}
    await model.store(GENERATION, [Write(**entries | packed)])
    await model.store(GENERATION, [Write(**entries | {"expected": 2, "after": at(3), "entries": [b"d"]})])
    assert await model.timeline(GENERATION, ANA) == ([b"a b"], [b"c\r\n", b"d"])
    packed |= {"expected": 3, "after": at(4), "entries": [], "blocks": [b"c d"]}
    await model.store(GENERATION, [Write(**entries | packed)])
    assert await model.timeline(GENERATION, ANA) == ([b"a b", b"c d"], [])
    await model.store(GENERATION, [Write(**entries | {"expected": 4, "after": at(5), "kept": "nothing"})])
    assert await model.timeline(GENERATION, ANA) == ([], [b"\0a", b"b"])


async def test_the_entries_are_those_of_one_version(model: ReadModel) -> None:
    await model.store(GENERATION, [write(1)])
    assert await model.entries(GENERATION, ANA, 1) == [b"1"]
    for other in (0, 2):
        with pytest.raises(Overtaken):
            await model.entries(GENERATION, ANA, other)


async def test_an_erased_customer_keeps_its_version_so_that_what_is_late_does_not_bring_it_back(
    model: ReadModel,
) -> None:
    made = [(await model.store(GENERATION, [one]))[0] for one in (write(1), erased(2), write(1), write(2), erased(2))]
    assert made == [True, True, False, False, False]
    assert await versions(model, ANA) == [2]
    assert await model.load(GENERATION, [ANA]) == [views.pack(erased(2).after)]
    assert await model.store(GENERATION, [write(3)]) == [True], "its version is read as any other is"


async def test_each_write_of_a_batch_is_judged_by_itself(model: ReadModel) -> None:
    assert await model.store(GENERATION, [write(1), write(5, customer_id=BRUNO)]) == [True, False]
    assert await versions(model, ANA, BRUNO) == [1, 0]


async def test_a_batch_may_be_of_any_size(model: ReadModel) -> None:
    customers = [UUID(int=number) for number in range(2 * STORED_AT_ONCE + 1)]
    made = await model.store(GENERATION, [write(1 + one.int % 2, customer_id=one) for one in customers])
    assert made == [one.int % 2 == 0 for one in customers]


async def test_of_many_writers_of_one_version_one_succeeds(model: ReadModel, redis: Redis) -> None:
    before: View | None = None
    for version in range(1, 21):
        writes = [write(version, before=before, name=f"Writer {writer}") for writer in range(8)]
        made = await asyncio.gather(*(model.store(GENERATION, [one]) for one in writes))
        assert sum(done for [done] in made) == 1
        before = next(one.after for one, [done] in zip(writes, made, strict=True) if done)
    assert (await dump(redis, GENERATION))["counts"] == {b"status:active": b"1", b"type:person": b"1"}


@pytest.mark.parametrize("document", [b"", b"0", b"7\n{}", b"\xff\x00\n\r\n"])
async def test_the_version_is_read_from_the_first_line_only(model: ReadModel, redis: Redis, document: bytes) -> None:
    await redis.set(views.customer_key(GENERATION, ANA), b"12345678901\n" + document)
    assert await model.store(GENERATION, [write(12345678901), write(12345678903)]) == [False, False]
    assert await model.store(GENERATION, [write(12345678902)]) == [True]
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


async def test_nothing_to_do_asks_nothing(model: ReadModel, redis: Redis) -> None:
    assert await model.store(GENERATION, []) == []
    assert await model.load(GENERATION, []) == []
    await model.mark(GENERATION, [])
    assert await redis.dbsize() == 0
