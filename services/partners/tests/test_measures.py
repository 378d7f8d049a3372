"""What is measured of partners, on a real broker and a real database: what they are told, and what waits for them."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from uuid import UUID

import pytest
from customerflow_local.testing import Database
from customerflow_partners import replaying, watch
from customerflow_partners.management import Management
from customerflow_partners.replays import Replays
from customerflow_partners.subscriptions import queue_of
from customerflow_partners.webhooks import measures, schedule, serving, worker
from customerflow_partners.webhooks.store import Reason, State
from customerflow_shared import conventions, database, service

from .broker import Broker
from .past import UPDATED, Past
from .receiver import receiving, status, taking
from .test_replays import begin, ended, engine, kept, more_than, name, partner, running
from .webhook_world import World, customers, until
from .webhook_world import world as worlds

__all__ = ["engine", "kept", "name"]  # fixtures


@pytest.fixture
async def world(migrated: Database, cf_amqp_url: str) -> AsyncIterator[World]:
    async with worlds(migrated, cf_amqp_url) as made:
        yield made


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds become tenths of them."""
    monkeypatch.setattr(watch, "EVERY", 0.1)
    monkeypatch.setattr(replaying, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(worker, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(serving, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(serving, "IDLE_LOOK_EVERY", 0.2)
    monkeypatch.setattr(schedule, "FIRST_PAUSE", 0.2)
    monkeypatch.setattr(schedule, "DELAYS", (0.3, 0.5, 1))
    monkeypatch.setattr(schedule, "ATTEMPTS", 4)


class Counted:
    """By how much the counters of webhooks have grown."""

    def __init__(self) -> None:
        self._before = self._now()

    def _now(self) -> dict[str, float]:
        found = {str(outcome): measures._deliveries.value(outcome) for (outcome,) in measures._deliveries._points}
        return found | {outcome: measures._probes.value(outcome) for outcome in ("works", "fails")}

    def __call__(self) -> dict[str, float]:
        return {name: grown for name, value in self._now().items() if (grown := value - self._before.get(name, 0))}


@pytest.fixture
def counted() -> Counted:
    return Counted()


# --- webhooks ---------------------------------------------------------------------------------------------------------


async def test_each_delivery_is_counted_and_timed(world: World, counted: Counted) -> None:
    timed, taken = measures._seconds.count("delivered", ""), conventions.CONSUMED.value(measures.QUEUES)
    async with receiving() as receiver:
        receiver.respond = taking()
        await world.webhook(receiver.url)
        async with world.worker():
            await world.tell(*customers(7))
            await until(lambda: world.everything(receiver.taken))
            await until(lambda: counted() == {"delivered": 7})
    assert measures._seconds.count("delivered", "") - timed == 7
    assert conventions.CONSUMED.value(measures.QUEUES) - taken == 7


async def test_what_fails_is_counted_as_retried_and_at_last_as_dead(world: World, counted: Counted) -> None:
    (ana,) = customers(1)
    async with receiving() as receiver:
        receiver.respond = status(422)
        await world.webhook(receiver.url)
        async with world.worker():
            await world.tell(ana)
            await until(lambda: counted() == {"retried": 3, "dead": 1})


async def test_a_webhook_that_refuses_is_probed_until_it_works(world: World, counted: Counted) -> None:
    async with receiving() as receiver:
        receiver.respond = status(503, "Retry-After: 1")
        await world.webhook(receiver.url)
        async with world.worker():
            await world.tell(*customers(1))
            await until(lambda: counted().get("fails", 0) >= 1)
            receiver.respond = taking()
            await until(lambda: counted().get("works") == 1)
            await until(lambda: counted().get("delivered") == 1)
        assert counted()["refused"] >= 2


async def test_a_webhook_that_has_gone_is_disabled_and_seen_so(world: World, counted: Counted) -> None:
    async with receiving() as receiver:
        receiver.respond = status(410)
        await world.webhook(receiver.url)
        async with service.background("watch", lambda: watch.webhooks(world.engine)):
            await until(lambda: watch._webhooks.value("active", "") == 1)
            async with world.worker():
                await world.tell(*customers(1))
                await until(lambda: watch._webhooks.value("disabled", "gone") == 1)
            assert watch._webhooks.value("active", "") == 0
    assert counted() == {"disabled": 1}


async def test_what_waits_is_seen_with_the_age_of_the_oldest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "DELAYS", (60, 60, 60))
    ana, eva = customers(2)
    async with receiving() as receiver:
        receiver.respond = status(422)
        one = await world.webhook(receiver.url)
        async with service.background("watch", lambda: watch.webhooks(world.engine)):
            await until(lambda: (watch._pending.value(), watch._oldest.value(), watch._dead.value()) == (0, 0, 0))
            async with world.worker():
                world.clock.ahead = timedelta(hours=-2)
                await world.tell(ana, ana, eva)
                await until(lambda: watch._pending.value() == 3)
            assert 7200 <= (watch._oldest.value() or 0) < 7260
            assert 7200 <= (watch._failing_for.value() or 0) < 7260
            assert (watch._webhooks.value("active", ""), watch._webhooks.value("failing", "")) == (0, 1)
            await world.store.change(one.id, {"state": State.DISABLED, "disabled_reason": Reason.ASKED})
            await until(lambda: watch._webhooks.value("disabled", "asked") == 1)
            assert (watch._pending.value(), watch._oldest.value()) == (0, 0), "nobody waits for those"


async def test_while_the_database_does_not_answer_nothing_is_told_of_webhooks() -> None:
    watch._pending.set(5)
    nowhere = database.open_engine("mysql://nobody:none@127.0.0.1:1/none")
    async with service.background("watch", lambda: watch.webhooks(nowhere)):
        await until(lambda: not any([*gauge.observe()] for gauge in watch._OF_WEBHOOKS))
    await nowhere.dispose()


# --- subscriptions ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def watched(broker: Broker) -> AsyncIterator[None]:
    async with service.background("watch", lambda: watch.queues(broker.management)):
        yield


async def test_what_waits_for_each_partner_is_seen(broker: Broker, watched: None) -> None:
    full, empty = broker.wish(messages=20), broker.wish()
    for wish in (full, empty):
        await broker.kept.create(wish)
    await broker.publish(*(b"%d" % number for number in range(10)), exchange="", key=queue_of(full.name))
    await until(lambda: watch._backlog.value(full.name) == 10, 30)
    assert watch._fullness.value(full.name) == 0.5
    await until(lambda: watch._backlog.value(empty.name) == 0, 30)
    assert watch._fullness.value(empty.name) == 0
    assert (watch._consumers.value(full.name), watch._dead_letters.value(full.name)) == (0, 0)


async def test_dead_letters_are_seen_and_a_subscription_that_is_gone_is_not(broker: Broker, watched: None) -> None:
    wish = broker.wish(messages=3)
    await broker.kept.create(wish)
    await broker.publish(*(b"%d" % number for number in range(5)), exchange="", key=queue_of(wish.name))
    await until(lambda: watch._dead_letters.value(wish.name) == 2, 30)
    assert watch._fullness.value(wish.name) == 1
    await broker.kept.remove(wish.name, force=True)
    await until(lambda: all(gauge.value(wish.name) is None for gauge in watch._OF_QUEUES[:4]), 30)
    told = [labels for gauge in watch._OF_QUEUES[:4] for _, labels in gauge.observe()]
    assert wish.name not in {one["customerflow.subscription"] for one in told}


async def test_a_queue_that_is_full_by_its_bytes_is_seen_as_full(broker: Broker, watched: None) -> None:
    wish = broker.wish(bytes=4000)
    await broker.kept.create(wish)
    await broker.publish(b"x" * 3000, exchange="", key=queue_of(wish.name))
    await until(lambda: (watch._fullness.value(wish.name) or 0) > 0.7, 30)


async def test_messages_for_webhooks_are_seen_together(broker: Broker, world: World) -> None:
    async with receiving() as receiver:
        for _ in range(2):
            await world.webhook(receiver.url)
        async with service.background("watch", lambda: watch.queues(broker.management)):
            await world.tell(*customers(4))
            await until(lambda: watch._waiting.value() == 8, 30)


class Questions(Management):
    asked = 0

    async def _ask(self, method: str, *path: str, **other: object) -> object:  # type: ignore[override]
        self.asked += 1
        return await super()._ask(method, *path, **other)  # type: ignore[arg-type]


async def test_the_broker_is_asked_once_however_many_there_are(broker: Broker) -> None:
    asking = Questions(broker.management._client, broker.vhost)
    for _ in range(3):
        await broker.kept.create(broker.wish())
    await asking.lengths()
    assert asking.asked == 1


async def test_while_the_broker_does_not_answer_nothing_is_told_of_queues(broker: Broker) -> None:
    wish = broker.wish()
    await broker.kept.create(wish)
    lost = asyncio.Event()

    class Lost(Management):
        async def lengths(self):  # type: ignore[no-untyped-def]
            if lost.is_set():
                raise ConnectionError
            return await super().lengths()

    async with service.background("watch", lambda: watch.queues(Lost(broker.management._client, broker.vhost))):
        await until(lambda: watch._backlog.value(wish.name) == 0, 30)
        lost.set()
        await until(lambda: not [*watch._backlog.observe()] and watch._waiting.value() is None)


# --- replays ----------------------------------------------------------------------------------------------------------


async def test_replays_and_their_events_are_counted(broker: Broker, kept: Replays, name: str) -> None:
    events, done = replaying._replayed.value(), replaying._ended.value("completed")
    past = Past.of(5, 8, UPDATED)
    async with partner(broker, name) as listening, running(broker, kept, past):
        replay = await begin(broker, kept, name)
        found = await ended(kept, name, replay)
        await until(lambda: more_than(listening, found.progress.published - 1))
        await until(lambda: replaying._running.value() == 0)
    assert replaying._replayed.value() - events == found.progress.published == 40
    assert replaying._ended.value("completed") - done == 1


def told() -> Iterator[object]:
    for one in (*watch._OF_QUEUES, *watch._OF_WEBHOOKS, measures._deliveries, measures._probes, measures._seconds):
        for values in list(one._points):
            yield from values


async def test_no_label_holds_an_address_or_an_id(world: World) -> None:
    async with receiving() as receiver:
        receiver.respond = taking()
        one = await world.webhook(receiver.url)
        (ana,) = customers(1)
        async with service.background("watch", lambda: watch.webhooks(world.engine)), world.worker():
            await world.tell(ana)
            await until(lambda: world.everything(receiver.taken))
            await until(lambda: watch._webhooks.value("active", "") == 1)
    labels = [str(value) for value in told()]
    assert labels
    for value in labels:
        assert "://" not in value
        assert str(one.id) not in value
        assert str(ana) not in value
        with pytest.raises(ValueError, match="hexadecimal"):
            UUID(value)
