"""Who is parked is seen, and mended: by a retry, by one of all, or by giving the events up."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest
from customerflow_projector.apply import Applier
from customerflow_projector.expected import Difference
from customerflow_projector.feed import FeedUnavailable
from customerflow_projector.mending import Mark, Mending, NotParked, OfAnotherRelease, Superseded, Tally, reason
from customerflow_projector.read_model import Discarded, Parked, ReadModel
from customerflow_projector.verify import verifier
from customerflow_shared import timeline, views
from customerflow_shared.events import CustomerErased, Place, Recorded
from customerflow_shared.inputs.clear import actor
from customerflow_shared.inputs.fields import Unfit
from msgspec.structs import replace
from redis.asyncio import Redis

from .builders import (
    ANA,
    BEGINNING,
    BRUNO,
    CECILIA,
    ENTRY,
    LONG_AGO,
    LOOKUPS,
    EventStore,
    folded,
    interleaved,
    recorded,
    renaming,
    renamings,
    unknown,
)
from .steps import documents, handle, rebuilt

WHY = "made by a load test"
BY = "user:42"


def mending(model: ReadModel, store: EventStore) -> Mending:
    return Mending(model, store, Applier(model, store))


def poisoned(history: Sequence[Recorded], *at: tuple[UUID, int]) -> list[Recorded | Place]:
    """As a program reads it that does not know the events of these customers and versions."""
    return [unknown(one) if (one.customer_id, one.version) in at else one for one in history]


async def live(model: ReadModel, events: Sequence[Recorded | Place] = ()) -> str:
    """A generation in which whoever has an event that cannot be read is parked."""
    return (await rebuilt(model, EventStore(events))).generation


async def tallies(mended: Mending, after: Mark | None = None) -> list[Tally]:
    return [one async for one in mended.retry_all(after)]


# --- the list ---------------------------------------------------------------------------------------------------------


async def test_the_list_tells_the_event_in_the_way_and_why(model: ReadModel) -> None:
    history = renamings(ANA, 5)
    await live(model, poisoned(history, (ANA, 3)))
    (one,) = (await mending(model, EventStore()).listed()).page
    assert (one.customer_id, one.position, one.version) == (ANA, 3, 3)
    assert one.error == "UnknownEvent: at position 3"
    assert (one.type, one.discarded) == (msgspec.UNSET, msgspec.UNSET)


async def test_of_an_event_that_is_known_its_type_is_told(model: ReadModel) -> None:
    generation = await live(model, renamings(ANA, 2))
    twice = recorded(renamings(ANA, 1)[0].event, 3)  # registered a second time
    store = EventStore([*renamings(ANA, 2), twice, *renamings(ANA, 4)[3:]])
    await Applier(model, store).apply(generation, store.events[3:])  # the third comes out of the feed
    (one,) = (await mending(model, EventStore()).listed()).page
    assert (one.version, one.type) == (3, "CustomerRegistered")


async def test_the_list_is_oldest_first_in_pages_that_others_do_not_move(model: ReadModel) -> None:
    generation = await live(model)
    ones = [UUID(int=number) for number in range(1, 8)]
    for number, one in enumerate(ones):
        since = LONG_AGO + timedelta(days=(number // 2))  # some at the same time
        await model.park(generation, one, replace(ENTRY, since=since))
    mended = mending(model, EventStore())
    first = await mended.listed(limit=3)
    assert [one.customer_id for one in first.page] == ones[:3]
    assert first.parked == 7
    await model.unpark(generation, ones[0], replace(ENTRY, since=LONG_AGO))
    await model.unpark(generation, ones[2], replace(ENTRY, since=LONG_AGO + timedelta(days=1)))
    second = await mended.listed(limit=3, after=first.after)
    third = await mended.listed(limit=3, after=second.after)
    assert [one.customer_id for one in (*second.page, *third.page)] == ones[3:]
    assert (third.after, third.parked) == (None, 5)


async def test_while_nothing_is_live_nobody_is_listed(model: ReadModel) -> None:
    mended = mending(model, EventStore())
    assert await mended.listed() == ([], None, 0, 0)
    assert await tallies(mended) == [Tally(0, 0, 0, None)]
    for wanted in (mended.one(ANA), mended.retry(ANA), mended.discard(ANA, reason=WHY, by=BY)):
        with pytest.raises(NotParked):
            await wanted


@pytest.mark.parametrize("told", ["", "x", "\u00e9", "YQ", "YQ==", str(Mark(LONG_AGO, ANA)) + "=", "A" * 10_000])
def test_what_is_no_mark_is_refused(told: str) -> None:
    with pytest.raises(ValueError, match="not a mark"):
        Mark.read(told)


def test_a_mark_says_the_very_moment() -> None:
    mark = Mark(datetime(2026, 11, 23, 12, 0, 0, 123_457, tzinfo=UTC), ANA)
    assert Mark.read(str(mark)) == mark


# --- a retry ----------------------------------------------------------------------------------------------------------


async def test_a_retry_brings_the_fold_of_all_events_in_their_order(model: ReadModel) -> None:
    history = interleaved(renamings(ANA, 70), renamings(BRUNO, 3))
    generation = await live(model, poisoned(history, (ANA, 2)))
    assert await mending(model, EventStore(history)).retry(ANA) is None
    assert await documents(model) == folded(history)
    blocks, entries = await model.timeline(generation, ANA)
    packed = [one for block in blocks for one in timeline.unpack(block).entries]
    assert [timeline.decode(one).version for one in (*packed, *entries)] == [*range(1, 71)]
    with pytest.raises(NotParked):
        await mending(model, EventStore(history)).retry(ANA)


async def test_what_still_cannot_be_applied_is_told_with_the_attempt(model: ReadModel) -> None:
    store = EventStore(poisoned(renamings(ANA, 3), (ANA, 2)))
    await live(model, store.events)
    before = await mending(model, store).one(ANA)
    left = await mending(model, store).retry(ANA)
    assert left is not None
    assert (left.attempts, left.since) == (before.attempts + 1, before.since)


async def test_a_retry_without_the_feed_changes_nothing(model: ReadModel, redis: Redis) -> None:
    store = EventStore(poisoned(renamings(ANA, 3), (ANA, 2)))
    generation = await live(model, store.events)
    before = await redis.hgetall(views.parked_key(generation))
    store.away = True
    with pytest.raises(FeedUnavailable):
        await mending(model, store).retry(ANA)
    with pytest.raises(FeedUnavailable):
        await tallies(mending(model, store))
    assert await redis.hgetall(views.parked_key(generation)) == before


async def test_a_read_model_of_another_release_is_seen_and_left_alone(model: ReadModel, redis: Redis) -> None:
    newer = f"{int(views.SCHEMA) + 1}-00000001"
    await redis.set(views.LIVE, newer)
    await model.park(newer, ANA, ENTRY)
    mended = mending(model, EventStore(renamings(ANA, 1)))
    assert (await mended.listed()).parked == 1
    for refused in (mended.retry(ANA), mended.discard(ANA, reason=WHY, by=BY), tallies(mended)):
        with pytest.raises(OfAnotherRelease):
            await refused
    assert await model.parked(newer) == {ANA: ENTRY}
    assert await documents(model, newer) == {}


class Slow(EventStore):
    """Others come between its answer and what is made of it."""

    async def of_customer(self, customer_id: UUID, after: int) -> list[Recorded | Place]:
        found = await super().of_customer(customer_id, after)
        await asyncio.sleep(0.02)
        return found


async def test_two_retries_at_once_both_say_that_it_is_applied(model: ReadModel) -> None:
    history = renamings(ANA, 9)
    await live(model, poisoned(history, (ANA, 2)))
    store = Slow(history)
    outcomes = await asyncio.gather(*(mending(model, store).retry(ANA) for _ in range(2)))
    assert outcomes == [None, None]
    assert await documents(model) == folded(history)
    assert (await mending(model, store).listed()).page == []


async def test_an_event_that_comes_while_one_retries_is_applied_with_it(model: ReadModel) -> None:
    history = renamings(ANA, 6)
    generation = await live(model, poisoned(history[:4], (ANA, 2)))
    store = Slow(history[:4])

    async def later() -> None:
        await asyncio.sleep(0.01)
        store.events = [*history]
        await handle(Applier(model, store), generation, history[4:])

    outcome, _ = await asyncio.gather(mending(model, store).retry(ANA), later())
    assert outcome is None
    assert await documents(model) == folded(history)
    assert await model.parked(generation) == {}


@pytest.mark.parametrize("seed", range(12))
async def test_retries_discards_and_live_events_at_once_come_to_the_fold(model: ReadModel, seed: int) -> None:
    chance = random.Random(seed)
    customers = [UUID(int=number) for number in range(1, 5)]
    history = interleaved(*(renamings(one, 30) for one in customers))
    generation = await live(model, poisoned(history[:20], *((one, 2) for one in customers)))
    store = Slow(history[:20])  # which now can be read

    async def deliver() -> None:
        for start in range(20, len(history), 10):
            store.events = [*history[: start + 10]]
            await handle(Applier(model, store), generation, history[start : start + 10])
            await asyncio.sleep(chance.uniform(0, 0.01))

    async def mend() -> None:
        mended = mending(model, store)
        for _ in range(6):
            await asyncio.sleep(chance.uniform(0, 0.02))
            try:
                if chance.random() < 0.3:
                    await mended.discard(chance.choice(customers), reason=WHY, by=BY)
                elif chance.random() < 0.5:
                    await mended.retry(chance.choice(customers))
                else:
                    await tallies(mended)
            except NotParked:
                pass

    await asyncio.gather(deliver(), mend(), mend())
    for one in await model.parked(generation):
        assert await mending(model, store).retry(one) is None
    assert await documents(model) == folded(history)


# --- a retry of all ---------------------------------------------------------------------------------------------------


class Asked(EventStore):
    """Remembers for whom it was asked; does not answer for some."""

    def __init__(self, events: Sequence[Recorded | Place], *silent: UUID) -> None:
        super().__init__(events)
        self.customers: list[UUID] = []
        self.silent = silent

    async def of_customer(self, customer_id: UUID, after: int) -> list[Recorded | Place]:
        self.customers.append(customer_id)
        if customer_id in self.silent:
            raise FeedUnavailable("a line cannot be read")
        return await super().of_customer(customer_id, after)


async def three_parked(model: ReadModel) -> tuple[str, list[Recorded]]:
    """Cecilia first, then Ana, then Bruno."""
    history = interleaved(*(renamings(one, 3) for one in (ANA, BRUNO, CECILIA)))
    generation = await live(model, poisoned(history, (ANA, 2), (BRUNO, 2), (CECILIA, 2)))
    for days, one in enumerate((CECILIA, ANA, BRUNO)):
        standing = await model.standing(generation, one)
        assert standing
        await model.park(generation, one, replace(standing.parked, since=LONG_AGO + timedelta(days=days)))
    return generation, history


async def test_a_retry_of_all_goes_from_the_oldest_on_and_says_how_far_it_is(model: ReadModel) -> None:
    _, history = await three_parked(model)
    store = Asked(poisoned(history, (ANA, 3)))
    told = await tallies(mending(model, store))
    assert [one[:3] for one in told] == [(0, 0, 3), (1, 0, 2), (1, 1, 1), (2, 1, 0)]
    assert store.customers == [CECILIA, ANA, BRUNO]
    assert [one.customer_id for one in (await mending(model, store).listed()).page] == [ANA]


async def test_a_retry_of_all_that_is_left_goes_on_where_it_was(model: ReadModel) -> None:
    _, history = await three_parked(model)
    store = Asked(poisoned(history, (CECILIA, 2)))
    async with aclosing(mending(model, store).retry_all()) as under_way:
        async for tally in under_way:
            if tally.left == 2:
                break
    assert store.customers == [CECILIA]
    assert tally.mark
    assert [one[:3] for one in await tallies(mending(model, store), tally.mark)] == [(0, 0, 2), (1, 0, 1), (2, 0, 0)]
    assert store.customers == [CECILIA, ANA, BRUNO]


async def test_a_retry_of_all_stops_with_the_feed_and_leaves_the_others_as_they_are(model: ReadModel) -> None:
    generation, history = await three_parked(model)
    store = EventStore(history)
    before = await model.parked(generation)
    told = list[Tally]()
    with pytest.raises(FeedUnavailable):
        async for tally in mending(model, store).retry_all():
            told.append(tally)
            store.away = tally.applied == 1
    assert told[-1][:3] == (1, 0, 2)
    after = await model.parked(generation)
    assert after.keys() == {ANA, BRUNO}
    assert after[BRUNO] == before[BRUNO]


async def test_a_customer_whom_the_feed_cannot_tell_does_not_stop_the_others(model: ReadModel) -> None:
    _, history = await three_parked(model)
    told = await tallies(mending(model, Asked(history, CECILIA)))
    assert told[-1][:3] == (2, 1, 0)


async def test_who_is_freed_or_discarded_meanwhile_is_not_retried(model: ReadModel) -> None:
    generation, history = await three_parked(model)
    store = Asked(history)
    told = list[Tally]()
    async for tally in mending(model, store).retry_all():
        if not told:
            assert await Applier(model, EventStore(history)).retry(
                generation, ANA, (await model.parked(generation))[ANA]
            )
            await mending(model, store).discard(BRUNO, reason=WHY, by=BY)
        told.append(tally)
    assert [one[:3] for one in told] == [(0, 0, 3), (1, 0, 2), (2, 0, 1), (2, 0, 0)]
    assert store.customers == [CECILIA]


async def test_who_is_discarded_is_not_retried_with_all(model: ReadModel) -> None:
    _, history = await three_parked(model)
    mended = mending(model, EventStore(history))
    await mended.discard(ANA, reason=WHY, by=BY)
    assert (await tallies(mended))[-1][:3] == (2, 0, 0)
    listed = await mended.listed()
    assert ([one.customer_id for one in listed.page], listed.parked, listed.discarded) == ([ANA], 0, 1)


async def test_a_rebuild_meanwhile_ends_a_retry_of_all(model: ReadModel) -> None:
    generation, history = await three_parked(model)
    with pytest.raises(Superseded):
        async for tally in mending(model, EventStore(history)).retry_all():
            if tally.applied == 0:
                await live(model, history)
    assert await documents(model, generation) == {}


# --- giving up --------------------------------------------------------------------------------------------------------


async def a_discarded_customer(model: ReadModel, versions: int = 4) -> tuple[str, list[Recorded], EventStore]:
    """Ana, whose second event cannot be read."""
    history = renamings(ANA, versions)
    store = EventStore(poisoned(history, (ANA, 2)))
    generation = await live(model, store.events)
    await mending(model, store).discard(ANA, reason=WHY, by=BY)
    return generation, history, store


async def test_who_is_discarded_stays_listed_with_the_reason_and_as_it_is(model: ReadModel) -> None:
    _, history, store = await a_discarded_customer(model)
    one = await mending(model, store).one(ANA)
    assert one.discarded
    assert (one.discarded.reason, one.discarded.by) == (WHY, BY)
    told_at = datetime.fromisoformat(one.discarded.at)
    assert timedelta(0) <= datetime.now(UTC) - told_at < timedelta(seconds=30)
    assert await documents(model) == folded(history[:1])


async def test_later_events_of_who_is_discarded_pass_it_over(model: ReadModel) -> None:
    generation, history, store = await a_discarded_customer(model)
    later = recorded(renaming("Name 5", "Name 4"), 5)
    await handle(Applier(model, store), generation, [later])
    assert await documents(model) == folded(history[:1])
    one = await mending(model, store).one(ANA)
    assert one.discarded
    assert one.passed_over == 5


async def test_a_retry_brings_who_is_discarded_to_the_fold_and_forgets_the_reason(
    model: ReadModel, redis: Redis
) -> None:
    generation, history, store = await a_discarded_customer(model)
    store.events = [*history]
    assert await mending(model, store).retry(ANA) is None
    assert await documents(model) == folded(history)
    assert await redis.hgetall(views.key(generation, "discarded")) == {}


async def test_a_retry_in_vain_leaves_it_discarded(model: ReadModel) -> None:
    _, _, store = await a_discarded_customer(model)
    left = await mending(model, store).retry(ANA)
    assert left
    assert left.discarded
    assert left.attempts > 1


async def test_who_is_parked_another_time_is_not_discarded(model: ReadModel) -> None:
    generation, history, store = await a_discarded_customer(model)
    store.events = [*history]
    await mending(model, store).retry(ANA)
    await Applier(model, store).apply(generation, [unknown(recorded(renaming("a", "b"), 5))])
    assert (await mending(model, store).one(ANA)).discarded == msgspec.UNSET


async def test_the_newest_reason_counts(model: ReadModel) -> None:
    _, _, store = await a_discarded_customer(model)
    await mending(model, store).discard(ANA, reason="another", by="service:console")
    one = await mending(model, store).one(ANA)
    assert one.discarded
    assert (one.discarded.reason, one.discarded.by) == ("another", "service:console")


async def test_an_erasure_overtakes_who_is_discarded(model: ReadModel, redis: Redis) -> None:
    generation, history, store = await a_discarded_customer(model)
    erased = recorded(
        CustomerErased(erased_at=BEGINNING, reason_code="requested", request_ref=None, keys_destroyed=1), 5
    )
    store.events = [*history, erased]
    await handle(Applier(model, store), generation, [erased])
    (stored,) = await model.load(generation, [ANA])
    assert stored is not None
    assert views.split(stored).erased
    assert (await mending(model, store).listed()).page == []
    assert await redis.hgetall(views.key(generation, "discarded")) == {}


async def test_an_erasure_whose_timeline_cannot_be_told_is_a_failure_again(model: ReadModel) -> None:
    """For the keeper is to tell it as soon as it can be told."""
    generation, history, store = await a_discarded_customer(model)
    erased = recorded(
        CustomerErased(erased_at=BEGINNING, reason_code="requested", request_ref=None, keys_destroyed=1), 5
    )
    store.events = [*store.events, erased]
    await handle(Applier(model, store), generation, [erased])
    one = await mending(model, store).one(ANA)
    assert (one.error, one.discarded) == ("HistoryBroken: of 5 events 4 can be told", msgspec.UNSET)
    store.events = [*history, erased]
    assert await mending(model, store).retry(ANA) is None


async def test_a_rebuild_tries_anew_who_is_discarded(model: ReadModel) -> None:
    _, history, store = await a_discarded_customer(model)
    await live(model, store.events)
    assert (await mending(model, store).one(ANA)).discarded == msgspec.UNSET
    await mending(model, store).discard(ANA, reason=WHY, by=BY)
    await live(model, history)
    assert await documents(model) == folded(history)
    with pytest.raises(NotParked):
        await mending(model, store).one(ANA)


async def test_verify_goes_on_saying_that_who_is_discarded_is_behind(model: ReadModel) -> None:
    _, history, _ = await a_discarded_customer(model)
    found = list[Difference]()
    await (await verifier(model, EventStore(history), LOOKUPS, lambda one, _: found.append(one))).all()
    assert (ANA, "version") in [one[:2] for one in found]


async def test_a_discard_of_who_is_retried_meanwhile_counts_or_says_that_it_is_not_parked(model: ReadModel) -> None:
    history = renamings(ANA, 4)
    for _ in range(5):
        generation = (await rebuilt(model, EventStore(poisoned(history, (ANA, 2))), force=True)).generation
        store = Slow(history)
        _, discarded = await asyncio.gather(
            mending(model, store).retry(ANA),
            mending(model, store).discard(ANA, reason=WHY, by=BY),
            return_exceptions=True,
        )
        assert not isinstance(discarded, BaseException) or isinstance(discarded, NotParked)
        assert await model.standings(generation) == {}
        assert await documents(model) == folded(history)


def after_a_look(monkeypatch: pytest.MonkeyPatch, redis: Redis, happens: Callable[[], Awaitable[object]]) -> None:
    """It happens between a look at an entry and what is said of it."""
    look = redis.hget

    async def looked(key: str, field: str) -> Any:
        found = await cast(Awaitable[Any], look(key, field))
        monkeypatch.setattr(redis, "hget", look)
        await happens()
        return found

    monkeypatch.setattr(redis, "hget", looked)


async def test_of_who_is_freed_at_that_moment_nothing_is_said(
    model: ReadModel, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = await live(model)
    await model.park(generation, ANA, ENTRY)
    after_a_look(monkeypatch, redis, lambda: model.unpark(generation, ANA, ENTRY))
    assert await model.discard(generation, ANA, reason=WHY, by=BY) is None
    assert await redis.hgetall(views.key(generation, "discarded")) == {}


async def test_who_is_parked_anew_at_that_moment_is_discarded_as_it_is_then(
    model: ReadModel, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    generation = await live(model)
    await model.park(generation, ANA, ENTRY)
    anew = replace(ENTRY, since=BEGINNING)
    after_a_look(monkeypatch, redis, lambda: model.park(generation, ANA, anew))
    assert await model.discard(generation, ANA, reason=WHY, by=BY)
    standing = await model.standing(generation, ANA)
    assert standing
    assert (standing.parked, standing.discarded is None) == (anew, False)


# --- beside other releases --------------------------------------------------------------------------------------------


class ParkedBefore(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """As the release before this one reads and writes it."""

    position: int
    version: int
    error: str
    attempts: int
    since: datetime
    attempted_at: datetime
    passed_over: int = 0


async def written_by_the_release_before(redis: Redis, generation: str, *, passed_over: int) -> bytes:
    """It has read the entry, whoever wrote it, and passes an event over."""
    key = views.parked_key(generation)
    there = msgspec.json.decode(await redis.hget(key, str(ANA)) or b"", type=ParkedBefore)
    encoded = msgspec.json.encode(replace(there, passed_over=passed_over))
    await redis.hset(key, str(ANA), encoded.decode())
    return encoded


async def test_what_a_release_before_has_parked_is_listed_and_can_be_removed(model: ReadModel, redis: Redis) -> None:
    generation = await live(model, [*(history := renamings(ANA, 1)), unknown(recorded(renaming("a", "b"), 2))])
    await written_by_the_release_before(redis, generation, passed_over=2)
    entry = (await model.parked(generation))[ANA]
    assert isinstance(entry, Parked)
    assert entry.type == msgspec.UNSET
    assert (await mending(model, EventStore(history)).one(ANA)).passed_over == 2
    assert await model.unpark(generation, ANA, entry)


async def test_a_release_before_that_writes_the_entry_again_does_not_undo_a_discard(
    model: ReadModel, redis: Redis
) -> None:
    generation, history, store = await a_discarded_customer(model)
    await written_by_the_release_before(redis, generation, passed_over=7)
    assert (await mending(model, store).one(ANA)).discarded
    store.events = [*history]
    assert await mending(model, store).retry(ANA) is None


async def test_a_reason_that_a_release_before_has_left_behind_says_nothing_of_a_later_time(
    model: ReadModel, redis: Redis
) -> None:
    generation, _, store = await a_discarded_customer(model)
    await redis.hdel(views.parked_key(generation), str(ANA))  # all that it knows of
    await model.park(generation, ANA, ENTRY)
    assert (await mending(model, store).one(ANA)).discarded == msgspec.UNSET


WITHOUT_ZONES = msgspec.json.encode(ENTRY).decode().replace("Z", "")


@pytest.mark.parametrize("there", ["{}", "nonsense", '{"reason":1}', WITHOUT_ZONES])
async def test_what_cannot_be_read_is_listed_discarded_and_retried(model: ReadModel, redis: Redis, there: str) -> None:
    history = renamings(ANA, 2)
    generation = await live(model, history)
    await redis.hset(views.parked_key(generation), str(ANA), there)
    await redis.hset(views.key(generation, "discarded"), str(ANA), there)
    mended = mending(model, EventStore(history))
    one = await mended.one(ANA)
    assert (one.error, one.discarded) == ("unreadable", msgspec.UNSET)
    assert (await mended.discard(ANA, reason=WHY, by=BY)).discarded
    assert (await mended.one(ANA)).discarded
    assert await mended.retry(ANA) is None


def test_what_is_said_of_an_entry_names_the_entry() -> None:
    said = Discarded(reason=WHY, at=LONG_AGO, by=BY, since=LONG_AGO)
    assert msgspec.json.decode(msgspec.json.encode(said), type=Discarded) == said


# --- reasons and those who give them ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (None, "type"),
        (7, "type"),
        ("", "blank"),
        (" \u3164 ", "blank"),
        ("x" * 501, "too-long"),
        ("a\nb", "invalid-characters"),
        ("ask ana@example.com", "format"),
        ("CPF 390.533.447-05", "format"),
        ("call +55 11 99999-8888", "format"),
    ],
)
def test_a_reason_is_a_text_of_nobody(given: object, code: str) -> None:
    with pytest.raises(Unfit) as refused:
        reason(given)
    assert refused.value.code == code
    assert not isinstance(given, str) or not given.strip() or given not in refused.value.detail


def test_a_reason_has_up_to_500_characters() -> None:
    assert reason("x" * 500) == "x" * 500
    assert reason("  e\u0301 ") == "\u00e9"


@pytest.mark.parametrize("given", ["", "ana", "user:", "user:a b", "root:1", "user:39053344705", "user:" + "a" * 65])
def test_who_mends_is_a_name_for_programs(given: str) -> None:
    with pytest.raises(Unfit) as refused:
        actor(given)
    assert refused.value.code == "format"
