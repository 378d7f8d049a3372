"""A rebuild fills a new generation beside the live one, and switches only to what lacks nothing."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from customerflow_projector.apply import Applier
from customerflow_projector.feed import FeedUnavailable
from customerflow_projector.read_model import Generations, ReadModel
from customerflow_projector.rebuild import GenerationsDiffer, rebuild
from customerflow_shared import views
from customerflow_shared.events import Place, Recorded
from redis.asyncio import Redis

from .builders import ANA, BRUNO, CECILIA, EventStore, folded, interleaved, recorded, renamings, unknown
from .given_when_then import ERASED
from .steps import documents, dump, handle, rebuilt

HISTORY = interleaved(renamings(ANA, 20), renamings(BRUNO, 15), renamings(CECILIA, 10))


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("customerflow_projector.compare.LOOK_AGAIN_AFTER", 0.01)


async def generations_in(redis: Redis) -> set[str]:
    return {key.decode().split(":")[1] async for key in redis.scan_iter("cf:*:*")}


async def test_an_empty_redis_is_filled(model: ReadModel) -> None:
    report = await rebuilt(model, EventStore(HISTORY, page=7))
    assert await documents(model) == folded(HISTORY)
    assert (report.events, report.comparison.customers, report.parked) == (45, 3, 0)
    assert report.comparison.differences == []
    assert await model.generations() == (report.generation, None, None)


async def test_it_ends_vouched_for_with_a_checkpoint(model: ReadModel) -> None:
    report = await rebuilt(model, EventStore(HISTORY))
    assert await model.checkpoint(report.generation) == len(HISTORY)
    assert await model.vouched() == await model.run_id()


async def test_an_event_store_without_events_gives_an_empty_generation(model: ReadModel) -> None:
    report = await rebuilt(model, EventStore())
    assert (report.events, report.comparison.customers) == (0, 0)
    assert await model.generations() == (report.generation, None, None)
    assert await model.vouched() == await model.run_id()


async def test_progress_is_told_page_by_page(model: ReadModel) -> None:
    told: list[tuple[int, int]] = []
    store = EventStore(HISTORY, page=20)
    await rebuild(model, store, Applier(model, store), lambda *progress: told.append(progress))
    assert told == [(0, 45), (20, 45), (45, 45), (45, 45), (45, 45)], "pages of whole customers, then by position"


async def test_the_old_generation_is_dropped(model: ReadModel, redis: Redis) -> None:
    first = await rebuilt(model, EventStore(HISTORY))
    second = await rebuilt(model, EventStore(HISTORY))
    assert first.generation != second.generation
    assert await generations_in(redis) == {second.generation}


async def test_documents_that_are_older_than_their_events_are_repaired(model: ReadModel) -> None:
    await rebuilt(model, EventStore(HISTORY[:10]))
    report = await rebuilt(model, EventStore(HISTORY))
    assert report.comparison.counts["older"] == report.comparison.repaired == 3
    assert await documents(model) == folded(HISTORY)


async def test_a_document_that_someone_has_changed_is_repaired(model: ReadModel, redis: Redis) -> None:
    before = await rebuilt(model, EventStore(HISTORY))
    key = views.customer_key(before.generation, ANA)
    await redis.set(key, folded(HISTORY)[ANA].replace(b"Souza", b"X").replace(b"Name 20", b"Another"))
    assert (await rebuilt(model, EventStore(HISTORY))).comparison.repaired == 1
    assert await documents(model) == folded(HISTORY)


async def test_a_document_that_cannot_be_read_is_repaired(model: ReadModel, redis: Redis) -> None:
    before = await rebuilt(model, EventStore(HISTORY))
    await redis.set(views.customer_key(before.generation, ANA), b"Ana Souza")
    assert (await rebuilt(model, EventStore(HISTORY))).comparison.repaired == 1
    assert await documents(model) == folded(HISTORY)


async def test_events_that_cannot_be_applied_are_counted_as_parked(model: ReadModel) -> None:
    store = EventStore([*HISTORY[:-1], unknown(HISTORY[-1])])
    assert (await rebuilt(model, store)).parked == 1


async def test_an_event_store_that_knows_less_does_not_replace_what_is_live(model: ReadModel) -> None:
    before = await rebuilt(model, EventStore(HISTORY))
    for poorer in (EventStore(HISTORY[:-30]), EventStore()):
        with pytest.raises(GenerationsDiffer, match=r"[0-9] customers of the live generation are newer than"):
            await rebuilt(model, poorer)
        assert (await model.generations()).live == before.generation
        assert await documents(model) == folded(HISTORY)


async def test_an_event_store_that_knows_less_replaces_it_when_forced(model: ReadModel) -> None:
    await rebuilt(model, EventStore(HISTORY))
    await rebuilt(model, EventStore(HISTORY[:20]), force=True)
    assert await documents(model) == folded(HISTORY[:20])


async def test_a_generation_of_another_schema_is_not_compared(model: ReadModel, redis: Redis) -> None:
    await redis.mset({views.LIVE: "0-00000001", "cf:0-00000001:customer:x": "of another form"})
    report = await rebuilt(model, EventStore(HISTORY))
    assert (report.comparison.customers, report.comparison.repaired) == (3, 0)
    assert await generations_in(redis) == {report.generation}


class Busy(EventStore):
    """While every other page is read, more events happen, and the live projection applies them to what it finds. Not at
    each: what happens between the reading of a page and its storing is behind at the look that follows.
    """

    def __init__(self, model: ReadModel, events: list[Recorded], later: list[Recorded], *, page: int) -> None:
        super().__init__(events, page=page)
        self.model = model
        self.later = list(later)
        self.pages = 0

    async def by_customer(self, after: UUID) -> AsyncIterator[tuple[int, list[Recorded | Place]]]:
        async for found in super().by_customer(after):
            yield found
            await self._go_on()

    async def after(self, position: int) -> AsyncIterator[tuple[int, list[Recorded | Place]]]:
        async for found in super().after(position):
            yield found
            await self._go_on()

    async def _go_on(self) -> None:
        self.pages += 1
        if self.pages % 2 == 0:
            return
        batch, self.later = self.later[:3], self.later[3:]
        self.events += batch
        await project_live(self.model, self, batch)


async def project_live(model: ReadModel, store: EventStore, batch: list[Recorded]) -> None:
    """As the consumer does it."""
    live, building, _ = await model.generations()
    if building:
        await Applier(model, store).apply_where_next(building, batch)
    if live:
        await Applier(model, store).apply(live, batch)


@pytest.mark.parametrize("page", [1, 4, 100])
async def test_nothing_is_missed_that_happens_meanwhile(model: ReadModel, page: int) -> None:
    await rebuilt(model, EventStore(HISTORY[:15]))
    store = Busy(model, HISTORY[:15], HISTORY[15:], page=page)
    await rebuilt(model, store)
    while store.later:  # what happens after the switch
        batch, store.later = store.later[:3], store.later[3:]
        store.events += batch
        await project_live(model, store, batch)
    assert await documents(model) == folded(HISTORY)
    assert await model.parked((await model.generations())[0] or "") == {}


async def test_what_is_live_answers_while_another_is_built(model: ReadModel) -> None:
    before = await rebuilt(model, EventStore(HISTORY))
    seen: list[Generations] = []

    class Watched(EventStore):
        async def by_customer(self, after: UUID) -> AsyncIterator[tuple[int, list[Recorded | Place]]]:
            async for found in super().by_customer(after):
                yield found
                seen.append(await model.generations())
                assert await documents(model) == folded(HISTORY)

    report = await rebuilt(model, Watched(HISTORY, page=10))
    assert set(seen) == {(before.generation, report.generation, None)}


@pytest.mark.parametrize("kept", [7, 100_000])
async def test_customer_by_customer_it_comes_to_what_the_events_in_their_order_come_to(
    model: ReadModel, redis: Redis, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(views, "CHANGES_KEPT", kept)
    erasure = recorded(ERASED, 21, customer_id=ANA, position=len(HISTORY) + 1)
    store = EventStore([*HISTORY, erasure], page=20)
    built, applied = (await rebuilt(model, store)).generation, views.new_generation()
    await model.begin(applied)
    for event in store.events:
        await handle(Applier(model, store), applied, [event])
    assert await dump(redis, built) == await dump(redis, applied)


async def test_what_has_been_marked_meanwhile_is_taken_over(model: ReadModel, redis: Redis) -> None:
    """Of events that the live projection has brought, some are not above the head that the builder has seen."""

    class Late(EventStore):
        async def by_customer(self, after: UUID) -> AsyncIterator[tuple[int, list[Recorded | Place]]]:
            async for found in super().by_customer(after):
                yield found
                building = (await model.generations()).building or ""
                await model.mark(building, HISTORY[-2:])

    generation = (await rebuilt(model, Late(HISTORY, page=20))).generation
    assert not await redis.exists(views.key(generation, "handled"), views.key(generation, "built"))
    assert (await model.applied(generation))[0] == len(HISTORY)


async def test_a_feed_that_fails_leaves_what_is_live(model: ReadModel) -> None:
    before = await rebuilt(model, EventStore(HISTORY))
    store = EventStore(HISTORY)
    store.away = True
    with pytest.raises(FeedUnavailable):
        await rebuilt(model, store)
    assert (await model.generations())[0] == before.generation
    store.away = False
    await rebuilt(model, store)
