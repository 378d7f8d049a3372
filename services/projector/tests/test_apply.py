"""Applying events to the read model: gaps are filled, what cannot be applied parks its customer, the rest flows on."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest
from customerflow_projector import history as telling
from customerflow_projector.apply import Applier
from customerflow_projector.feed import FeedUnavailable
from customerflow_projector.projections import project
from customerflow_projector.read_model import Parked, ReadModel, Stored, Write
from customerflow_shared import timeline, views
from customerflow_shared.events import CustomerErased, Place, Recorded
from customerflow_shared.views import ErasedView, timestamp
from redis.asyncio import Redis

from .builders import (
    ANA,
    BEGINNING,
    BRUNO,
    CECILIA,
    ENTRY,
    LOOKUPS,
    RENAMED,
    EventStore,
    folded,
    interleaved,
    recorded,
    renamings,
    unknown,
)
from .steps import documents, dump

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
    await model.redis.set(views.customer_key(GENERATION, ANA), b"1\n{")
    await applier.apply(GENERATION, [ana[1], bruno[1]])
    assert (await parked(model))[ANA].error == "DecodeError"
    assert (await documents(model, GENERATION))[BRUNO] == folded(bruno)[BRUNO]


@pytest.mark.parametrize("foreign", [b"", b"Ana Souza", b"1\n{"])
async def test_a_document_that_cannot_be_read_does_not_stop_its_retry(model: ReadModel, foreign: bytes) -> None:
    history = renamings(ANA, 2)
    applier = Applier(model, EventStore(history))
    await model.redis.set(views.customer_key(GENERATION, ANA), foreign)
    await model.park(GENERATION, ANA, ENTRY)
    freed = await applier.retry(GENERATION, ANA, ENTRY)
    assert freed == (ANA not in await parked(model)) == (foreign == b"")


async def test_an_entry_that_cannot_be_read_parks_its_customer_until_it_is_retried(model: ReadModel) -> None:
    ana, bruno = renamings(ANA, 2), renamings(BRUNO, 2)
    applier = Applier(model, EventStore(ana))
    await model.redis.hset(views.parked_key(GENERATION), str(ANA), "{}")
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
        async def store_and_mark(self, *_: object) -> Stored:
            raise ConnectionError

    history = renamings(ANA, 2)
    applier = Applier(model, EventStore(history))
    await applier.apply(GENERATION, [unknown(history[0])])
    try:
        await Applier(Dying(model.redis, LOOKUPS), EventStore(history)).retry(
            GENERATION, ANA, (await parked(model))[ANA]
        )
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


def held(view: views.View | None, entries: Sequence[bytes] = ()) -> Write:
    assert view is not None
    return Write(expected=0, before=None, after=view, entries=entries)


@pytest.mark.parametrize(
    "before",
    [[*renamings(ANA, 2), unknown(recorded(RENAMED, 3))], [recorded(RENAMED, 3)], []],
    ids=["unknown event", "gap", "nothing"],
)
async def test_an_erasure_waits_for_nothing_but_its_timeline_for_all_events(
    model: ReadModel, redis: Redis, before: list[Recorded | Place]
) -> None:
    store = EventStore()
    store.away = True
    applier, erased = Applier(model, store), an_erasure(4)
    for event in [*before, erased]:
        await applier.apply(GENERATION, [event])
    (stored,) = await model.load(GENERATION, [ANA])
    assert stored is not None
    assert views.unpack(stored) == ErasedView(id=ANA, version=4, erased_at=timestamp(BEGINNING))
    assert not {"words", "names", "lookup"} & (await dump(redis, GENERATION)).keys()
    assert await model.timeline(GENERATION, ANA) == ([], [])
    assert (await parked(model))[ANA].error == "FeedUnavailable: away"

    await applier.apply(GENERATION, [erased, *before])
    store.away = False
    store.events = [*renamings(ANA, 2), unknown(recorded(RENAMED, 3)), erased]  # as this program reads them
    assert not await applier.retry(GENERATION, ANA, (await parked(model))[ANA])
    assert (await parked(model))[ANA].error == "HistoryBroken: of 4 events 3 can be told"
    assert await model.timeline(GENERATION, ANA) == ([], [])

    store.events = [*renamings(ANA, 3), erased]
    assert await applier.retry(GENERATION, ANA, (await parked(model))[ANA])
    assert await parked(model) == {}
    assert await model.load(GENERATION, [ANA]) == [stored]
    told = telling.unpacked(*await model.timeline(GENERATION, ANA))
    assert [(one.version, one.redacted, one.changes) for one in told] == [(n, True, ()) for n in range(1, 5)]


async def test_an_erasure_that_comes_again_completes_what_is_wanting(model: ReadModel) -> None:
    store = EventStore([*renamings(ANA, 2), an_erasure(3)])
    store.away = True
    applier = Applier(model, store)
    await applier.apply(GENERATION, [an_erasure(3)])
    assert ANA in await parked(model)
    store.away = False
    await applier.apply(GENERATION, [an_erasure(3)])
    assert await parked(model) == {}
    assert len((await model.timeline(GENERATION, ANA))[1]) == 3
    await applier.apply(GENERATION, [an_erasure(3)])
    assert store.asked == 2


async def test_an_erasure_whose_timeline_is_here_needs_no_feed(model: ReadModel) -> None:
    store = EventStore()
    applier = Applier(model, store)
    await applier.apply(GENERATION, renamings(ANA, 70))
    await applier.apply(GENERATION, [an_erasure(71)])
    assert (await parked(model), store.asked) == ({}, 0)
    blocks, entries = await model.timeline(GENERATION, ANA)
    assert [timeline.unpack(block).document for block in blocks] == [None]
    assert [one.redacted for one in telling.unpacked(blocks, entries)] == [True] * 71
    assert all(b"Name" not in one for one in entries)


async def test_a_document_that_cannot_be_read_can_be_erased(model: ReadModel, redis: Redis) -> None:
    await redis.set(views.customer_key(GENERATION, ANA), b"3\nnonsense about Ana")
    await Applier(model, EventStore([*renamings(ANA, 3), an_erasure(4)])).apply(GENERATION, [an_erasure(4)])
    (stored,) = await model.load(GENERATION, [ANA])
    assert stored is not None
    assert b"Ana" not in stored
    assert await parked(model) == {}


async def test_a_timeline_that_cannot_be_read_is_told_anew_when_it_is_erased(model: ReadModel) -> None:
    life = renamings(ANA, 3)
    await model.store(GENERATION, [held(project(None, life[0]), [b"{"])])
    await Applier(model, EventStore([*life, an_erasure(4)])).apply(GENERATION, [an_erasure(4)])
    assert len(telling.unpacked(*await model.timeline(GENERATION, ANA))) == 4


async def test_a_block_is_not_made_of_a_timeline_that_lacks_something(model: ReadModel, redis: Redis) -> None:
    life = renamings(ANA, 70)
    applier = Applier(model, EventStore())
    await applier.apply(GENERATION, life[:63])
    await redis.rpop(views.timeline_key(GENERATION, ANA))
    await applier.apply(GENERATION, life[63:])
    assert (await parked(model))[ANA].error == "HistoryBroken: after the last block there are 62 entries, at version 63"
    assert await documents(model, GENERATION) == folded(life[:63])


@pytest.mark.parametrize("size", [1, 7, 63, 64, 65, 200])
async def test_a_timeline_is_the_same_in_batches_of_any_size(model: ReadModel, size: int) -> None:
    life = renamings(ANA, 200)
    applier = Applier(model, EventStore())
    for start in range(0, len(life), size):
        await applier.apply(GENERATION, life[start : start + size])
    blocks, entries = await model.timeline(GENERATION, ANA)
    assert [len(timeline.unpack(block).entries) for block in blocks] == [64, 64, 64]
    ends = [timeline.unpack(block).document for block in blocks]
    assert [bytes(end or b"") for end in ends] == [
        views.split(folded(life[: 64 * number])[ANA]).document for number in (1, 2, 3)
    ]
    assert [one.version for one in telling.unpacked(blocks, entries)] == list(range(1, 201))


async def test_where_next_leaves_gaps_to_others(model: ReadModel) -> None:
    store = EventStore(renamings(ANA, 3))
    ana, bruno = renamings(ANA, 3), renamings(BRUNO, 3)
    applier = Applier(model, store)
    assert await applier.apply_where_next(GENERATION, [ana[2], *bruno]) == bruno
    assert await documents(model, GENERATION) == folded(bruno)
    assert await applier.apply_where_next(GENERATION, [*ana, bruno[0]]) == [*ana, bruno[0]]
    assert await documents(model, GENERATION) == folded([*ana, *bruno])
    assert (await parked(model), store.asked) == ({}, 0)


async def test_where_next_what_cannot_be_applied_is_not_contained(model: ReadModel) -> None:
    ana, bruno = renamings(ANA, 3), renamings(BRUNO, 1)
    contained = await Applier(model, EventStore()).apply_where_next(
        GENERATION, [ana[0], unknown(ana[1]), ana[2], *bruno]
    )
    assert contained == [ana[0], *bruno]


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
