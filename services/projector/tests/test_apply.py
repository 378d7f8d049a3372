"""Applying events to the read model: gaps are filled, what cannot be applied parks its customer, the rest flows on."""

import asyncio
from uuid import UUID

import pytest
from customerflow_projector.apply import Applier
from customerflow_projector.feed import FeedUnavailable
from customerflow_projector.read_model import Parked, ReadModel, Write
from customerflow_shared import views
from customerflow_shared.events import CustomerErased, Place, Recorded
from customerflow_shared.views import ErasedView, timestamp

from .builders import (
    ANA,
    BEGINNING,
    BRUNO,
    CECILIA,
    ENTRY,
    RENAMED,
    EventStore,
    folded,
    interleaved,
    recorded,
    renamings,
    unknown,
)
from .steps import documents

GENERATION = views.new_generation()


async def parked(model: ReadModel) -> dict[UUID, Parked]:
    return dict(await model.parked(GENERATION))


async def test_events_in_order_need_no_feed(model: ReadModel) -> None:
    store = EventStore()
    history = interleaved(renamings(ANA, 5), renamings(BRUNO, 3))
    for event in history:
        await Applier(model, store).apply(GENERATION, [event])
    assert await documents(model, GENERATION) == folded(history)
    assert store.asked == 0


async def test_a_gap_is_filled_from_the_feed(model: ReadModel) -> None:
    history = renamings(ANA, 5)
    applier = Applier(model, EventStore(history))
    await applier.apply(GENERATION, [history[0]])
    await applier.apply(GENERATION, [history[2], history[4]])
    assert await documents(model, GENERATION) == folded(history)


async def test_a_filled_gap_may_bring_more_than_was_asked_for(model: ReadModel) -> None:
    history = renamings(ANA, 5)
    applier = Applier(model, EventStore(history))
    await applier.apply(GENERATION, [history[2]])
    await applier.apply(GENERATION, history[3:])
    assert await documents(model, GENERATION) == folded(history)


async def test_without_the_feed_a_gap_parks_its_customer_and_the_others_flow_on(model: ReadModel) -> None:
    store = EventStore()
    store.away = True
    ana, bruno = renamings(ANA, 3), renamings(BRUNO, 3)
    await Applier(model, store).apply(GENERATION, [ana[1], *bruno, ana[2]])
    assert await documents(model, GENERATION) == folded(bruno)
    entry = (await parked(model))[ANA]
    assert (entry.position, entry.version, entry.attempts, entry.error) == (2, 2, 1, "FeedUnavailable: away")


async def test_a_gap_that_the_feed_cannot_fill_parks_its_customer(model: ReadModel) -> None:
    history = renamings(ANA, 5)
    await Applier(model, EventStore(history[:3])).apply(GENERATION, [history[4]])
    assert (await parked(model))[ANA].error == "HistoryBroken: the event feed does not have version 5"


async def test_an_unknown_event_parks_its_customer(model: ReadModel) -> None:
    ana, bruno = renamings(ANA, 2), renamings(BRUNO, 2)
    applier = Applier(model, EventStore())
    await applier.apply(GENERATION, [*ana[:1], *bruno[:1]])
    await applier.apply(GENERATION, [unknown(ana[1]), bruno[1]])
    assert await documents(model, GENERATION) == folded([ana[0], *bruno])
    assert (await parked(model))[ANA].error == "UnknownEvent: at position 2"


async def test_what_is_before_an_event_that_cannot_be_applied_is_applied(model: ReadModel) -> None:
    history = renamings(ANA, 3)
    await Applier(model, EventStore()).apply(GENERATION, [*history[:2], unknown(history[2])])
    assert await documents(model, GENERATION) == folded(history[:2])
    assert (await parked(model))[ANA].position == 3


async def test_what_is_before_a_gap_that_cannot_be_filled_is_applied(model: ReadModel) -> None:
    history = renamings(ANA, 5)
    store = EventStore(history)
    store.away = True
    await Applier(model, store).apply(GENERATION, [*history[:2], history[3], history[4]])
    assert await documents(model, GENERATION) == folded(history[:2])
    assert (await parked(model))[ANA].version == 4


