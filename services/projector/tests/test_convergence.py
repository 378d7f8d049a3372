"""However events are delivered, the read model comes to be the fold of the event store."""

import random
from collections.abc import Sequence
from itertools import pairwise
from uuid import UUID

import pytest
from customerflow_projector.apply import Applier
from customerflow_projector.read_model import ReadModel
from customerflow_shared import views
from customerflow_shared.events import CustomerErased, Recorded
from hypothesis import HealthCheck, settings
from hypothesis import given as holds_for
from hypothesis import strategies as some
from redis.asyncio import Redis

from .builders import ANA, EventStore, folded, interleaved, of, renamings
from .lives import fold, lives, redacted
from .steps import documents, dump, handle

CUSTOMERS = [UUID(int=number) for number in range(1, 6)]


def history(chance: random.Random) -> list[Recorded]:
    return interleaved(*(renamings(customer, chance.randint(1, 12)) for customer in CUSTOMERS))


def disordered(events: Sequence[Recorded], chance: random.Random) -> list[Recorded]:
    """Every event at least once, many of them more often, in any order."""
    delivered = [*events, *chance.choices(events, k=len(events))]
    chance.shuffle(delivered)
    return delivered


def twice_and_late(events: Sequence[Recorded], chance: random.Random) -> list[Recorded]:
    """Every event twice, and each up to 50 places from where it was."""
    places = [(place + chance.uniform(0, 50), event) for place, event in enumerate(events) for _ in range(2)]
    return [event for _, event in sorted(places, key=lambda one: one[0])]


def in_batches(events: Sequence[Recorded], chance: random.Random) -> list[Sequence[Recorded]]:
    cuts = sorted({0, len(events), *(chance.randrange(len(events)) for _ in range(chance.randint(0, 12)))})
    return [events[start:end] for start, end in pairwise(cuts)]


@pytest.mark.parametrize("seed", range(60))
async def test_any_order_with_repetitions_gives_the_fold_of_the_history(model: ReadModel, seed: int) -> None:
    chance = random.Random(seed)
    events = history(chance)
    generation = views.new_generation()
    applier = Applier(model, EventStore(events))
    for batch in in_batches(disordered(events, chance), chance):
        await applier.apply(generation, batch)
    assert await documents(model, generation) == folded(events)
    assert await model.parked(generation) == {}


@pytest.mark.parametrize("seed", range(30))
async def test_a_feed_that_comes_and_goes_only_delays_the_result(model: ReadModel, seed: int) -> None:
    chance = random.Random(seed)
    events = history(chance)
    generation = views.new_generation()
    store = EventStore(events)
    applier = Applier(model, store)
    for batch in in_batches(disordered(events, chance), chance):
        store.away = chance.random() < 0.7
        await applier.apply(generation, batch)
    store.away = False
    for customer_id, entry in (await model.parked(generation)).items():
        assert await applier.retry(generation, customer_id, entry)
    assert await documents(model, generation) == folded(events)


def delivered(data: some.DataObject, life: Sequence[Recorded]) -> list[Sequence[Recorded]]:
    """Each event at least once, in any order, in batches of any size."""
    repeated = data.draw(some.lists(some.sampled_from(life), max_size=len(life)))
    return in_batches(data.draw(some.permutations([*life, *repeated])), data.draw(some.randoms()))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@holds_for(some.data())
async def test_any_life_delivered_twice_late_and_shuffled_is_its_fold(model: ReadModel, data: some.DataObject) -> None:
    life = data.draw(lives())
    generation = views.new_generation()
    applier = Applier(model, EventStore(life))
    for batch in delivered(data, life):
        await applier.apply(generation, batch)
    assert await documents(model, generation) == {ANA: views.pack(fold(life))}
    assert await model.parked(generation) == {}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@holds_for(some.data())
async def test_an_erased_customer_is_so_whichever_of_its_events_came_before_the_key_was_destroyed(
    model: ReadModel, data: some.DataObject
) -> None:
    """Messages on their way may still have what the feed has no more."""
    life = data.draw(lives(erased=True))
    remains = [redacted(event) for event in life]
    generation = views.new_generation()
    applier = Applier(model, EventStore(remains))
    for batch in delivered(data, [*life, *remains]):
        await applier.apply(generation, batch)
    assert await documents(model, generation) == {ANA: views.pack(fold(life))} == {ANA: views.pack(fold(remains))}
    assert await model.parked(generation) == {}


async def clean(redis: Redis, model: ReadModel, events: Sequence[Recorded]) -> dict[str, object]:
    """What the read model has when each event comes once and in order, one at a time."""
    generation = views.new_generation()
    applier = Applier(model, EventStore())
    for event in events:
        await handle(applier, generation, [event])
    assert await model.parked(generation) == {}
    return await dump(redis, generation)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@holds_for(some.data())
async def test_every_message_twice_and_late_leaves_every_key_as_a_clean_run_does(
    model: ReadModel, redis: Redis, data: some.DataObject
) -> None:
    """Documents, timelines, indexes, totals, changes and position, byte for byte."""
    others = data.draw(some.lists(lives(erased=data.draw(some.booleans())), min_size=1, max_size=3))
    long = data.draw(lives(erased=data.draw(some.booleans()), more=(50, 130)))
    events = interleaved(*(of(one, life) for one, life in zip(CUSTOMERS, [long, *others], strict=False)))
    remains = [redacted(event) if is_erased(event.customer_id, events) else event for event in events]
    chance = data.draw(some.randoms())
    generation = views.new_generation()
    applier = Applier(model, EventStore(remains))
    for batch in in_batches(twice_and_late(events, chance), chance):
        await handle(applier, generation, batch)
    assert await dump(redis, generation) == await clean(redis, model, events)
    assert await model.parked(generation) == {}


def is_erased(customer: UUID, events: Sequence[Recorded]) -> bool:
    return any(event.customer_id == customer and isinstance(event.event, CustomerErased) for event in events)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@holds_for(some.data())
async def test_an_erased_customer_leaves_the_same_whether_it_was_seen_before_or_not(
    model: ReadModel, redis: Redis, data: some.DataObject
) -> None:
    life = data.draw(lives(erased=True, more=(0, 140)))
    remains = [redacted(event) for event in life]
    seen = await clean(redis, model, life)
    assert await clean(redis, model, remains) == seen
    chance, store = data.draw(some.randoms()), EventStore(remains)
    generation = views.new_generation()
    applier = Applier(model, store)
    for batch in in_batches(twice_and_late(life, chance), chance):
        store.away = chance.random() < 0.5
        await handle(applier, generation, batch)
    store.away = False
    for customer_id, entry in (await model.parked(generation)).items():
        assert await applier.retry(generation, customer_id, entry)
    assert await dump(redis, generation) == seen
    assert await model.parked(generation) == {}
