"""What the broker does not take is not marked as sent: it waits, in order, and is sent when the cause is gone."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from blackbox.account import Json, compare
from blackbox.broker import INTEGRATION, INTEGRATION_LOG, channel
from blackbox.customers import Customer, Customers
from blackbox.database import database
from blackbox.feed import Feed
from blackbox.load import all_seen, many
from blackbox.subscriber import Subscriber, log_end, read_log
from blackbox.system import System
from blackbox.waiting import eventually
from customerflow_local.stack import Stack
from observer import expected

FULL = {"x-max-length": 1, "x-overflow": "reject-publish"}
RECOVERS_WITHIN = 15.0


class Relays:
    """What they say from now on."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._names = [name for name in stack.services() if name.split("-")[0] == "relay"]
        self._before = {name: len(stack.log(name)) for name in self._names}

    @property
    def said(self) -> str:
        return "".join(self._stack.log(name)[self._before[name] :] for name in self._names)


@asynccontextmanager
async def partner(system: System, arguments: Json, routing_key: str = "#") -> AsyncIterator[str]:
    """A durable queue that nobody reads."""
    name = f"partner.{secrets.token_hex(4)}"
    async with channel(system.amqp) as own:
        queue = await own.declare_queue(name, durable=True, arguments=arguments)
        await queue.bind(INTEGRATION, routing_key)
        try:
            yield name
        finally:
            await own.queue_delete(name)


async def unsent(system: System, customers: Iterable[Customer]) -> int:
    """How many of their events are still in the outbox."""
    ids = ", ".join(f"x'{UUID(customer.id).hex}'" for customer in customers)
    async with database(system.mysql_owner) as observer:
        ((count,),) = await observer.rows(f"SELECT COUNT(*) FROM cf_outbox WHERE customer_id IN ({ids})")
    return int(count)


async def all_sent(system: System, customers: Sequence[Customer]) -> None:
    async def sent() -> None:
        assert await unsent(system, customers) == 0

    await eventually(sent, within=RECOVERS_WITHIN)


async def in_the_log(system: System, feed: Feed, after: int, start: int) -> None:
    """Every event since that position, in order."""
    told = await asyncio.to_thread(read_log, system.amqp, start)
    assert compare(expected(await feed.read(after)), told).violations == []


def says_nothing_of_them(said: str) -> None:
    assert "@example.com" not in said
    assert "Name " not in said


async def changed_until(
    customers: Customers, relays: Relays, words: str, vandalise: Callable[[], Awaitable[object]]
) -> list[Customer]:
    """Customers that were changed while the same damage is done again and again, until a relay has told of it."""
    changed: list[Customer] = []

    async def told() -> None:
        await vandalise()
        changed.extend(await many(customers, 10, 3))
        assert words in relays.said

    await eventually(told, within=RECOVERS_WITHIN, every=0.5)
    return changed


async def test_what_no_queue_takes_is_kept_until_one_does(
    own_stack: Stack, system: System, customers: Customers, feed: Feed
) -> None:
    """The relay binds its log again: it is told that the broker has nowhere to put a message."""
    after, start, relays = await feed.head(), await asyncio.to_thread(log_end, system.amqp), Relays(own_stack)
    async with channel(system.amqp) as own:
        log_queue = await own.get_queue(INTEGRATION_LOG)
        changed = await changed_until(
            customers,
            relays,
            "customerflow.integration: no queue takes customer.",
            lambda: log_queue.unbind(INTEGRATION, "#"),
        )
    await all_sent(system, changed)
    await in_the_log(system, feed, after, start)
    says_nothing_of_them(relays.said)
    await all_seen(customers, changed, within=RECOVERS_WITHIN)


async def test_an_exchange_that_is_deleted_under_the_relay_comes_back_with_all_that_was_not_sent(
    own_stack: Stack, system: System, customers: Customers, feed: Feed
) -> None:
    after, start, relays = await feed.head(), await asyncio.to_thread(log_end, system.amqp), Relays(own_stack)
    async with channel(system.amqp) as own:
        changed = await changed_until(
            customers, relays, "no exchange 'customerflow.integration'", lambda: own.exchange_delete(INTEGRATION)
        )
    await all_sent(system, changed)
    await in_the_log(system, feed, after, start)
    says_nothing_of_them(relays.said)
    assert "TimeoutError" not in relays.said
    await all_seen(customers, changed, within=RECOVERS_WITHIN)


async def test_a_log_that_is_deleted_under_the_relay_comes_back_with_all_that_was_not_sent(
    own_stack: Stack, system: System, customers: Customers, feed: Feed
) -> None:
    relays = Relays(own_stack)
    async with channel(system.amqp) as own:
        await own.queue_delete(INTEGRATION_LOG)
    after = await feed.head()
    changed = await many(customers, 30, 3)
    await all_sent(system, changed)
    await in_the_log(system, feed, after, 0)
    says_nothing_of_them(relays.said)
    await all_seen(customers, changed, within=RECOVERS_WITHIN)


@pytest.mark.parametrize("kind", ["classic", "quorum"])
async def test_what_a_partners_queue_refuses_is_kept_until_it_takes_it(
    own_stack: Stack, system: System, customers: Customers, feed: Feed, kind: str
) -> None:
    after, start, relays = await feed.head(), await asyncio.to_thread(log_end, system.amqp), Relays(own_stack)
    async with partner(system, {"x-queue-type": kind, **FULL}) as full:
        words = "customerflow.integration: a queue refuses customer."
        changed = await changed_until(customers, relays, words, lambda: asyncio.sleep(0))
        changed += await many(customers, 30, 3)
        await asyncio.sleep(3)
        assert await unsent(system, changed) > 100, "commands go on, and nothing of them is marked as sent"
        with Subscriber(system.amqp, full):  # its reader returns
            await all_sent(system, changed)
    await in_the_log(system, feed, after, start)
    says_nothing_of_them(relays.said)
    await all_seen(customers, changed, within=RECOVERS_WITHIN)


async def test_a_log_that_is_deleted_while_a_partner_listens_comes_back_too(
    own_stack: Stack, system: System, customers: Customers
) -> None:
    """No message is returned then, for the partner takes them all."""
    async with partner(system, {"x-max-length": 10}), channel(system.amqp) as own:
        await own.queue_delete(INTEGRATION_LOG)

        async def back() -> None:
            customer = await customers.register()
            await asyncio.sleep(0.5)
            told = await asyncio.to_thread(read_log, system.amqp, 0, quiet=1, within=5)
            assert customer.id in [one.told["subject"] for one in told]

        await eventually(back, within=RECOVERS_WITHIN)