async def test_what_fills_a_gap_is_applied_up_to_what_cannot_be(model: ReadModel) -> None:
    history = renamings(ANA, 5)
    await Applier(model, EventStore([*history[:3], unknown(history[3]), history[4]])).apply(GENERATION, history[4:])
    assert await documents(model, GENERATION) == folded(history[:3])
    assert (await parked(model))[ANA].error == "UnknownEvent: at position 4"


async def test_a_history_without_a_beginning_parks_its_customer(model: ReadModel) -> None:
    await Applier(model, EventStore()).apply(GENERATION, [recorded(RENAMED, 1)])
    assert (await parked(model))[ANA].error == "HistoryBroken: the first event is not a registration"


async def test_a_document_that_cannot_be_read_parks_its_customer_only(model: ReadModel) -> None:
    ana, bruno = renamings(ANA, 2), renamings(BRUNO, 2)
    applier = Applier(model, EventStore())
    await applier.apply(GENERATION, [*ana[:1], *bruno[:1]])
    await model._redis.set(views.customer_key(GENERATION, ANA), b"1\n{")
    await applier.apply(GENERATION, [ana[1], bruno[1]])
    assert (await parked(model))[ANA].error == "DecodeError"
    assert (await documents(model, GENERATION))[BRUNO] == folded(bruno)[BRUNO]


@pytest.mark.parametrize("foreign", [b"", b"Ana Souza", b"1\n{"])
async def test_a_document_that_cannot_be_read_does_not_stop_its_retry(model: ReadModel, foreign: bytes) -> None:
    history = renamings(ANA, 2)
    applier = Applier(model, EventStore(history))
    await model._redis.set(views.customer_key(GENERATION, ANA), foreign)
    await model.park(GENERATION, ANA, ENTRY)
    freed = await applier.retry(GENERATION, ANA, ENTRY)
    assert freed == (ANA not in await parked(model)) == (foreign == b"")


async def test_an_entry_that_cannot_be_read_parks_its_customer_until_it_is_retried(model: ReadModel) -> None:
    ana, bruno = renamings(ANA, 2), renamings(BRUNO, 2)
    applier = Applier(model, EventStore(ana))
    await model._redis.hset(views.parked_key(GENERATION), str(ANA), "{}")
    await applier.apply(GENERATION, [*ana, *bruno])
    assert await documents(model, GENERATION) == folded(bruno)
    assert await applier.retry(GENERATION, ANA, (await parked(model))[ANA])
    assert await documents(model, GENERATION) == folded([*ana, *bruno])


async def test_a_parked_customers_later_events_wait_for_its_retry(model: ReadModel) -> None:
    history = renamings(ANA, 5)
    store = EventStore([*history[:2], unknown(history[2])])
    applier = Applier(model, store)
    await applier.apply(GENERATION, [*history[:2]])
    await applier.apply(GENERATION, [unknown(history[2])])
    await applier.apply(GENERATION, history[3:])
    assert await documents(model, GENERATION) == folded(history[:2])

    assert not await applier.retry(GENERATION, ANA, (await parked(model))[ANA])
    assert (await parked(model))[ANA].attempts == 2

    store.events = [*history]  # as a newer program reads them
    assert await applier.retry(GENERATION, ANA, (await parked(model))[ANA])
    assert await documents(model, GENERATION) == folded(history)
    assert await parked(model) == {}


async def test_a_retry_remembers_since_when_the_customer_is_parked(model: ReadModel) -> None:
    await model.park(GENERATION, ANA, ENTRY)
    broken = EventStore([recorded(RENAMED, 1)])
    assert not await Applier(model, broken).retry(GENERATION, ANA, ENTRY)
    again = (await parked(model))[ANA]
    assert (again.attempts, again.since) == (ENTRY.attempts + 1, ENTRY.since)
    assert again.attempted_at > ENTRY.attempted_at


async def test_a_retry_that_the_feed_does_not_answer_counts_as_one(model: ReadModel) -> None:
    await model.park(GENERATION, ANA, ENTRY)
    store = EventStore(renamings(ANA, 1))
    store.away = True
    with pytest.raises(FeedUnavailable):
        await Applier(model, store).retry(GENERATION, ANA, ENTRY)
    assert (await parked(model))[ANA].attempts == ENTRY.attempts + 1


