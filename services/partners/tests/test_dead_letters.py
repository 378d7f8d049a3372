"""Dead letters on a real broker: retried from the event store, in order, and never lost."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote
from uuid import UUID

import aio_pika
import msgspec
import pytest
from customerflow_partners import dead_letters
from customerflow_partners.dead_letters import Busy, DeadLetters, NoLetter, Retried
from customerflow_partners.feed import Feed, FeedUnavailable
from customerflow_partners.keeping import NotSubscribed
from customerflow_partners.subscriptions import dead_of, queue_of
from customerflow_shared.messaging import BrokerUnavailable
from structlog.testing import capture_logs

from .broker import Broker, until
from .past import CONSENT, UPDATED, Past, customer


@pytest.fixture
async def name(broker: Broker) -> str:
    created, _ = await broker.kept.create(broker.wish("customer.#"))
    return created.subscription.name


def dead(broker: Broker, past: Past) -> DeadLetters:
    return DeadLetters(broker.management, Feed(past.client()), broker.amqp_url)


async def refuse(broker: Broker, name: str, events: Iterable[dict[str, Any] | bytes], **headers: Any) -> None:
    """The partner gets these, and refuses them, one after the other; what is in them has been tampered with."""
    async with await aio_pika.connect(broker.amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(queue_of(name), ensure=False)
        before, count = await broker.waiting(dead_of(name)), 0
        for one in events:
            body = one if isinstance(one, bytes) else json.dumps(one | {"data": "SECRET"}).encode()
            message_id = "rubbish" if isinstance(one, bytes) else one["id"]
            message = aio_pika.Message(body, delivery_mode=2, message_id=message_id, headers=headers)
            await channel.default_exchange.publish(message, queue.name)
            got = await taken_one(queue)
            await got.reject(requeue=False)
            count += 1
        await broker.holds(dead_of(name), before + count)


async def taken_one(queue: aio_pika.abc.AbstractQueue) -> aio_pika.abc.AbstractIncomingMessage:
    """A queue with a single active consumer does not let anybody get a message without consuming."""
    found: asyncio.Queue[aio_pika.abc.AbstractIncomingMessage] = asyncio.Queue()
    tag = await queue.consume(found.put)
    try:
        async with asyncio.timeout(5):
            return await found.get()
    finally:
        await queue.cancel(tag)


async def arrived(broker: Broker, name: str, count: int) -> list[aio_pika.abc.AbstractIncomingMessage]:
    """All that is in the partner's queue, which is so many."""
    found = list[aio_pika.abc.AbstractIncomingMessage]()

    async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
        found.append(message)
        await message.ack()

    async with await aio_pika.connect(broker.amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(queue_of(name), ensure=False)
        await queue.consume(take)
        await until(lambda: len(found) >= count)
        await asyncio.sleep(0.2)
    assert len(found) == count
    return found


def flat(past: Past) -> list[dict[str, Any]]:
    return [one for line in past.lines.values() for one in line]


async def ids(letters: DeadLetters, name: str) -> list[str]:
    return [str(one.id) for one in (await letters.listed(name, 1000)).data]


async def test_a_letter_tells_what_it_is_and_why_and_nothing_of_its_content(broker: Broker, name: str) -> None:
    past = Past.of(1, 2, CONSENT)
    letters = dead(broker, past)
    assert msgspec.to_builtins(await letters.listed(name, 10)) == {"data": [], "count": 0}
    await refuse(broker, name, flat(past))
    await refuse(broker, name, [b"SECRET"])
    listed = msgspec.to_builtins(await letters.listed(name, 10), str_keys=True)
    assert [one.pop("since")[:2] for one in listed["data"]] == ["20"] * 3
    told = {"type": CONSENT, "customerId": customer(0), "reason": "rejected", "attempts": 1}
    expected = [{"id": UUID(one["id"]), **told, "sequence": number} for number, one in enumerate(flat(past), 1)]
    assert msgspec.to_builtins(listed) == msgspec.to_builtins(
        {"data": [*expected, {"reason": "rejected", "attempts": 1}], "count": 3}
    )
    assert "SECRET" not in str(listed)
    assert len((await letters.listed(name, 2)).data) == 2
    assert (await letters.listed(name, 2)).count == 3


async def test_looking_loses_nothing_and_changes_no_customers_order(broker: Broker, name: str) -> None:
    past = Past.of(10, 15)
    await refuse(broker, name, flat(past))
    letters = dead(broker, past)
    for limit in (1000, 150, 1, 7, 100, 150, 1000):
        listed = await letters.listed(name, limit)
        assert (listed.count, len(listed.data)) == (150, min(limit, 150))
    assert sorted(await ids(letters, name)) == sorted(past.events())
    assert (await letters.retry(name)).retried == 150
    sequences = defaultdict(list)
    for message in await arrived(broker, name, 150):
        told = json.loads(message.body)
        sequences[told["subject"]].append(int(told["sequence"]))
    assert {*map(tuple, sequences.values())} == {tuple(range(1, 16))}


async def test_all_are_read_from_the_store_again_and_come_in_their_order(broker: Broker, name: str) -> None:
    past = Past.of(4, 5, UPDATED, CONSENT)
    await refuse(broker, name, flat(past))
    letters = dead(broker, past)
    assert await letters.retry(name) == Retried(retried=40, kept=[], left=0)
    messages = await arrived(broker, name, 40)
    assert [json.loads(message.body) for message in messages] == flat(past)
    assert {str(message.headers["customerflow-retries"]) for message in messages} == {"1"}
    assert (await letters.listed(name, 10)).count == 0


async def test_what_fails_again_counts_its_attempts_and_keeps_its_place_among_its_customers(
    broker: Broker, name: str
) -> None:
    past = Past.of(2, 3)
    first, other, second, _, third, _ = flat(past)
    await refuse(broker, name, [second, other, third])
    await refuse(broker, name, [first], **{"customerflow-retries": "2"})
    letters = dead(broker, past)
    assert [one.attempts for one in (await letters.listed(name, 10)).data] == [1, 1, 1, 3]
    assert (await letters.retry(name)).retried == 4
    messages = await arrived(broker, name, 4)
    assert [message.message_id for message in messages] == [one["id"] for one in (first, other, second, third)]
    assert str(messages[0].headers["customerflow-retries"]) == "3"


async def test_one_is_retried_after_those_of_its_customer_that_come_before_it(broker: Broker, name: str) -> None:
    past = Past.of(2, 4)
    await refuse(broker, name, flat(past))
    letters = dead(broker, past)
    of_first = [one["id"] for one in flat(past)[::2]]
    assert (await letters.retry(name, UUID(of_first[2]))).retried == 3
    assert [message.message_id for message in await arrived(broker, name, 3)] == of_first[:3]
    assert {*await ids(letters, name)} == {one["id"] for one in flat(past)} - {*of_first[:3]}
    with pytest.raises(NoLetter):
        await letters.retry(name, UUID(of_first[2]))


async def test_what_cannot_be_found_stays_and_so_do_the_later_ones_of_its_customer(broker: Broker, name: str) -> None:
    past = Past.of(3, 3)
    events = flat(past)
    await refuse(broker, name, [b"rubbish", *events])
    lost = events[0]
    past.lines[1] = []
    past.unreadable.add(5)
    letters = dead(broker, past)
    done = await letters.retry(name)
    why = [(str(one.letter.id) if one.letter.id else None, one.why) for one in done.kept]
    assert why == [
        (None, "it is no event"),
        (lost["id"], "the event store does not have it"),
        (events[3]["id"], f"it waits behind {lost['id']}"),
        (events[4]["id"], "the event store cannot read it"),
        (events[6]["id"], f"it waits behind {lost['id']}"),
        (events[7]["id"], f"it waits behind {events[4]['id']}"),
    ]
    assert done.retried == 4
    stayed = [str(one.id) if one.id else "" for one in (await letters.listed(name, 100)).data]
    assert sorted(stayed) == sorted(one or "" for one, _ in why)
    sequences = defaultdict(list)
    for message in await arrived(broker, name, 4):
        told = json.loads(message.body)
        sequences[told["subject"]].append(int(told["sequence"]))
    assert sequences == {str(customer(1)): [1], str(customer(2)): [1, 2, 3]}


async def test_an_event_of_another_id_is_not_taken_for_it(broker: Broker, name: str) -> None:
    past = Past.of(1, 1)
    await refuse(broker, name, [flat(past)[0] | {"id": str(UUID(int=5))}])
    done = await dead(broker, past).retry(name)
    assert [one.why for one in done.kept] == ["the event store does not have it"]
    assert await broker.waiting(queue_of(name)) == 0


async def test_while_the_store_is_away_everything_stays(broker: Broker, name: str) -> None:
    past = Past.of(3, 3)
    await refuse(broker, name, flat(past))
    letters = dead(broker, past)
    past.away = 503
    with pytest.raises(FeedUnavailable):
        await letters.retry(name)
    past.away = None
    assert sorted(await ids(letters, name)) == sorted(past.events())
    assert (await letters.retry(name)).retried == 9


async def test_a_retry_takes_no_longer_than_it_says_and_the_next_goes_on(
    broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = Past.of(5, 30)
    await refuse(broker, name, flat(past))
    monkeypatch.setattr(dead_letters, "WITHIN", 0.1)
    letters, rounds = dead(broker, past), 0
    while (done := await letters.retry(name)).left:
        rounds += 1
        assert done.retried
    assert rounds
    messages = [str(message.message_id) for message in await arrived(broker, name, 150)]
    for number in range(5):
        assert [one for one in messages if one in past.events()[number::5]] == past.events()[number::5]


async def test_a_queue_that_is_nearly_full_gets_no_more(broker: Broker) -> None:
    created, _ = await broker.kept.create(broker.wish("customer.#", messages=10))
    name, past = created.subscription.name, Past.of(5, 4)
    await refuse(broker, name, flat(past))
    letters = dead(broker, past)
    done = await letters.retry(name)
    assert (done.retried, done.left) == (8, 12)
    assert "nearly full" in str(done.stopped)
    assert (await letters.listed(name, 100)).count == 12


async def test_killed_before_each_removal_everything_comes_and_in_order(
    broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    past = Past.of(3, 4)
    await refuse(broker, name, flat(past))
    letters, killed = dead(broker, past), 0
    ack = aio_pika.message.IncomingMessage.ack

    async def kill(message: Any, multiple: bool = False) -> None:
        nonlocal killed
        killed += 1
        if killed % 3 == 0:
            for one in await connections(broker, "dead letters"):
                await broker._http.delete(f"api/connections/{quote(one, safe='')}")
            await asyncio.sleep(0.3)
        await ack(message, multiple)

    monkeypatch.setattr(aio_pika.message.IncomingMessage, "ack", kill)
    broken = 0
    while True:
        try:
            done = await letters.retry(name)
        except BrokerUnavailable:
            broken += 1
            continue
        if done.left == 0:
            break
    assert broken >= 3
    monkeypatch.undo()
    count = await broker.waiting(queue_of(name))
    assert count >= 12
    assert (await letters.listed(name, 10)).count == 0
    first: dict[str, list[int]] = defaultdict(list)
    for message in await arrived(broker, name, count):
        told = json.loads(message.body)
        if int(told["sequence"]) not in first[told["subject"]]:
            first[told["subject"]].append(int(told["sequence"]))
    assert first == {str(customer(number)): [1, 2, 3, 4] for number in range(3)}


async def connections(broker: Broker, name: str) -> Sequence[str]:
    """RabbitMQ tells of new ones some seconds late."""
    found = list[str]()

    async def some() -> bool:
        there = await broker.ask("vhosts", broker.vhost, "connections") or []
        found[:] = [
            str(one["name"]) for one in there if (one.get("client_properties") or {}).get("connection_name") == name
        ]
        return bool(found)

    await until(some)
    return found


async def test_two_operators_lose_nothing_and_repeat_nothing(broker: Broker, name: str) -> None:
    past = Past.of(10, 10)
    await refuse(broker, name, flat(past))
    first, second = dead(broker, past), dead(broker, past)
    both = await asyncio.gather(first.retry(name), second.retry(name), second.listed(name, 5))
    assert both[0].retried + both[1].retried == 100
    messages = [str(message.message_id) for message in await arrived(broker, name, 100)]
    assert sorted(messages) == sorted(past.events())
    for number in range(10):
        assert [one for one in messages if one in past.events()[number::10]] == past.events()[number::10]


async def test_who_comes_while_another_is_at_it_is_told_so(
    broker: Broker, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "BUSY_SECONDS", 0.3)
    letters = dead(broker, Past())
    async with letters._taken(name, 10):
        with pytest.raises(Busy):
            await letters.listed(name, 10)
    assert (await letters.listed(name, 10)).count == 0


async def test_discarding_removes_one_or_all_and_says_who_and_why(broker: Broker, name: str) -> None:
    past = Past.of(2, 3)
    await refuse(broker, name, [*flat(past), b"rubbish"])
    letters = dead(broker, past)
    gone = past.events()[2]
    with capture_logs() as logs:
        assert (await letters.discard(name, "a test", "user:42", UUID(gone))).discarded == 1
    (entry,) = [one for one in logs if one["event"] == "dead letter discarded"]
    assert (entry["subscription"], entry["reason"], entry["by"]) == (name, "a test", "user:42")
    assert (entry["letter"]["id"], entry["letter"]["customerId"]) == (gone, str(customer(0)))
    assert {*await ids(letters, name)} == {*past.events(), "UNSET"} - {gone}
    with pytest.raises(NoLetter):
        await letters.discard(name, "a test", "user:42", UUID(gone))
    assert (await letters.discard(name, "a test", "user:42")).discarded == 6
    assert (await letters.listed(name, 10)).count == 0
    assert await broker.waiting(queue_of(name)) == 0


async def test_of_no_subscription_there_are_no_letters(broker: Broker) -> None:
    with pytest.raises(NotSubscribed):
        await dead(broker, Past()).listed(broker.name(), 10)
