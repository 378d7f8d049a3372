"""An event that nobody can read holds back its own customer, and nobody else."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import aio_pika
from blackbox.broker import DOMAIN, channel, publish, shard_of, shard_queue
from blackbox.customers import Customer, Customers
from blackbox.database import database
from blackbox.feed import Feed, Recorded
from blackbox.load import change, read_model_equals_fold
from blackbox.system import System
from blackbox.waiting import eventually
from customerflow_local.stack import Stack

UNKNOWN = "CustomerTeleported"
LAG = 2.0  # seconds, at which others are read at the latest
FAILED_TRIES = 4  # after which the projector itself tries seldom


async def projector(stack: Stack, *arguments: str) -> tuple[int, str]:
    """The exit code of its command line, and what it has printed."""
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "customerflow_projector",
        *arguments,
        env={**os.environ, **stack.env, "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told, _ = await running.communicate()
    return running.returncode or 0, told.decode()


@asynccontextmanager
async def no_projector(stack: Stack) -> AsyncIterator[None]:
    projectors = [name for name in stack.services() if name.startswith("projector")]
    for name in projectors:
        await asyncio.to_thread(stack.stop_service, name)
    try:
        yield
    finally:
        for name in projectors:
            await asyncio.to_thread(stack.start_service, name)
        for name in projectors:
            await asyncio.to_thread(stack.wait_ready, name)


async def everything_is_sent(system: System) -> None:
    async def sent() -> None:
        async with database(system.mysql_owner) as observer:
            assert await observer.rows("SELECT COUNT(*) FROM cf_outbox") == [(0,)]

    await eventually(sent, within=15)


async def rename_event(system: System, customer: Customer, version: int, name: str) -> None:
    """In the store itself: what no program ever does."""
    where = f"customer_id = x'{UUID(customer.id).hex}' AND version = {version}"
    async with database(system.mysql_owner) as owner:
        assert await owner.run(f"UPDATE cf_events SET type = '{name}' WHERE {where}") == 1


async def deliver(system: System, recorded: Recorded, event: object) -> None:
    """As the relay would, but with this event."""
    body = json.dumps({**json.loads(recorded.line), "event": event}).encode()
    message = aio_pika.Message(body, content_type="application/json", message_id=recorded.event_id)
    await publish(system.amqp, DOMAIN, str(shard_of(recorded.customer_id)), message)


async def lags(customers: Customers, shard: int, seconds: float) -> list[float]:
    """Of others, who are registered and changed one after the other: from each answer until it is read. Some of them
    are in this shard.
    """
    found, neighbours, end = list[float](), 0, time.monotonic() + seconds
    while time.monotonic() < end or neighbours < 3:
        customer = await customers.register()
        for number in range(3):
            answered = time.monotonic()
            await customers.read(customer, wait=10)
            found.append(time.monotonic() - answered)
            customer = await change(customers, customer, number)
        neighbours += shard_of(customer.id) == shard
    return found


async def test_a_poison_event_parks_its_customer_only_and_a_retry_brings_it_to_the_fold_of_its_events(
    own_stack: Stack, system: System, customers: Customers, feed: Feed
) -> None:
    before = await feed.head()
    poisoned = await customers.register()
    await customers.read(poisoned)
    shard = shard_of(poisoned.id)
    async with no_projector(own_stack):
        for name in ("Second Name", "Third Name"):
            poisoned = await customers.patch(poisoned, name=name)
        await everything_is_sent(system)
        second, third = [one for one in await feed.read(before) if one.customer_id == poisoned.id][1:]
        async with channel(system.amqp) as own:
            await (await own.get_queue(shard_queue(shard))).purge()
        await rename_event(system, poisoned, 2, UNKNOWN)
        await deliver(system, second, {"type": UNKNOWN})
        await deliver(system, third, third.event)

    others = asyncio.create_task(lags(customers, shard, seconds=5))
    for _ in range(FAILED_TRIES):
        code, told = await projector(own_stack, "retry", poisoned.id)
        assert (code, "still parked" in told) == (1, True), told
    code, told = await projector(own_stack, "parked")
    assert (code, told.count(poisoned.id)) == (0, 1), told
    assert "UnknownEvent" in told
    seen = await others
    assert max(seen) < LAG, sorted(seen)[-5:]
    behind = await customers.get(poisoned, at_least=3, wait=1)
    assert behind.status_code == 503, "nobody is told that an older version is the newest"
    assert (await customers.get(poisoned)).json()["version"] == 1

    await rename_event(system, poisoned, 2, second.event["type"])
    assert (await projector(own_stack, "retry", poisoned.id))[0] == 0
    assert poisoned.id not in (await projector(own_stack, "parked"))[1]
    await read_model_equals_fold(customers, feed, before, [poisoned])
    poisoned = await customers.patch(poisoned, name="Fourth Name")
    assert (await customers.read(poisoned))["name"] == "Fourth Name"
