"""Whatever is not as the events say is found and put right; live traffic is never mistaken for it."""

import asyncio
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import pytest
from customerflow_projector import verify
from customerflow_projector.expected import Difference
from customerflow_projector.feed import FeedBehind
from customerflow_projector.indexes import indexed
from customerflow_projector.projections import project
from customerflow_projector.read_model import ReadModel
from customerflow_projector.sums import Sums
from customerflow_projector.verify import FIRST, LiveNoMore, NoQuietMoment, NothingLive, verifier
from customerflow_shared import indexing, views
from customerflow_shared.events import CustomerErased, CustomerTagged, Place, Recorded
from redis.asyncio import Redis

from .builders import ANA, BEGINNING, BRUNO, CECILIA, LOOKUPS, EventStore, interleaved, recorded, renamings, unknown
from .lives import redacted
from .steps import dump, rebuilt
from .traffic import Traffic

NOBODY = UUID(int=0xF)
TAGGED = [*renamings(BRUNO, 3), recorded(CustomerTagged(tag="vip"), 4, customer_id=BRUNO)]
ERASED = CustomerErased(erased_at=BEGINNING, reason_code="requested", request_ref=None, keys_destroyed=1)
GONE = [redacted(one) for one in (*renamings(CECILIA, 70), recorded(ERASED, 71, customer_id=CECILIA))]
HISTORY = interleaved(renamings(ANA, 150), TAGGED, GONE)


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "LOOK_AGAIN_AFTER", 0.01)
    monkeypatch.setattr(verify, "QUIET_WITHIN", 5)


async def found(
    model: ReadModel, store: EventStore, *, repair: bool = False, customers: list[UUID] | None = None
) -> dict[bool, list[Difference]]:
    """What is left (False), and what is repaired (True)."""
    differences: dict[bool, list[Difference]] = {False: [], True: []}
    it = await verifier(model, store, LOOKUPS, lambda one, fate: differences[fate].append(one), repair=repair)
    if customers is None:
        await it.all()
    else:
        await it.some(customers)
    return differences


NOTHING: dict[bool, list[Difference]] = {False: [], True: []}

Damage = Callable[[Redis, Callable[[str], str]], Awaitable[object]]

