"""From the outbox to a real broker: at least once, in order per customer, whatever happens to either."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import aio_pika
import pytest
from aiormq.exceptions import ChannelInvalidStateError, PublishError
from customerflow_command import confirms, outbox
from customerflow_command import relay as relay_module
from customerflow_command.confirms import Publisher
from customerflow_command.customer.commands import ChangeCustomer
from customerflow_command.doorbell import Doorbell
from customerflow_command.fingerprints import Fingerprints
from customerflow_command.outbox import Lease, Outbox
from customerflow_command.personal import MasterKeys
from customerflow_command.publishing import cloud_events
from customerflow_command.relay import Flow, NotConfirmed, Relay, Tell, commands
from customerflow_command.store import EventReader, EventRow
from customerflow_shared import database, events, messaging, service
from customerflow_shared.events import CustomerArchived, Metadata, Recorded
from customerflow_shared.values import PersonalProfile
from pamqp.commands import Basic

if TYPE_CHECKING:
    from customerflow_local.testing import Database

    from services.command.tests.conftest import WriteSide


class Observer:
    """A second consumer of the domain exchange: what arrived, in order."""

    def __init__(self) -> None:
        self.arrived: list[Recorded] = []
        self.announced: dict[UUID, list[str]] = defaultdict(list)
        self.told: list[dict[str, Any]] = []
        self.queues: list[aio_pika.abc.AbstractQueue] = []

    async def take(self, message: aio_pika.abc.AbstractIncomingMessage) -> None:
        recorded = events.decode(message.body)
        assert isinstance(recorded, Recorded)
        self.arrived.append(recorded)

    async def leave(self) -> None:
        """Take nothing any more."""
        for queue in self.queues:
            await queue.delete(if_unused=False, if_empty=False)

    async def hear(self, message: aio_pika.abc.AbstractIncomingMessage) -> None:
        self.told.append(json.loads(message.body))
        customer_id = UUID(self.told[-1]["subject"])
        self.announced[customer_id].append(message.routing_key or "")

    def versions(self) -> dict[UUID, list[int]]:
        found: dict[UUID, list[int]] = defaultdict(list)
        for recorded in self.arrived:
            found[recorded.customer_id].append(recorded.version)
        return found


@pytest.fixture
async def observer(cf_amqp_url: str) -> AsyncIterator[Observer]:
    watching = Observer()
    async with messaging.connected(cf_amqp_url, "observer") as connection:
        channel = await connection.channel()
        await messaging.declare(channel)
        domain = await channel.declare_queue(exclusive=True)
        for shard in range(messaging.SHARDS):
            await domain.bind(messaging.DOMAIN, str(shard))
        await domain.consume(watching.take, no_ack=True)
        public = await channel.declare_queue(exclusive=True)
        await public.bind(messaging.INTEGRATION, "#")
        await public.consume(watching.hear, no_ack=True)
        watching.queues = [domain, public]
        yield watching


@asynccontextmanager
async def relaying(
    write_side: WriteSide,
    amqp_url: str,
    name: str = "relay",
    keys: MasterKeys | None = None,
    tell: Tell = cloud_events,
    publishes: Callable[[], bool] = lambda: True,
) -> AsyncIterator[Relay]:
    lease = Lease(write_side.engine, name)
    reader = EventReader(keys or write_side.keys)
    fingerprints = Fingerprints(write_side.engine, (keys or write_side.keys).fingerprints(), leaves=keys is None)
    relay = Relay(Outbox(write_side.engine), lease, reader, Doorbell(), amqp_url, fingerprints.check, tell, publishes)
    async with service.background("relay", relay.run):
        yield relay


async def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def test_every_event_arrives_in_order_and_the_outbox_empties(
    write_side: WriteSide, observer: Observer, cf_amqp_url: str
) -> None:
    async def live(number: int) -> None:
        customer_id = await write_side.register(f"Ana {number}")
        for change in range(4):
            await write_side.rename(customer_id, f"Ana {number} {change}")

    async with relaying(write_side, cf_amqp_url):
        await asyncio.gather(*(live(number) for number in range(40)))
        await until(lambda: len(observer.arrived) >= 200 and sum(map(len, observer.announced.values())) >= 200)
        while await write_side.count("cf_outbox"):
            await asyncio.sleep(0.01)
    assert all(versions == [1, 2, 3, 4, 5] for versions in observer.versions().values())
    told = ["customer.registered.v1", *["customer.updated.v1"] * 4]
    assert all(observer.announced[customer_id] == told for customer_id in observer.versions())


async def test_while_publishing_is_paused_the_outbox_holds_what_is_committed_and_then_all_of_it_is_sent_once(
    write_side: WriteSide, observer: Observer, cf_amqp_url: str
) -> None:
    publishes = True
    customers = [await write_side.register(f"Ana {number}") for number in range(5)]

    async def change(name: str) -> None:
        await asyncio.gather(*(write_side.rename(one, name) for one in customers))

    async def emptied() -> None:
        async with asyncio.timeout(10):
            while await write_side.count("cf_outbox"):
                await asyncio.sleep(0.01)

    async with relaying(write_side, cf_amqp_url, publishes=lambda: publishes) as relay:
        for number in range(3):
            publishes = True
            await change(f"Ana while it publishes {number}")
            await emptied()
            publishes = False
            await asyncio.sleep(0.3)  # a look that has begun is over
            before = len(observer.arrived)
            await change(f"Ana while it is paused {number}")
            await asyncio.sleep(0.6)
            assert await write_side.count("cf_outbox") == len(customers)
            assert len(observer.arrived) == before
            await relay.check()
        publishes = True
        await emptied()
        await until(lambda: len(observer.arrived) >= 7 * len(customers))
    assert [observer.versions()[one] for one in customers] == [[*range(1, 8)]] * len(customers)


async def test_a_message_names_the_schema_of_its_data(
    write_side: WriteSide, observer: Observer, cf_amqp_url: str
) -> None:
    tell = partial(cloud_events, contract_url="http://127.0.0.1:8080/contract")
    async with relaying(write_side, cf_amqp_url, tell=tell):
        customer_id = await write_side.register("Ana")
        await until(lambda: bool(observer.announced[customer_id]))
    assert [one["dataschema"] for one in observer.told if one["subject"] == str(customer_id)] == [
        "http://127.0.0.1:8080/contract/schemas/customer.registered.v1.json"
    ]


async def test_what_was_committed_while_no_relay_ran_is_sent_later(
    write_side: WriteSide, observer: Observer, cf_amqp_url: str
) -> None:
    customer_id = await write_side.register("Ana")
    await asyncio.sleep(0.2)
    assert observer.arrived == []
    async with relaying(write_side, cf_amqp_url):
        await until(lambda: customer_id in observer.versions())


async def test_pointers_that_are_confirmed_shortly_after_one_another_are_forgotten_together(
    write_side: WriteSide, observer: Observer, cf_amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "SETTLE_AFTER", 60)
    async with relaying(write_side, cf_amqp_url):
        customers = [await write_side.register(f"Ana {number}") for number in range(3)]
        await until(lambda: all(customer in observer.versions() for customer in customers))
        assert await write_side.count("cf_outbox") >= 3
    # a relay that ends does not wait
    assert await write_side.count("cf_outbox") == 0


async def test_a_standby_goes_on_where_the_first_one_left(
    write_side: WriteSide, observer: Observer, cf_amqp_url: str
) -> None:
    async with relaying(write_side, cf_amqp_url, "first") as first:
        before = await write_side.register("Ana")
        await until(lambda: before in observer.versions())
        async with relaying(write_side, cf_amqp_url, "standby") as standby:
            await asyncio.sleep(0.5)
            assert first._lease.held
            assert not standby._lease.held
            assert first._connection is not None
            await first._connection.close()
            await until(lambda: first._lease.held or standby._lease.held)
            after = await write_side.register("Bia")
            await until(lambda: after in observer.versions())


async def test_who_has_no_broker_does_not_hold_the_lease(
    write_side: WriteSide, observer: Observer, cf_amqp_url: str
) -> None:
    async with relaying(write_side, "amqp://nobody@127.0.0.1:1/", "without") as without:
        await asyncio.sleep(0.3)
        async with relaying(write_side, cf_amqp_url, "with"):
            customer_id = await write_side.register("Ana")
            await until(lambda: customer_id in observer.versions(), seconds=5)
        assert not without._lease.held


async def test_a_lost_queue_is_declared_again_and_nothing_is_lost(
    write_side: WriteSide, observer: Observer, cf_amqp_url: str
) -> None:
    """An event that no queue takes is an error, not a success."""
    async with relaying(write_side, cf_amqp_url):
        first = await write_side.register("Ana")
        await until(lambda: first in observer.versions())
        async with messaging.connected(cf_amqp_url, "vandal") as connection:
            channel = await connection.channel()
            for shard in range(messaging.SHARDS):
                await channel.queue_delete(messaging.shard_queue(shard))
            await channel.queue_delete(messaging.INTEGRATION_LOG)
            await observer.leave()
            customers = [await write_side.register(f"Bia {number}") for number in range(5)]
            async with asyncio.timeout(10):
                while await write_side.count("cf_outbox"):
                    await asyncio.sleep(0.05)
            waiting = [
                await channel.declare_queue(messaging.shard_queue(shard), passive=True)
                for shard in range(messaging.SHARDS)
            ]
            counts = [queue.declaration_result.message_count or 0 for queue in waiting]
            assert sum(counts) >= len(customers)


async def test_a_closed_connection_repeats_but_never_overtakes(
    write_side: WriteSide, observer: Observer, cf_amqp_url: str
) -> None:
    customer_id = await write_side.register("Ana")
    async with relaying(write_side, cf_amqp_url) as relay:

        async def cut() -> None:
            for _ in range(5):
                await asyncio.sleep(0.15)
                if relay._connection is not None:
                    await relay._connection.close()

        async def change() -> None:
            for number in range(100):
                await write_side.rename(customer_id, f"Ana {number}")
                await asyncio.sleep(0.005)

        await asyncio.gather(cut(), change())
        await until(lambda: 101 in observer.versions()[customer_id])
    highest = 0
    for version in observer.versions()[customer_id]:
        assert version <= highest + 1
        highest = max(highest, version)
    assert highest == 101


@pytest.mark.parametrize("damage", ["pii = 'x'", "metadata = '{}'", "data = '[]'", "type = 'CustomerTeleported'"])
async def test_an_unreadable_event_parks_its_customer_and_the_others_flow_on(
    write_side: WriteSide, observer: Observer, cf_amqp_url: str, migrated: Database, damage: str
) -> None:
    broken, fine = await write_side.register("Ana"), await write_side.register("Bia")
    await write_side.rename(broken, "Ana Lima")
    owner = database.open_engine(migrated.owner_url)
    async with database.session(owner) as session:
        columns = "data, pii, metadata, type"
        where = "WHERE customer_id = %s AND version = 1"
        whole = (await session.rows(f"SELECT {columns} FROM cf_events {where}", (broken.bytes,)))[0]
        await session.run(f"UPDATE cf_events SET {damage} {where}", (broken.bytes,))
        await session.commit()
    box = Outbox(write_side.engine)
    async with relaying(write_side, cf_amqp_url):
        await write_side.rename(fine, "Caio")
        await until(lambda: observer.versions()[fine] == [1, 2])
        await write_side.archive(broken)
        assert broken not in observer.versions()
        assert [customer for customer, _, _ in await box.parked()] == [broken]
        async with database.session(owner) as session:
            changes = "data = %s, pii = %s, metadata = %s, type = %s"
            await session.run(f"UPDATE cf_events SET {changes} {where}", (*whole, broken.bytes))
            await session.commit()
        assert await box.release(broken)
        await until(lambda: len(observer.versions()[broken]) == 3)
    assert observer.versions()[broken] == [1, 2, 3]
    await owner.dispose()


async def test_a_relay_with_other_keys_parks_nobody(
    write_side: WriteSide, observer: Observer, cf_amqp_url: str
) -> None:
    customer_id = await write_side.register("Ana")
    await Fingerprints(write_side.engine, write_side.keys.fingerprints(), leaves=True).check()
    other = MasterKeys(f"k1={base64.b64encode(bytes(32)).decode()}")
    async with relaying(write_side, cf_amqp_url, "other keys", other):
        await asyncio.sleep(0.5)
        assert await Outbox(write_side.engine).parked() == []
    async with relaying(write_side, cf_amqp_url):
        await until(lambda: customer_id in observer.versions())


async def test_a_parked_customer_is_tried_again_after_a_while(
    write_side: WriteSide, observer: Observer, cf_amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "PARKED_SECONDS", 0.2)
    customer_id = await write_side.register("Ana")
    await Outbox(write_side.engine).park(customer_id, 1, "for a test")
    async with relaying(write_side, cf_amqp_url):
        await until(lambda: customer_id in observer.versions(), seconds=5)


def key(customer: int, version: int) -> str:
    return str(UUID(int=customer * 100 + version))


def event(customer: int, version: int, command: int = 0) -> Recorded:
    return Recorded(
        position=customer * 100 + version,
        customer_id=UUID(int=customer),
        version=version,
        event_id=UUID(key(customer, version)),
        recorded_at=datetime.now(UTC),
        metadata=Metadata(causation_id=UUID(int=command), correlation_id=UUID(int=0)),
        event=CustomerArchived(),
    )


def test_the_events_of_a_command_stay_together() -> None:
    batch = [event(1, 1, 1), event(1, 2, 2), event(1, 3, 2), event(2, 1, 3)]
    assert commands(batch) == [batch[:1], batch[1:3], batch[3:]]


class Exchange:
    """Stands for a publisher: what it is given, wave by wave; it answers when it is told to."""

    def __init__(self, *, answers: bool = True) -> None:
        self.waves: list[list[str]] = []
        self.sent: list[confirms.Sent] = []
        self._answers = answers

    async def send(self, messages: list[confirms.Message]) -> confirms.Sent:
        self.waves.append([str(message.properties.message_id) for message in messages])
        self.sent.append(confirms.Sent(asyncio.get_running_loop().create_future(), len(messages)))
        if self._answers:
            self.confirm()
        return self.sent[-1]

    def confirm(self) -> None:
        for confirmation in self.sent[-1].confirmations:
            confirmation.set_result(None)


class HeldLease:
    token = 1

    def require(self) -> None:
        pass


class Settled:
    def __init__(self) -> None:
        self.positions: list[int] = []

    async def settle(self, positions: list[int], token: int) -> None:
        self.positions += positions


def flowing(domain: Exchange, public: Exchange, box: Settled) -> Flow:
    return Flow(
        cast(Outbox, box), cast(Lease, HeldLease()), Doorbell(), cast(Publisher, domain), cast(Publisher, public)
    )


async def test_each_customers_events_are_sent_one_after_the_other() -> None:
    batch = [[event(1, 1)], [event(2, 1), event(2, 2)], [event(1, 2)], [event(3, 1)], [event(3, 2)]]
    domain, public, box = Exchange(), Exchange(), Settled()
    flow = flowing(domain, public, box)
    await flow.send(flow.take(batch))
    assert domain.waves == [[key(1, 1), key(2, 1), key(3, 1)], [key(1, 2), key(2, 2), key(3, 2)]]
    assert [len(wave) for wave in public.waves] == [2, 4]
    await flow.settle()
    assert sorted(box.positions) == [101, 102, 201, 202, 301, 302]
    assert not flow.positions


async def test_what_is_read_meanwhile_waits_for_its_customers_confirms_only() -> None:
    domain, public = Exchange(answers=False), Exchange()
    flow = flowing(domain, public, Settled())
    async with asyncio.TaskGroup() as sending:
        sending.create_task(flow.send(flow.take([[event(1, 1)]])))
        await asyncio.sleep(0)
        domain._answers = True
        sending.create_task(flow.send(flow.take([[event(1, 2)], [event(2, 1)]])))
        await asyncio.sleep(0.01)
        assert domain.waves == [[key(1, 1)], [key(2, 1)]]
        for confirmation in domain.sent[0].confirmations:
            confirmation.set_result(None)
    assert domain.waves == [[key(1, 1)], [key(2, 1)], [key(1, 2)]]


async def test_what_has_been_sent_may_be_confirmed_before_the_end() -> None:
    domain, public, box = Exchange(answers=False), Exchange(), Settled()
    flow = flowing(domain, public, box)
    flow.start_sending(flow.take([[event(1, 1)]]))
    flow.start(asyncio.sleep(60))  # what would go on for ever is not waited for
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_later(0.1, domain.confirm)
    async with asyncio.timeout(0.4):
        await flow.finish()
    await flow.end()
    await flow.settle()
    assert box.positions == [101]


async def test_the_end_does_not_wait_for_a_broker_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "FINISH_SECONDS", 0.05)
    domain, box = Exchange(answers=False), Settled()
    flow = flowing(domain, Exchange(), box)
    flow.start_sending(flow.take([[event(1, 1)]]))
    await asyncio.sleep(0)
    async with asyncio.timeout(0.4):
        await flow.finish()
        await flow.end()
    await flow.settle()
    assert box.positions == []


@pytest.mark.parametrize("answer", ["refused", "none"])
async def test_what_is_not_confirmed_is_neither_settled_nor_overtaken(
    monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(messaging, "PUBLISH_TIMEOUT", 0.05)
    domain, public, box = Exchange(answers=False), Exchange(), Settled()
    flow = flowing(domain, public, box)
    sending = asyncio.create_task(flow.send(flow.take([[event(1, 1)], [event(2, 1)], [event(1, 2)], [event(2, 2)]])))
    await asyncio.sleep(0.01)
    first, second = domain.sent[0].confirmations
    second.set_result(None)
    if answer == "refused":
        first.set_exception(ConnectionError())
    with pytest.raises(NotConfirmed, match="ConnectionError" if answer == "refused" else "TimeoutError"):
        await sending
    await flow.settle()
    assert box.positions == [201]
    assert domain.waves == [[key(1, 1), key(2, 1)]]


async def test_answers_are_those_of_their_messages(cf_amqp_url: str) -> None:
    """Returned messages too, with more than one write on its way, and bodies that fill several frames."""
    async with messaging.connected(cf_amqp_url, "test") as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await channel.declare_exchange("confirms", aio_pika.ExchangeType.DIRECT, auto_delete=True)
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(exchange, "known")
        publisher = await Publisher.open(channel, "confirms")
        await channel.declare_queue(queue.name, passive=True)  # nothing that the channel is asked between disturbs

        def messages(upto: int) -> list[confirms.Message]:
            return [
                confirms.Message(
                    "unknown" if number % 3 == 0 else "known",
                    Basic.Properties(message_id=f"{number}"),
                    bytes([number]) * (300_000 if number == 7 else number),
                )
                for number in range(upto)
            ]

        for _ in range(3):  # an id may come again once it has been answered
            sent = await asyncio.gather(publisher.send(messages(20)[:9]), publisher.send(messages(20)[9:]))
            await asyncio.wait([one.over for one in sent], timeout=5)
            answers = [answer for one in sent for answer in one.confirmations]
            assert [answer.confirmed for answer in answers] == [number % 3 != 0 for number in range(20)]
            assert all(isinstance(answer.error, PublishError) for answer in answers[::3])
            arrived = [(await queue.get(no_ack=True)).body for _ in range(13)]
            assert arrived == [message.body for message in messages(20) if message.routing_key == "known"]
        assert not (await publisher.send([])).confirmations

        [unanswered] = [await publisher.send(messages(3))]
        await connection.close()
        await asyncio.wait([unanswered.over], timeout=5)
        assert unanswered.over.done()
        with pytest.raises(ChannelInvalidStateError):
            await publisher.send(messages(3))


async def test_a_backlog_is_read_once_and_each_pointer_deleted_once(
    write_side: WriteSide, observer: Observer, cf_amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 7)
    monkeypatch.setattr(relay_module, "BATCH", 7)
    read: list[int] = []
    settled: list[int] = []
    first, settle = Outbox.first, Outbox.settle

    async def counted_first(box: Outbox, besides: set[int]) -> list[EventRow]:
        under_way = set(besides)
        rows = await first(box, besides)
        assert not under_way & {row.position for row in rows}
        read.extend(row.position for row in rows)
        return rows

    async def counted_settle(box: Outbox, positions: list[int], token: int) -> None:
        await settle(box, positions, token)
        settled.extend(positions)

    monkeypatch.setattr(Outbox, "first", counted_first)
    monkeypatch.setattr(Outbox, "settle", counted_settle)

    async def live(number: int) -> None:
        customer_id = await write_side.register(f"Ana {number}")
        for change in range(number % 5):
            await write_side.rename(customer_id, f"Ana {number} {change}")

    await asyncio.gather(*(live(number) for number in range(40)))
    backlog = await write_side.count("cf_outbox")  # a relay before may have left something
    async with relaying(write_side, cf_amqp_url):
        await until(lambda: len(observer.arrived) >= backlog)
        while await write_side.count("cf_outbox"):
            await asyncio.sleep(0.01)
    assert all(versions == sorted(versions) for versions in observer.versions().values())
    assert len(observer.arrived) == len(settled) == len(set(settled)) == backlog >= 120
    assert len(read) < backlog + 2 * backlog / 7


async def test_what_is_committed_is_on_the_wire_at_once(
    write_side: WriteSide, observer: Observer, cf_amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the doorbell has rung, whatever else is on its way."""
    monkeypatch.setattr(relay_module, "LOOK_EVERY", 60.0)
    async with relaying(write_side, cf_amqp_url) as relay:
        await until(lambda: relay._lease.held)
        for number in range(20):
            customer_id = await write_side.register(f"Ana {number}")
            relay._doorbell.rung.set()
            await until(lambda: customer_id in observer.versions(), seconds=5)  # noqa: B023  # it is awaited within the loop


async def test_a_command_is_never_told_in_halves(
    write_side: WriteSide, observer: Observer, cf_amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 3)
    monkeypatch.setattr(relay_module, "BATCH", 3)
    customers = [await write_side.register(f"Ana {number}") for number in range(4)]
    for customer_id in customers:
        await write_side.do(
            customer_id, ChangeCustomer(personal=PersonalProfile(name="Bia"), email=f"{customer_id}@example.com")
        )
    async with relaying(write_side, cf_amqp_url):
        await until(lambda: all(observer.versions()[customer_id] == [1, 2, 3] for customer_id in customers))
        told = ["customer.registered.v1", "customer.updated.v1"]
        await until(lambda: all(observer.announced[customer_id] == told for customer_id in customers))
