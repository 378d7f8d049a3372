"""However events are delivered, the read model comes to be the fold of the event store."""

import random
from collections.abc import Sequence
from itertools import pairwise
from uuid import UUID

import pytest
from customerflow_projector.apply import Applier
from customerflow_projector.read_model import ReadModel
from customerflow_shared import views
from customerflow_shared.events import Recorded
from hypothesis import HealthCheck, settings
from hypothesis import given as holds_for
from hypothesis import strategies as some

from .builders import ANA, EventStore, folded, interleaved, renamings
from .lives import fold, lives, redacted
from .steps import documents

CUSTOMERS = [UUID(int=number) for number in range(1, 6)]


def history(chance: random.Random) -> list[Recorded]:
    return interleaved(*(renamings(customer, chance.randint(1, 12)) for customer in CUSTOMERS))


def disordered(events: Sequence[Recorded], chance: random.Random) -> list[Recorded]:
    """Every event at least once, many of them more often, in any order."""
    delivered = [*events, *chance.choices(events, k=len(events))]
    chance.shuffle(delivered)
    return delivered


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