DAMAGES: dict[str, tuple[Damage, set[Difference]]] = {
    "a byte of a document": (
        lambda redis, key: redis.setrange(key(f"customer:{BRUNO}"), 40, "#"),
        {Difference(BRUNO, "document")},
    ),
    "a document": (
        lambda redis, key: redis.delete(key(f"customer:{BRUNO}")),
        {Difference(BRUNO, "missing")},
    ),
    "a document of another version": (
        lambda redis, key: redis.set(key(f"customer:{BRUNO}"), b"2\n{}"),
        {Difference(BRUNO, "version")},
    ),
    "an entry lost": (
        lambda redis, key: redis.rpop(key(f"timeline:{ANA}")),
        {Difference(ANA, "timeline")},
    ),
    "an entry of an erased customer that tells": (
        lambda redis, key: redis.lset(key(f"timeline:{CECILIA}"), 0, "{}"),
        {Difference(CECILIA, "timeline")},
    ),
    "a block lost": (
        lambda redis, key: redis.lpop(key(f"blocks:{ANA}")),
        {Difference(ANA, "timeline")},
    ),
    "a member missing": (
        lambda redis, key: redis.zrem(key("facet:tag:vip"), BRUNO.bytes),
        {Difference(BRUNO, "member", "facet:tag:vip")},
    ),
    "another score": (
        lambda redis, key: redis.zadd(key("order:updated"), {BRUNO.bytes: 5}),
        {Difference(BRUNO, "member", "order:updated")},
    ),
    "a look-up missing": (
        lambda redis, key: redis.delete(key("lookup")),
        {Difference(one, "member", "lookup") for one in (ANA, BRUNO)},
    ),
    "a name": (
        lambda redis, key: redis.hset(key("names"), BRUNO.bytes, b"x"),
        {Difference(BRUNO, "field", "names")},
    ),
    "a member too many": (
        lambda redis, key: redis.zadd(key("facet:tag:vip"), {ANA.bytes: 1}),
        {Difference(ANA, "extra", "facet:tag:vip")},
    ),
    "a facet that nobody has": (
        lambda redis, key: redis.zadd(key("facet:tag:none"), {ANA.bytes: 1}),
        {Difference(ANA, "extra", "facet:tag:none")},
    ),
    "a word too many": (
        lambda redis, key: redis.zadd(key("words"), {indexing.word_member("x", CECILIA): 0}),
        {Difference(CECILIA, "extra", "words")},
    ),
    "names of an erased customer": (
        lambda redis, key: redis.hset(key("names"), CECILIA.bytes, b"x"),
        {Difference(CECILIA, "extra", "names")},
    ),
    "a total too high": (
        lambda redis, key: redis.hincrby(key("counts"), "status:active", 1),
        {Difference(None, "total", "counts:status:active", 1)},
    ),
    "a total too low": (
        lambda redis, key: redis.hdel(key("counts"), "status:erased"),
        {Difference(None, "total", "counts:status:erased", -1)},
    ),
    "a day too many": (
        lambda redis, key: redis.hset(key("days"), "2026-01-01", "7"),
        {Difference(None, "total", "days:2026-01-01", 7)},
    ),
    "a document that nobody knows": (
        lambda redis, key: redis.set(key(f"customer:{NOBODY}"), b"1\n{}"),
        {Difference(NOBODY, "unknown")},
    ),
    "a timeline that nobody knows": (
        lambda redis, key: redis.rpush(key(f"timeline:{NOBODY}"), b"{}"),
        {Difference(NOBODY, "timeline")},
    ),
    "nobody in an order": (
        lambda redis, key: redis.zadd(key("order:created"), {NOBODY.bytes: 1}),
        {Difference(NOBODY, "extra", "order:created")},
    ),
}


async def test_what_the_projector_has_written_is_right(model: ReadModel) -> None:
    await rebuilt(model, EventStore(HISTORY))
    assert await found(model, EventStore(HISTORY)) == NOTHING


async def test_nothing_is_right_too(model: ReadModel) -> None:
    await rebuilt(model, EventStore())
    assert await found(model, EventStore()) == NOTHING


async def test_without_a_read_model_there_is_nothing_to_verify(model: ReadModel) -> None:
    with pytest.raises(NothingLive):
        await found(model, EventStore(HISTORY))


@pytest.mark.parametrize("name", DAMAGES)
async def test_every_kind_of_damage_is_found_and_put_right(model: ReadModel, redis: Redis, name: str) -> None:
    generation = (await rebuilt(model, EventStore(HISTORY))).generation
    right = await dump(redis, generation)
    damage, expected = DAMAGES[name]
    await damage(redis, lambda key: views.key(generation, key))
    assert await dump(redis, generation) != right

    told = await found(model, EventStore(HISTORY))
    assert set(told[False]) == expected
    told = await found(model, EventStore(HISTORY), repair=True)
    assert (set(told[True]), told[False]) == (expected, [])
    assert await dump(redis, generation) == right
    assert await found(model, EventStore(HISTORY)) == NOTHING


async def test_all_damage_at_once_is_put_right(model: ReadModel, redis: Redis) -> None:
    generation = (await rebuilt(model, EventStore(HISTORY))).generation
    right = await dump(redis, generation)
    for damage, _ in DAMAGES.values():
        await damage(redis, lambda key: views.key(generation, key))
    told = await found(model, EventStore(HISTORY), repair=True)
    assert told[False] == []
    assert await dump(redis, generation) == right


