"""Subscriptions at a real RabbitMQ: what a partner gets and may do, and that whatever is interrupted is completed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError
from aiormq.exceptions import ChannelAccessRefused
from customerflow_contract.asyncapi import EXCHANGE
from customerflow_partners.keeping import (
    Credentials,
    HasMessages,
    Incomplete,
    Inspection,
    NotSubscribed,
    Overtaken,
    Subscription,
    Subscriptions,
)
from customerflow_partners.management import Refused
from customerflow_partners.subscriptions import (
    Conflict,
    DeleteQueue,
    DeleteUser,
    Found,
    Limits,
    Permission,
    Permit,
    SetUser,
    Wish,
    creation,
    dead_of,
    permission,
    queue_of,
    user_of,
)
from msgspec import UNSET
from msgspec.structs import replace

from .broker import KEYS, Broker, Interrupted, Mortal, until

STEPS = len(creation(Wish(name="erp", routing_keys=KEYS, limits=Limits()), Found()))
REMOVAL_STEPS = 1 + len(KEYS) + 2


async def subscribed(broker: Broker, wish: Wish | None = None) -> tuple[str, Credentials]:
    created, _ = await broker.kept.create(wish or broker.wish())
    assert isinstance(created.credentials, Credentials)
    return created.subscription.name, created.credentials


async def found(broker: Broker, name: str) -> Subscription | None:
    return next((one for one in await broker.kept.listed() if one.name == name), None)


# --- creation ---------------------------------------------------------------------------------------------------------


async def test_a_partner_gets_the_events_that_were_asked_for_and_no_others(broker: Broker) -> None:
    wish = broker.wish("customer.updated.v1", "customer.consent_changed.*")
    created, changed = await broker.kept.create(wish)
    assert changed
    assert isinstance(created.credentials, Credentials)
    assert created.subscription == Subscription(
        name=wish.name,
        queue=f"customerflow.partner.{wish.name}",
        dead_letter_queue=f"customerflow.partner.{wish.name}.dead",
        user=f"partner-{wish.name}",
        faults=[],
        routing_keys=wish.routing_keys,
        limits=wish.limits,
        **{  # RabbitMQ may have counted already
            number: getattr(created.subscription, number)
            for number in ("messages", "unacknowledged", "consumers", "dead_letters")
        },
    )
    for key in ("customer.updated.v1", "customer.erased.v1", "customer.consent_changed.v1"):
        await broker.publish(key.encode(), key=key)
    await broker.publish(b"again", key="customer.updated.v1")
    bodies = await broker.taken(created.credentials, created.subscription.queue, 3)
    assert bodies == [b"customer.updated.v1", b"customer.consent_changed.v1", b"again"]


async def test_the_same_again_changes_nothing_and_tells_no_password(broker: Broker) -> None:
    wish = broker.wish()
    await broker.kept.create(wish)
    before = await broker.definition(wish.name)
    again, changed = await broker.kept.create(wish)
    assert not changed
    assert again.credentials is UNSET
    assert again.subscription.faults == []
    assert await broker.definition(wish.name) == before


async def test_the_password_is_kept_nowhere_but_as_a_hash(broker: Broker) -> None:
    name, credentials = await subscribed(broker)
    assert len(credentials.password) >= 43
    assert credentials.password not in str(await broker.definition(name))
    assert credentials.password not in repr(credentials)


@pytest.mark.parametrize("done", range(STEPS))
async def test_what_was_interrupted_is_shown_and_completed_by_the_same_again(broker: Broker, done: int) -> None:
    wish = broker.wish()
    with pytest.raises(Interrupted):
        await Subscriptions(Mortal(broker.management, done)).create(wish)
    halfway = await found(broker, wish.name)
    if halfway is None:
        assert done == 0
    else:
        assert halfway.faults
        with pytest.raises(Incomplete):
            await broker.kept.rotate(wish.name)
    created, changed = await broker.kept.create(wish)
    assert changed
    assert isinstance(created.credentials, Credentials)
    assert created.subscription.faults == []
    await broker.publish(b"one")
    assert await broker.taken(created.credentials, created.subscription.queue, 1) == [b"one"]


async def test_a_password_that_was_lost_on_its_way_is_rotated(broker: Broker) -> None:
    wish = broker.wish()
    await Subscriptions(Mortal(broker.management, STEPS)).create(wish)  # and its answer never came
    again, _ = await broker.kept.create(wish)
    assert again.credentials is UNSET
    await broker.taken(await broker.kept.rotate(wish.name), queue_of(wish.name), 0)


@pytest.mark.parametrize("missing", ["queue", "dead-letter queue", "binding", "user", "permission"])
async def test_what_somebody_has_deleted_is_shown_and_completed(broker: Broker, missing: str) -> None:
    name, credentials = await subscribed(broker)
    wish = broker.wish(name=name)
    match missing:
        case "queue":
            await broker.management.perform(DeleteQueue(queue_of(name)), "")
        case "dead-letter queue":
            await broker.management.perform(DeleteQueue(dead_of(name)), "")
        case "binding":
            await broker.management._unbind(queue_of(name), KEYS[0])
        case "user":
            await broker.management.perform(DeleteUser(user_of(name)), "")
        case "permission":
            await broker.management._change("DELETE", "permissions", broker.vhost, user_of(name))
    seen = await found(broker, name)
    assert seen is not None
    (fault,) = seen.faults
    assert missing.removesuffix("permission") in fault
    created, changed = await broker.kept.create(wish)
    assert changed
    assert created.subscription.faults == []
    usable = missing not in ("user", "permission")
    assert (created.credentials is UNSET) == usable  # one that was usable keeps its password
    if isinstance(created.credentials, Credentials):
        credentials = created.credentials
    await broker.publish(b"one", key=KEYS[0])
    assert await broker.taken(credentials, queue_of(name), 1) == [b"one"]


async def test_what_exists_otherwise_is_a_conflict_that_changes_nothing(broker: Broker) -> None:
    wish = broker.wish(messages=10)
    await broker.kept.create(wish)
    before = await broker.definition(wish.name)
    for other, differs in (
        (replace(wish, routing_keys=("customer.#",)), ["routingKeys", "bindings"]),
        (replace(wish, limits=replace(wish.limits, messages=11, age=60)), ["limits.messages", "limits.age"]),
    ):
        with pytest.raises(Conflict) as raised:
            await broker.kept.create(other)
        assert raised.value.differs == differs
    assert await broker.definition(wish.name) == before


async def test_an_account_of_somebody_else_is_not_taken_over(broker: Broker) -> None:
    wish = broker.wish()
    await broker.management.perform(SetUser(user_of(wish.name)), "theirs")
    await broker.management.perform(Permit(user_of(wish.name), Permission("", "", ".*")), "")
    before = await broker.definition(wish.name)
    with pytest.raises(Conflict) as raised:
        await broker.kept.create(wish)
    assert raised.value.differs == ["user"]
    assert await broker.definition(wish.name) == before


async def test_a_name_that_begins_another_is_another_subscription(broker: Broker) -> None:
    name, credentials = await subscribed(broker)
    longer = broker.wish(name=f"{name}-dead")
    broker.names.append(longer.name)
    await subscribed(broker, longer)
    async with broker.as_partner(credentials) as connection:
        assert await outcome(connection, lambda channel: consume(channel, queue_of(longer.name))) == "refused"


# --- two at once ------------------------------------------------------------------------------------------------------


async def test_of_two_at_once_in_one_program_one_is_told_a_password_and_it_is_good(broker: Broker) -> None:
    wish = broker.wish()
    first, second = await asyncio.gather(broker.kept.create(wish), broker.kept.create(wish))
    assert [changed for _, changed in (first, second)] == [True, False]
    assert isinstance(first[0].credentials, Credentials)
    assert second[0].credentials is UNSET
    await broker.taken(first[0].credentials, queue_of(wish.name), 0)


@pytest.mark.parametrize("attempt", range(5))
async def test_of_two_programs_at_once_both_complete_it_and_the_last_password_is_good(
    broker: Broker, attempt: int
) -> None:
    wish = broker.wish()
    others = [Subscriptions(broker.management) for _ in range(2)]
    ended = await asyncio.gather(*(kept.create(wish) for kept in others), return_exceptions=True)
    seen = await found(broker, wish.name)
    assert seen is not None
    assert seen.faults == []
    good = 0
    for one in ended:
        if isinstance(one, BaseException):
            assert isinstance(one, Overtaken | Refused)
        elif isinstance(credentials := one[0].credentials, Credentials):
            good += await broker.management.has_password(credentials.user, credentials.password)
    assert good == 1


async def test_of_two_wishes_at_once_one_is_kept_and_the_other_is_refused(broker: Broker) -> None:
    wish = broker.wish()
    other = replace(wish, limits=replace(wish.limits, messages=7))
    ended = await asyncio.gather(broker.kept.create(wish), broker.kept.create(other), return_exceptions=True)
    assert [type(one) for one in ended] == [tuple, Conflict]


# --- what a partner may do --------------------------------------------------------------------------------------------


async def consume(channel: AbstractChannel, queue: str) -> object:
    async def hold(_: AbstractIncomingMessage) -> None: ...

    return await (await channel.get_queue(queue, ensure=False)).consume(hold)


async def publish(channel: AbstractChannel, exchange: str, key: str) -> object:
    message = aio_pika.Message(b"made up")
    if not exchange:
        return await channel.default_exchange.publish(message, key)
    return await (await channel.get_exchange(exchange, ensure=False)).publish(message, key)


async def outcome(
    connection: aio_pika.abc.AbstractConnection, attempt: Callable[[AbstractChannel], Awaitable[object]]
) -> str:
    channel = await connection.channel()
    try:
        await attempt(channel)
    except ChannelAccessRefused:
        return "refused"
    await channel.close()
    return "done"


async def test_a_partner_may_read_its_own_two_queues_and_nothing_else(broker: Broker) -> None:
    name, credentials = await subscribed(broker)
    other, _ = await subscribed(broker)
    mine, theirs = queue_of(name), queue_of(other)
    refused: Sequence[tuple[str, Callable[[AbstractChannel], Awaitable[object]]]] = [
        ("consume other", lambda channel: consume(channel, theirs)),
        ("consume other's dead letters", lambda channel: consume(channel, dead_of(other))),
        ("purge other", lambda channel: purge(channel, theirs)),
        ("publish", lambda channel: publish(channel, EXCHANGE, "customer.updated.v1")),
        ("publish by name of queue", lambda channel: publish(channel, "", mine)),
        ("declare", lambda channel: channel.declare_queue("mine-too", durable=True)),
        ("declare what the broker names", lambda channel: channel.declare_queue("", exclusive=True)),
        ("declare own", lambda channel: channel.declare_queue(f"{mine}.more", durable=True)),
        ("declare exchange", lambda channel: channel.declare_exchange("mine-too")),
        ("bind", lambda channel: bind(channel, mine, "#")),
        ("unbind", lambda channel: unbind(channel, mine, KEYS[0])),
        ("delete", lambda channel: channel.queue_delete(mine)),
        ("delete other", lambda channel: channel.queue_delete(theirs)),
        ("delete exchange", lambda channel: channel.exchange_delete(EXCHANGE)),
    ]
    before = [await broker.definition(one) for one in (name, other)]
    await broker.publish(b"one")
    async with broker.as_partner(credentials) as connection:
        told = {label: await outcome(connection, attempt) for label, attempt in refused}
        assert told == dict.fromkeys(told, "refused")
        assert await outcome(connection, lambda channel: consume(channel, mine)) == "done"
        assert await outcome(connection, lambda channel: consume(channel, dead_of(name))) == "done"
    assert [await broker.definition(one) for one in (name, other)] == before
    for queue in (mine, theirs):
        await broker.holds(queue, 1)


async def purge(channel: AbstractChannel, queue: str) -> object:
    return await (await channel.get_queue(queue, ensure=False)).purge()


async def bind(channel: AbstractChannel, queue: str, key: str) -> object:
    return await (await channel.get_queue(queue, ensure=False)).bind(EXCHANGE, key)


async def unbind(channel: AbstractChannel, queue: str, key: str) -> object:
    return await (await channel.get_queue(queue, ensure=False)).unbind(EXCHANGE, key)


async def test_a_partner_has_no_part_in_other_virtual_hosts_and_none_in_the_management_interface(
    broker: Broker,
) -> None:
    _, credentials = await subscribed(broker)
    elsewhere = Broker(
        broker.amqp_url.rpartition("/")[0] + "/%2F", broker.management_url, broker._http, broker._channel
    )
    if broker.vhost != "/":
        with pytest.raises(AMQPError):
            async with elsewhere.as_partner(credentials):
                pass
    answer = await broker._http.get("api/whoami", auth=(credentials.user, credentials.password))
    assert answer.status_code == 401


# --- limits -----------------------------------------------------------------------------------------------------------


async def dead_letters(broker: Broker, name: str, count: int) -> Inspection:
    async def there() -> bool:
        return len((await broker.kept.inspect(name)).dead.oldest) == count

    await until(there)
    return await broker.kept.inspect(name)


async def test_beyond_its_limit_a_queue_drops_what_is_oldest_and_shows_it(broker: Broker) -> None:
    name, credentials = await subscribed(broker, broker.wish(messages=5))
    await broker.publish(*(str(number).encode() for number in range(8)))
    told = await dead_letters(broker, name, 3)
    assert told.dead.reasons == {"maxlen": 3}
    assert [one.message_id for one in told.dead.oldest] == ["id-0", "id-1", "id-2"]
    assert {one.routing_key for one in told.dead.oldest} == {"customer.updated.v1"}
    assert all(one.at for one in told.dead.oldest)
    assert await broker.taken(credentials, queue_of(name), 5) == [b"3", b"4", b"5", b"6", b"7"]
    assert await broker.taken(credentials, dead_of(name), 3) == [b"0", b"1", b"2"]


async def test_beyond_its_bytes_too(broker: Broker) -> None:
    name, _ = await subscribed(broker, broker.wish(bytes=2_000_000))
    await broker.publish(*(str(number).encode() * 500_000 for number in range(8)))

    async def dropped() -> bool:
        return await broker.waiting(queue_of(name)) + await broker.waiting(dead_of(name)) == 8

    await until(dropped)
    assert await broker.waiting(queue_of(name)) in (3, 4)  # RabbitMQ may count its own bytes, too
    assert [one.message_id for one in (await broker.kept.inspect(name)).dead.oldest][:2] == [
        "id-000000000",
        "id-111111111",
    ]


async def test_what_is_too_old_goes_to_the_dead_letters(broker: Broker) -> None:
    name, _ = await subscribed(broker, broker.wish(age=1))
    await broker.publish(b"1", b"2")
    assert await broker.waiting(queue_of(name)) == 2
    told = await dead_letters(broker, name, 2)
    assert told.dead.reasons == {"expired": 2}
    assert await broker.waiting(queue_of(name)) == 0


async def test_what_a_partner_refuses_is_among_the_dead_letters_with_its_reason(broker: Broker) -> None:
    name, credentials = await subscribed(broker)
    await broker.publish(b"1")
    async with broker.as_partner(credentials) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue(queue_of(name), ensure=False)

        async def reject(message: AbstractIncomingMessage) -> None:
            await message.reject(requeue=False)

        await queue.consume(reject)
        told = await dead_letters(broker, name, 1)
    (letter,) = told.dead.oldest
    assert (letter.message_id, letter.reason, letter.count) == ("id-1", "rejected", 1)
    assert told.dead.reasons == {"rejected": 1}


# --- what is shown ----------------------------------------------------------------------------------------------------


async def test_what_waits_and_for_how_long_is_shown(broker: Broker) -> None:
    name, credentials = await subscribed(broker)
    await broker.publish(b"1", b"2")
    await asyncio.sleep(8)
    await broker.publish(b"3", b"4")

    async def counted() -> bool:
        one = await broker.kept.inspect(name)
        return (one.subscription.messages, one.subscription.unacknowledged) == (4, 1)

    async with broker.as_partner(credentials) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1)
        await consume(channel, queue_of(name))
        await until(counted)

        async def told() -> bool:
            one = await broker.kept.inspect(name)
            return one.oldest is not UNSET and one.connections == 1 and one.subscription.consumers == 1

        await until(told)
        shown = await broker.kept.inspect(name)
    assert shown.oldest is not UNSET
    assert 0 <= shown.oldest.at_least <= 40
    assert shown.oldest.at_most is UNSET or 8 <= shown.oldest.at_most <= 60
    assert isinstance(shown.connected_since, str)
    assert shown.subscription.faults == []


async def test_to_look_takes_nothing_and_shows_no_content(broker: Broker) -> None:
    name, credentials = await subscribed(broker, broker.wish(messages=1))
    await broker.publish(b"canary-1", b"canary-2", b"canary-3")
    await dead_letters(broker, name, 2)
    for _ in range(30):  # each look counts as a delivery
        told = await broker.kept.inspect(name)
    assert len(told.dead.oldest) == 2
    assert "canary" not in str(told).replace("id-canary", "")
    assert await broker.taken(credentials, dead_of(name), 2) == [b"canary-1", b"canary-2"]


async def test_of_what_there_is_not_nothing_is_shown_or_done(broker: Broker) -> None:
    name = broker.name()
    with pytest.raises(NotSubscribed):
        await broker.kept.inspect(name)
    with pytest.raises(NotSubscribed):
        await broker.kept.rotate(name)
    with pytest.raises(NotSubscribed):
        await broker.kept.remove(name, force=True)
    assert await broker.definition(name) == {"queues": [None, None], "bindings": [], "user": None, "permissions": []}


async def test_the_list_is_by_name_with_what_is_incomplete_among_it(broker: Broker) -> None:
    (first, _), (second, _) = await subscribed(broker), await subscribed(broker)
    await broker.management.perform(DeleteQueue(dead_of(second)), "")
    told = {one.name: one for one in await broker.kept.listed()}
    assert [*told] == sorted(told)
    assert told[first].faults == []
    assert told[second].faults == ["the dead-letter queue is missing"]


async def test_an_account_that_is_only_of_another_virtual_host_is_neither_listed_nor_removed(broker: Broker) -> None:
    name = broker.name()
    await broker.management.perform(SetUser(user_of(name)), "theirs")
    await broker.management._change(
        "PUT",
        "permissions",
        "/" if broker.vhost != "/" else "elsewhere",
        user_of(name),
        body=permission(name)._asdict(),
    )
    assert await found(broker, name) is None
    with pytest.raises(NotSubscribed):
        await broker.kept.remove(name, force=True)
    assert await broker.management.has_password(user_of(name), "theirs")
    with pytest.raises(Conflict):
        await broker.kept.create(broker.wish(name=name))
    await broker.management.perform(DeleteUser(user_of(name)), "")


# --- another password -------------------------------------------------------------------------------------------------


async def test_a_new_password_is_good_and_the_old_one_is_not_any_more(broker: Broker) -> None:
    name, old = await subscribed(broker)
    async with broker.as_partner(old) as connection:
        new = await broker.kept.rotate(name)
        assert new.user == old.user
        assert await outcome(connection, lambda channel: consume(channel, queue_of(name))) == "done"  # it stays open
    with pytest.raises(AMQPError):
        await broker.taken(old, queue_of(name), 0)
    await broker.taken(new, queue_of(name), 0)


async def test_of_an_incomplete_subscription_no_password_is_told(broker: Broker) -> None:
    name, old = await subscribed(broker)
    await broker.management.perform(DeleteQueue(dead_of(name)), "")
    with pytest.raises(Incomplete) as raised:
        await broker.kept.rotate(name)
    assert raised.value.faults == ["the dead-letter queue is missing"]
    assert await broker.management.has_password(old.user, old.password)


# --- removal ----------------------------------------------------------------------------------------------------------


async def counted(broker: Broker, name: str, messages: int, dead: int) -> None:
    async def so_many() -> bool:
        one = await found(broker, name)
        return one is not None and (one.messages, one.dead_letters) == (messages, dead)

    await until(so_many)


async def test_with_messages_it_is_not_removed_unless_it_is_forced(broker: Broker) -> None:
    name, _ = await subscribed(broker, broker.wish(messages=2))
    await broker.publish(b"1", b"2", b"3")
    await counted(broker, name, 2, 1)
    before = await broker.definition(name)
    with pytest.raises(HasMessages) as raised:
        await broker.kept.remove(name, force=False)
    assert (raised.value.messages, raised.value.dead_letters) == (2, 1)
    assert await broker.definition(name) == before
    await broker.kept.remove(name, force=True)
    assert await found(broker, name) is None


async def test_before_it_is_known_whether_there_are_messages_it_is_not_removed(broker: Broker) -> None:
    name, _ = await subscribed(broker)
    await broker.publish(b"1")
    with pytest.raises(HasMessages):
        await broker.kept.remove(name, force=False)
    assert await broker.waiting(queue_of(name)) == 1


async def test_an_empty_one_is_removed_with_all_that_is_of_it_and_its_connections_are_closed(broker: Broker) -> None:
    name, credentials = await subscribed(broker)
    await counted(broker, name, 0, 0)
    async with broker.as_partner(credentials) as connection:
        closed = asyncio.Event()
        connection.close_callbacks.add(lambda *_: closed.set())
        await broker.kept.remove(name, force=False)
        async with asyncio.timeout(10):
            await closed.wait()
    assert await broker.definition(name) == {"queues": [None, None], "bindings": [], "user": None, "permissions": []}
    with pytest.raises(AMQPError):
        await broker.taken(credentials, queue_of(name), 0)


@pytest.mark.parametrize("done", range(REMOVAL_STEPS))
async def test_a_removal_that_was_interrupted_is_completed_by_the_next(broker: Broker, done: int) -> None:
    name, _ = await subscribed(broker)
    with pytest.raises(Interrupted):
        await Subscriptions(Mortal(broker.management, done)).remove(name, force=True)
    assert await found(broker, name) is not None
    await broker.kept.remove(name, force=True)
    assert await broker.definition(name) == {"queues": [None, None], "bindings": [], "user": None, "permissions": []}


async def test_what_was_removed_can_be_subscribed_again_and_begins_empty(broker: Broker) -> None:
    name, old = await subscribed(broker)
    await broker.publish(b"1")
    await broker.kept.remove(name, force=True)
    _, new = await subscribed(broker, broker.wish(name=name))
    assert new.password != old.password
    await broker.publish(b"2")
    assert await broker.taken(new, queue_of(name), 1) == [b"2"]