async def test_a_customer_stays_parked_until_its_events_are_stored(model: ReadModel) -> None:
    """Whoever dies in the middle of a retry leaves it to the next one."""

    class Dying(ReadModel):
        async def store(self, *_: object) -> list[bool]:
            raise ConnectionError

    history = renamings(ANA, 2)
    applier = Applier(model, EventStore(history))
    await applier.apply(GENERATION, [unknown(history[0])])
    try:
        await Applier(Dying(model._redis), EventStore(history)).retry(GENERATION, ANA, (await parked(model))[ANA])
    except ConnectionError:
        assert ANA in await parked(model)
    assert await applier.retry(GENERATION, ANA, (await parked(model))[ANA])
    assert await documents(model, GENERATION) == folded(history)


async def test_an_event_that_comes_during_a_retry_is_not_forgotten(model: ReadModel) -> None:
    history = renamings(ANA, 3)

    class Busy(EventStore):
        """Answers with what there was, and another event arrives before the answer is used."""

        async def of_customer(self, customer_id: UUID, after: int) -> list[Recorded | Place]:
            found = await super().of_customer(customer_id, after)
            self.events = [*history]
            await applier.apply(GENERATION, history[2:])
            return found

    applier = Applier(model, EventStore())
    await applier.apply(GENERATION, [unknown(history[1])])
    busy = Busy(history[:2])
    for _ in range(2):
        if entry := (await parked(model)).get(ANA):
            await Applier(model, busy).retry(GENERATION, ANA, entry)
    assert await documents(model, GENERATION) == folded(history)
    assert await parked(model) == {}


def an_erasure(version: int) -> Recorded:
    event = CustomerErased(erased_at=BEGINNING, reason_code="requested", request_ref=None, keys_destroyed=1)
    return recorded(event, version)


@pytest.mark.parametrize(
    "before",
    [[*renamings(ANA, 2), unknown(recorded(RENAMED, 3))], [recorded(RENAMED, 3)], []],
    ids=["unknown event", "gap", "nothing"],
)
async def test_an_erasure_waits_for_nothing(model: ReadModel, before: list[Recorded | Place]) -> None:
    store = EventStore()
    store.away = True
    applier, erased = Applier(model, store), an_erasure(4)
    for event in [*before, erased]:
        await applier.apply(GENERATION, [event])
    (stored,) = await model.load(GENERATION, [ANA])
    assert stored is not None
    assert views.unpack(stored) == ErasedView(id=ANA, version=4, erased_at=timestamp(BEGINNING))
    assert await parked(model) == {}
    await applier.apply(GENERATION, [erased, *before])
    assert await model.load(GENERATION, [ANA]) == [stored]


async def test_a_document_that_cannot_be_read_can_be_erased(model: ReadModel) -> None:
    await model.store(GENERATION, [Write(ANA, 0, b"3\nnonsense about Ana")])
    await Applier(model, EventStore()).apply(GENERATION, [an_erasure(4)])
    (stored,) = await model.load(GENERATION, [ANA])
    assert stored is not None
    assert b"Ana" not in stored


async def test_where_next_leaves_gaps_to_others(model: ReadModel) -> None:
    store = EventStore(renamings(ANA, 3))
    ana, bruno = renamings(ANA, 3), renamings(BRUNO, 3)
    applier = Applier(model, store)
    await applier.apply_where_next(GENERATION, [ana[2], *bruno])
    assert await documents(model, GENERATION) == folded(bruno)
    await applier.apply_where_next(GENERATION, ana)
    assert await documents(model, GENERATION) == folded([*ana, *bruno])
    assert (await parked(model), store.asked) == ({}, 0)


async def test_two_appliers_of_the_same_customers_come_to_the_same_result(model: ReadModel) -> None:
    history = interleaved(renamings(ANA, 30), renamings(BRUNO, 30), renamings(CECILIA, 30))
    store = EventStore(history)

    async def apply_all(size: int) -> None:
        applier = Applier(model, store)
        for start in range(0, len(history), size):
            await applier.apply(GENERATION, history[start : start + size])

    await asyncio.gather(apply_all(1), apply_all(7), apply_all(10), apply_all(90))
    assert await documents(model, GENERATION) == folded(history)
    assert await parked(model) == {}