async def test_single_customers_are_put_right_wherever_they_stand(model: ReadModel, redis: Redis) -> None:
    generation = (await rebuilt(model, EventStore(HISTORY))).generation
    right = await dump(redis, generation)
    for name in ("a byte of a document", "a member missing", "a member too many", "a word too many", "an entry lost"):
        await DAMAGES[name][0](redis, lambda key: views.key(generation, key))
    told = await found(model, EventStore(HISTORY), repair=True, customers=[BRUNO])
    assert {one.customer_id for one in told[True]} == {BRUNO}
    told = await found(model, EventStore(HISTORY), repair=True, customers=[ANA, CECILIA])
    assert {one.customer_id for one in told[True]} == {ANA, CECILIA}
    assert await dump(redis, generation) == right


async def test_totals_move_with_a_single_customer_that_was_behind(model: ReadModel) -> None:
    await rebuilt(model, EventStore(HISTORY))
    erased = recorded(ERASED, 5, customer_id=BRUNO, position=len(HISTORY) + 1)
    store = EventStore([*(redacted(one) if one.customer_id == BRUNO else one for one in HISTORY), redacted(erased)])
    told = await found(model, store, repair=True, customers=[BRUNO])
    assert told[True]
    assert told[False] == []
    assert await found(model, store) == NOTHING


@pytest.mark.parametrize("kept", [0, 60])
async def test_a_generation_that_is_live_no_more_is_not_judged(model: ReadModel, redis: Redis, kept: float) -> None:
    generation = (await rebuilt(model, EventStore(HISTORY))).generation
    it = await verifier(model, EventStore(HISTORY), LOOKUPS, lambda *_: pytest.fail("judged"), repair=True)
    await rebuilt(model, EventStore(HISTORY), keep_previous=kept)
    left = await dump(redis, generation)
    with pytest.raises(LiveNoMore):
        await it.all()
    assert await dump(redis, generation) == left


async def test_who_was_stopped_goes_on_after_the_last_customer(model: ReadModel, redis: Redis) -> None:
    generation = (await rebuilt(model, EventStore(HISTORY))).generation
    await redis.delete(views.customer_key(generation, ANA), views.customer_key(generation, CECILIA))
    differences: list[Difference] = []
    it = await verifier(model, EventStore(HISTORY, page=1), LOOKUPS, lambda one, _: differences.append(one))
    assert await it.all(after=ANA) == 2
    assert it.after == BRUNO  # the last one of whom nothing differed
    assert differences == [Difference(CECILIA, "missing")]


async def test_an_event_that_nobody_can_read_is_told(model: ReadModel) -> None:
    events: list[Recorded | Place] = [*HISTORY[:-1], unknown(HISTORY[-1])]
    await rebuilt(model, EventStore(events))
    told = await found(model, EventStore(events), repair=True)
    assert told == {False: [Difference(HISTORY[-1].customer_id, "unreadable")], True: []}


@pytest.mark.parametrize("lost", [1, 70])
async def test_an_erasure_is_right_whatever_before_it_nobody_can_read(
    model: ReadModel, redis: Redis, lost: int
) -> None:
    events = [unknown(one) if (one.customer_id, one.version) == (CECILIA, lost) else one for one in HISTORY]
    generation = (await rebuilt(model, EventStore(events))).generation
    right = await dump(redis, generation)
    await redis.hincrby(views.key(generation, "counts"), "status:erased", 1)
    told = await found(model, EventStore(events), repair=True)
    assert told == {
        False: [Difference(CECILIA, "unreadable")],
        True: [Difference(None, "total", "counts:status:erased", 1)],
    }
    assert await dump(redis, generation) == right


@pytest.mark.parametrize("seed", range(8))
async def test_live_traffic_is_not_mistaken_for_damage(model: ReadModel, seed: int) -> None:
    traffic = Traffic(model, seed)
    await rebuilt(model, traffic.store)
    async with traffic.running():
        await asyncio.sleep(0.05)
        assert await found(model, traffic.store) == NOTHING
    assert await found(model, traffic.store) == NOTHING


