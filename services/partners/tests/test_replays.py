"""Replays on a real broker and a real database: nothing is missing, nobody else gets anything, whatever happens."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote
from uuid import UUID

import aio_pika
import msgspec
import pytest
from aio_pika.abc import AbstractIncomingMessage
from customerflow_local.testing import Database
from customerflow_partners import asking, replaying, replays
from customerflow_partners.feed import Event, Feed, Line
from customerflow_partners.keeping import NotSubscribed
from customerflow_partners.publishing import Publisher
from customerflow_partners.replaying import Runner, waves
from customerflow_partners.replays import Asked, NoReplay, Over, Replay, Replays, State, Unfinished
from customerflow_partners.subscriptions import EVENTS, dead_of, queue_of
from customerflow_shared import database, service
from sqlalchemy.ext.asyncio import AsyncEngine

from .broker import Broker, until
from .past import CONSENT, ERASED, UPDATED, Past, customer

FAST = Asked(rate=replays.MAX_RATE)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "LOOK_EVERY", 0.1)


@pytest.fixture
async def engine(migrated: Database) -> AsyncIterator[AsyncEngine]:
    engine = database.open_engine(migrated.url)
    yield engine
    await engine.dispose()


@pytest.fixture
def kept(engine: AsyncEngine) -> Replays:
    return Replays(engine)


@pytest.fixture
async def name(broker: Broker) -> str:
    created, _ = await broker.kept.create(broker.wish())
    return created.subscription.name


@dataclass
class Partner:
    """Takes whatever is in its queue."""

    arrived: list[AbstractIncomingMessage] = field(default_factory=list)

    async def take(self, message: AbstractIncomingMessage) -> None:
        self.arrived.append(message)
        await message.ack()

    @property
    def ids(self) -> list[str]:
        return [str(message.message_id) for message in self.arrived]

    def first_sequences(self) -> dict[str, list[int]]:
        """Of each customer, in the order in which they came for the first time."""
        found: dict[str, list[int]] = defaultdict(list)
        for message in self.arrived:
            told = msgspec.json.decode(message.body)
            if (sequence := int(told["sequence"])) not in found[told["subject"]]:
                found[told["subject"]].append(sequence)
        return found


@asynccontextmanager
async def partner(broker: Broker, name: str) -> AsyncIterator[Partner]:
    listening = Partner()
    async with await aio_pika.connect(broker.amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(queue_of(name), ensure=False)
        await queue.consume(listening.take)
        yield listening


def runner(broker: Broker, kept: Replays, past: Past, *, amqp_url: str = "", holder: str = "test") -> Runner:
    return Runner(kept, Feed(past.client()), broker.management, amqp_url or broker.amqp_url, holder)


@asynccontextmanager
async def running(broker: Broker, kept: Replays, past: Past, **other: Any) -> AsyncIterator[None]:
    async with service.background("replays", runner(broker, kept, past, **other).run):
        yield


async def begin(broker: Broker, kept: Replays, name: str, asked: Asked = FAST) -> UUID:
    return (await asking.begin(kept, broker.management, name, asked)).id


async def ended(kept: Replays, name: str, replay: UUID, state: State = State.COMPLETED, within: float = 30) -> Replay:
    async def so() -> bool:
        return (await kept.one(name, replay)).state is state

    await until(so, within)
    return await kept.one(name, replay)


def more_than(listening: Partner, count: int) -> bool:
    return len(listening.arrived) > count


async def waits(kept: Replays, name: str, replay: UUID, for_what: str) -> None:
    async def so() -> bool:
        told = (await kept.one(name, replay)).waiting
        return isinstance(told, str) and for_what in told

    await until(so)


# --- what arrives -----------------------------------------------------------------------------------------------------


async def test_everything_arrives_in_order_as_it_was_first_and_nobody_else_gets_anything(
    broker: Broker, kept: Replays, name: str
) -> None:
    other, _ = await broker.kept.create(broker.wish())
    past = Past.of(20, 30, UPDATED, ERASED, CONSENT)
    past.unreadable = {7, 400}
    async with partner(broker, name) as listening, running(broker, kept, past):
        replay = await begin(broker, kept, name)
        done = await ended(kept, name, replay)
        taken = [
            one for line in past.lines.values() for one in line if one["type"].split("customerflow.")[1] != CONSENT
        ]
        expected = [one["id"] for one in taken if (position_of(past, one["id"]) not in past.unreadable)]
        await until(lambda: len(listening.arrived) >= len(expected))
    assert sorted(listening.ids) == sorted(expected)
    assert all(sequences == sorted(sequences) for sequences in listening.first_sequences().values())
    bodies = {one["id"]: one for one in taken}
    for message in listening.arrived:
        assert msgspec.json.decode(message.body) == bodies[str(message.message_id)]
        assert message.headers["customerflow-replay"] == str(replay)
        assert message.headers["customerflow-routing-key"] in (UPDATED, ERASED)
        assert message.content_type == "application/cloudevents+json"
        assert message.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert await broker.waiting(other.subscription.queue) == 0
    assert (done.progress.begin, done.progress.position, done.progress.of) == (0, past.head, past.head)
    assert (done.progress.published, done.progress.unreadable) == (len(expected), 2)
    assert done.finished_at


def position_of(past: Past, event_id: str) -> int:
    return next(position for position, line in past.lines.items() if any(one["id"] == event_id for one in line))


async def test_what_is_asked_for_is_what_the_feed_is_asked_for(broker: Broker, kept: Replays, name: str) -> None:
    past = Past.of(3, 4, UPDATED, CONSENT)
    asked = Asked(
        after=2, until=11, since="2026-11-22T00:00:00.000Z", types=(CONSENT,), customer=customer(1), rate=1000
    )
    async with running(broker, kept, past):
        done = await ended(kept, name, await begin(broker, kept, name, asked))
    first = past.asked[0]
    assert dict(first.multi_items()) == {
        "after": "2",
        "until": "11",
        "since": "2026-11-22T00:00:00.000Z",
        "type": CONSENT,
        "customer": str(customer(1)),
    }
    assert (done.progress.begin, done.progress.of, done.progress.published) == (2, 11, 3)
    assert await broker.waiting(queue_of(name)) == 3


async def test_events_of_one_customer_are_never_on_their_way_together() -> None:
    lines = [
        Line(position, [Event(UUID(int=position * 10 + part), UPDATED, UUID(int=position % 3), position, b"")
                        for part in range(position % 4)])
        for position in range(30)
    ]  # fmt: skip
    told = list(waves(lines))
    assert all(len({one.customer for one in wave}) == len(wave) for wave in told)
    flat = [one for wave in told for one in wave]
    for who in range(3):
        assert [one for one in flat if one.customer == UUID(int=who)] == [
            one for line in lines for one in line.events if one.customer == UUID(int=who)
        ]


# --- rate and room ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [3, 100])
async def test_the_rate_is_kept_at_any_time(
    broker: Broker, kept: Replays, name: str, rate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, times = rate * 3 // 10 * 10 + 10, list[float]()
    publish = Publisher.publish

    async def timed(publisher: Publisher, events: Sequence[Event], headers: Mapping[str, str]) -> None:
        times.extend([time.monotonic()] * len(events))
        await publish(publisher, events, headers)

    monkeypatch.setattr(Publisher, "publish", timed)
    async with running(broker, kept, Past.of(10, count // 10)):
        await ended(kept, name, await begin(broker, kept, name, Asked(rate=rate)))
    batch = max(1, rate // replaying.BATCHES_PER_SECOND)
    assert len(times) == count
    assert (count - batch) / rate * 0.99 <= times[-1] - times[0] <= count / rate * 3 + 5
    for begun in times:
        assert sum(begun <= one < begun + 1 for one in times) <= rate + batch


async def test_nothing_is_pushed_out_of_a_queue_that_is_nearly_full(broker: Broker, kept: Replays) -> None:
    created, _ = await broker.kept.create(broker.wish("customer.#", messages=50))
    name, past = created.subscription.name, Past.of(20, 10, UPDATED, CONSENT)
    async with running(broker, kept, past):
        replay = await begin(broker, kept, name)
        await waits(kept, name, replay, "nearly full")
        await asyncio.sleep(2)
        assert await broker.waiting(queue_of(name)) == 40
        assert (await kept.one(name, replay)).state is State.RUNNING
        async with partner(broker, name) as listening:
            await ended(kept, name, replay)
            await until(lambda: len(listening.arrived) >= 400)
    assert sorted(listening.ids) == sorted(past.events())
    assert await broker.waiting(dead_of(name)) == 0


async def test_a_queue_for_one_message_is_given_one_at_a_time(broker: Broker, kept: Replays) -> None:
    created, _ = await broker.kept.create(broker.wish("customer.#", messages=1))
    name, past = created.subscription.name, Past.of(2, 2, UPDATED, CONSENT)
    async with running(broker, kept, past), partner(broker, name) as listening:
        await ended(kept, name, await begin(broker, kept, name))
        await until(lambda: len(listening.arrived) == 8)
    assert await broker.waiting(dead_of(name)) == 0


async def test_a_queue_that_is_limited_in_bytes_is_not_overrun_either(broker: Broker, kept: Replays) -> None:
    created, _ = await broker.kept.create(broker.wish("customer.#", bytes=1_000_000))
    name, past = created.subscription.name, Past.of(50, 40)
    for line in past.lines.values():
        line[0]["data"]["changed"] = ["x" * 4000]
    async with running(broker, kept, past):
        replay = await begin(broker, kept, name)
        await waits(kept, name, replay, "nearly full")
        assert 100 < await broker.waiting(queue_of(name)) < 1_000_000 / 4000
        assert await broker.waiting(dead_of(name)) == 0
        await kept.cancel(name, replay)


# --- what goes wrong --------------------------------------------------------------------------------------------------


async def test_killed_five_times_nothing_is_missing_and_no_customer_out_of_order(
    broker: Broker, kept: Replays, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replays, "LEASE_SECONDS", 1.5)
    monkeypatch.setattr(replays, "MARGIN", 0.5)
    monkeypatch.setattr(replaying, "NOTE_EVERY", 0.3)

    async def too_late(_: Any) -> None:
        """Who is killed gives nothing back."""

    past, left = Past.of(25, 60), 0
    async with partner(broker, name) as listening:
        replay = await begin(broker, kept, name, Asked(rate=400))
        for number in range(5):
            before = len(listening.arrived)
            mortal = Replays(kept._engine)
            monkeypatch.setattr(mortal, "give_back", too_late)
            one = runner(broker, mortal, past, holder=f"mortal {number}")
            killed = asyncio.create_task(one.run())
            await until(partial(more_than, listening, before + 80))
            monkeypatch.setattr(mortal, "note", too_late)
            for task in [*one._tasks, killed]:
                task.cancel()
            await asyncio.gather(killed, return_exceptions=True)
            left += 1
        async with running(broker, kept, past):
            done = await ended(kept, name, replay)
            await until(lambda: len(set(listening.ids)) == 1500)
    counts = Counter(listening.ids)
    assert counts.keys() == {*past.events()}
    assert all(sequences == sorted(sequences) for sequences in listening.first_sequences().values())
    repeated = sum(counts.values()) - len(counts)
    assert repeated <= left * 2 * replaying.BATCH
    assert 1500 <= done.progress.published <= 1500 + repeated


async def test_of_several_runners_one_acts(broker: Broker, kept: Replays, name: str) -> None:
    past = Past.of(10, 50)
    async with partner(broker, name) as listening, AsyncExitStack() as stack:
        for number in range(3):
            await stack.enter_async_context(running(broker, kept, past, holder=f"runner {number}"))
        done = await ended(kept, name, await begin(broker, kept, name, Asked(rate=300)))
        await until(lambda: len(listening.arrived) >= 500)
        await asyncio.sleep(0.3)
    assert sorted(listening.ids) == sorted(past.events())
    assert done.progress.published == 500


async def test_who_stops_leaves_it_to_the_next_at_once(broker: Broker, kept: Replays, name: str) -> None:
    past = Past.of(10, 60)
    async with partner(broker, name) as listening:
        replay = await begin(broker, kept, name, Asked(rate=300))
        async with running(broker, kept, past):
            await until(lambda: len(listening.arrived) > 100)
        assert (await kept.one(name, replay)).state is State.RUNNING
        stopped = time.monotonic()
        async with running(broker, kept, past, holder="next"):
            arrived = len(listening.arrived)
            await until(lambda: len(listening.arrived) > arrived + 60)
            assert time.monotonic() - stopped < replays.LEASE_SECONDS - replays.MARGIN
            await ended(kept, name, replay)
    assert {*listening.ids} == {*past.events()}


@pytest.mark.parametrize("fault", [{"away": 503}, {"away": 401}, {"cut": 40}])
async def test_a_feed_that_is_away_or_cut_off_is_waited_for(
    broker: Broker, kept: Replays, name: str, fault: dict[str, int]
) -> None:
    past = Past.of(10, 20)
    for what, value in fault.items():
        setattr(past, what, value)
    async with partner(broker, name) as listening, running(broker, kept, past):
        replay = await begin(broker, kept, name)
        await waits(kept, name, replay, "the command service")
        past.away = past.cut = None
        done = await ended(kept, name, replay)
        assert done.waiting is msgspec.UNSET
        await until(lambda: len(listening.arrived) >= 200)
    assert sorted(listening.ids) == sorted(past.events())


async def test_a_broker_that_is_away_is_waited_for_and_the_wait_can_be_ended(
    broker: Broker, kept: Replays, name: str
) -> None:
    async with running(broker, kept, Past.of(2, 2), amqp_url="amqp://guest:guest@127.0.0.1:1/"):
        replay = await begin(broker, kept, name)
        await waits(kept, name, replay, "RabbitMQ does not answer")
        assert (await kept.pause(name, replay)).state is State.PAUSED
    async with running(broker, kept, Past.of(2, 2)):
        assert (await kept.resume(name, replay)).state is State.RUNNING
        await ended(kept, name, replay)
    assert await broker.waiting(queue_of(name)) == 4


async def test_a_connection_that_is_lost_costs_repeats_at_most(broker: Broker, kept: Replays, name: str) -> None:
    past = Past.of(20, 60)
    async with partner(broker, name) as listening, running(broker, kept, past):
        replay = await begin(broker, kept, name, Asked(rate=400))
        for part in (1, 2, 3):
            await until(partial(more_than, listening, part * 250))
            for one in await broker.ask("vhosts", broker.vhost, "connections"):
                if (one.get("client_properties") or {}).get("connection_name") == "replay":
                    await broker._http.delete(f"api/connections/{quote(one['name'], safe='')}")
        await ended(kept, name, replay)
        await until(lambda: len(set(listening.ids)) == 1200)
    assert all(sequences == sorted(sequences) for sequences in listening.first_sequences().values())


async def test_for_a_queue_that_is_gone_it_fails_and_goes_on_once_it_is_there_again(
    broker: Broker, kept: Replays, name: str
) -> None:
    past = Past.of(10, 100)
    wish = broker.wish(name=name)
    async with running(broker, kept, past):
        replay = await begin(broker, kept, name, Asked(rate=300))

        async def begun() -> bool:
            return (await kept.one(name, replay)).progress.published > 100

        await until(begun)
        await broker.kept.remove(name, force=True)
        failed = await ended(kept, name, replay, State.FAILED)
        assert failed.reason == f"the queue {queue_of(name)} does not exist"
        assert await broker.ask("queues", broker.vhost, queue_of(name)) is None
        published = failed.progress.published
        await broker.kept.create(wish)
        await kept.resume(name, replay)
        await ended(kept, name, replay)
    assert await broker.waiting(queue_of(name)) >= 1000 - published


async def test_a_store_that_has_lost_events_is_not_taken_for_the_end(broker: Broker, kept: Replays, name: str) -> None:
    past = Past.of(10, 100)
    async with running(broker, kept, past):
        replay = await begin(broker, kept, name, Asked(rate=500))

        async def begun() -> bool:
            return (await kept.one(name, replay)).progress.published > 100

        await until(begun)
        past.lines = {position: line for position, line in past.lines.items() if position <= 600}
        failed = await ended(kept, name, replay, State.FAILED)
    assert "lost events" in str(failed.reason)


async def test_a_subscription_that_there_is_not_gets_no_replay(broker: Broker, kept: Replays) -> None:
    with pytest.raises(NotSubscribed):
        await begin(broker, kept, broker.name())


# --- what an operator does --------------------------------------------------------------------------------------------


async def test_it_is_paused_resumed_and_cancelled(broker: Broker, kept: Replays, name: str) -> None:
    past = Past.of(10, 200)
    async with partner(broker, name) as listening, running(broker, kept, past):
        replay = await begin(broker, kept, name, Asked(rate=200))
        await until(lambda: len(listening.arrived) > 60)
        await kept.pause(name, replay)
        await asyncio.sleep(1.5)
        paused = len(listening.arrived)
        await asyncio.sleep(1)
        assert len(listening.arrived) == paused
        assert (await kept.pause(name, replay)).state is State.PAUSED
        with pytest.raises(Unfinished):
            await begin(broker, kept, name)
        await kept.resume(name, replay)
        assert (await kept.resume(name, replay)).state is State.RUNNING
        await until(lambda: len(listening.arrived) > paused + 60)
        assert (await kept.cancel(name, replay)).state is State.CANCELLED
        await asyncio.sleep(1.5)
        cancelled = len(listening.arrived)
        await asyncio.sleep(0.5)
        assert len(listening.arrived) == cancelled < 2000
    turns: list[Callable[..., Any]] = [kept.pause, kept.resume]
    for turn in turns:
        with pytest.raises(Over):
            await turn(name, replay)
    assert (await kept.cancel(name, replay)).state is State.CANCELLED
    assert listening.ids == sorted(listening.ids, key=past.events().index)
    assert len(listening.ids) == len(set(listening.ids))


async def test_one_is_unfinished_at_a_time_and_the_newest_is_listed_first(
    broker: Broker, kept: Replays, name: str
) -> None:
    first = await begin(broker, kept, name)
    with pytest.raises(Unfinished) as unfinished:
        await begin(broker, kept, name)
    assert unfinished.value.replay == first
    await kept.cancel(name, first)
    second = await begin(broker, kept, name)
    assert [one.id for one in await kept.listed(name, 10)] == [second, first]
    assert await kept.listed(name + "x", 10) == []
    with pytest.raises(NoReplay):
        await kept.one(name + "x", second)
    await kept.cancel(name, second)


async def test_only_what_the_subscription_takes_is_told_unless_more_is_asked_for(broker: Broker, kept: Replays) -> None:
    created, _ = await broker.kept.create(broker.wish("customer.*.v1", "customer.erased.v1"))
    everything = await asking.settled(broker.management, created.subscription.name, Asked())
    assert {*msgspec.to_builtins(everything)["types"]} == {*EVENTS}
    created, _ = await broker.kept.create(broker.wish("customer.erased.#"))
    name = created.subscription.name
    assert (await asking.settled(broker.management, name, Asked())).types == (ERASED,)
    assert (await asking.settled(broker.management, name, Asked(types=(UPDATED,)))).types == (UPDATED,)


async def test_one_that_waits_can_be_left_and_the_rest_goes_on(broker: Broker, kept: Replays, name: str) -> None:
    """Whoever waits holds nobody else up."""
    small, _ = await broker.kept.create(broker.wish(messages=1))
    async with running(broker, kept, Past.of(5, 20)):
        stuck = await begin(broker, kept, small.subscription.name)
        await waits(kept, small.subscription.name, stuck, "nearly full")
        await ended(kept, name, await begin(broker, kept, name))
        await kept.cancel(small.subscription.name, stuck)