async def test_a_customer_that_never_rests_is_not_mistaken_for_damage(
    model: ReadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    traffic, asked = Traffic(model, 1, customers=2), 0
    await rebuilt(model, traffic.store)
    monkeypatch.setattr(traffic._chance, "choice", lambda customers: customers[0])
    by_customer, of_customer = traffic.store.by_customer, traffic.store.of_customer

    async def moving(after: UUID) -> AsyncIterator[tuple[int, list[Recorded | Place]]]:
        async for found in by_customer(after):
            await traffic.some(1)
            yield found

    async def moving_at_every_look(customer_id: UUID, after: int) -> list[Recorded | Place]:
        nonlocal asked
        asked += 1
        events = await of_customer(customer_id, after)
        if asked % (verify.LOOKS + 1):
            await traffic.some(1)
        return events

    monkeypatch.setattr(traffic.store, "by_customer", moving)
    monkeypatch.setattr(traffic.store, "of_customer", moving_at_every_look)
    assert await found(model, traffic.store) == NOTHING
    assert asked > verify.LOOKS


async def test_damage_is_found_and_put_right_beside_live_traffic(model: ReadModel, redis: Redis) -> None:
    traffic = Traffic(model, 1)
    generation = (await rebuilt(model, traffic.store)).generation
    await redis.hincrby(views.key(generation, "counts"), "type:person", 5)
    await redis.zadd(views.key(generation, "facet:stage:x"), {UUID(int=3).bytes: 1})
    async with traffic.running():
        told = await found(model, traffic.store, repair=True)
    assert told == {
        False: [],
        True: [
            Difference(None, "total", "counts:type:person", 5),
            Difference(UUID(int=3), "extra", "facet:stage:x"),
        ],
    }
    assert await found(model, traffic.store) == NOTHING


async def test_what_has_moved_since_the_beginning_is_caught_up_with_before_a_quiet_moment_is_looked_for(
    model: ReadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "QUIET_WITHIN", 0.2)
    monkeypatch.setattr(verify, "NEARLY", 10)
    traffic = Traffic(model, 1)
    await rebuilt(model, traffic.store)
    store, asked = traffic.store, 0
    by_customer, of_customer = store.by_customer, store.of_customer

    async def meanwhile(after: UUID) -> AsyncIterator[tuple[int, list[Recorded | Place]]]:
        async for found in by_customer(after):
            await traffic.some(200)
            yield found

    async def slowly(customer_id: UUID, after: int) -> list[Recorded | Place]:
        nonlocal asked
        asked += 1
        if asked % 20 == 0:
            await traffic.some(1)
        await asyncio.sleep(0.005)
        return await of_customer(customer_id, after)

    monkeypatch.setattr(store, "by_customer", meanwhile)
    monkeypatch.setattr(store, "of_customer", slowly)
    assert await found(model, store) == NOTHING


async def test_an_event_store_that_has_lost_events_takes_nothing_from_the_read_model(
    model: ReadModel, redis: Redis
) -> None:
    generation = (await rebuilt(model, EventStore(HISTORY))).generation
    right = await dump(redis, generation)
    with pytest.raises(FeedBehind):
        await found(model, EventStore(HISTORY[:100]), repair=True)
    assert await dump(redis, generation) == right


def test_no_file_is_needed_for_the_sums_of_many_customers() -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    sums, adds = Sums(), indexed(project(None, HISTORY[0]), LOOKUPS)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))  # of every file
    try:
        for number in range(50_000):
            sums.put(UUID(int=number), 1, adds)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sums.total()["order:created", ""] == 50_000


async def test_without_a_quiet_moment_nothing_is_claimed(model: ReadModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "QUIET_WITHIN", 0.3)
    generation = (await rebuilt(model, EventStore(HISTORY))).generation
    await model.redis.hincrby(views.key(generation, "counts"), "type:person", 5)

    class Racing(EventStore):
        """There is always one event more than a moment ago."""

        async def head(self) -> int:
            position = len(self.events) + 1
            self.events.append(
                recorded(renamings(ANA, 1)[0].event, 1, customer_id=UUID(int=position), position=position)
            )
            return await super().head()

    with pytest.raises(NoQuietMoment):
        await found(model, Racing(HISTORY))


def test_the_first_customer_is_after_nobody() -> None:
    assert UUID(int=0) == FIRST
