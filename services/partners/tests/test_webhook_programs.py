"""The worker as a program: killed in the middle, stopped in good order, one after another."""

import asyncio
import base64
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
from customerflow_local.testing import Database
from customerflow_partners.webhooks.store import Counts
from customerflow_shared import database

from .receiver import Received, Receiver, receiving, status, taking
from .webhook_world import MASTER, World, customers, until
from .webhook_world import world as worlds

CONCURRENCY = 4


@pytest.fixture
async def world(migrated: Database, cf_amqp_url: str) -> AsyncIterator[World]:
    async with worlds(migrated, cf_amqp_url) as made:
        yield made


@asynccontextmanager
async def worker(migrated: Database, amqp_url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {
        "CF_PARTNERS_MYSQL_URL": migrated.url,
        "CF_AMQP_URL": amqp_url,
        "CF_WEBHOOK_KEY": base64.b64encode(MASTER).decode(),
        "CF_WEBHOOK_ALLOW": "127.0.0.0/8",
        "CF_WEBHOOK_CONCURRENCY": str(CONCURRENCY),
        "CF_PORT": "0",
        "CF_LOG_LEVEL": "warning",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "customerflow_partners", "deliver"),
        env={name: value for name, value in os.environ.items() if not name.startswith("CF_")} | environment,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def expire_leases(world: World) -> None:
    """As if the seconds had passed after which a worker that is not heard of is taken for dead."""
    async with database.session(world.engine) as session:
        await session.run("UPDATE cf_webhooks SET lease_until = UTC_TIMESTAMP(6) - INTERVAL 1 SECOND")
        await session.commit()


def has_taken(receiver: Receiver, enough: int) -> bool:
    return len(receiver.taken) >= enough


async def test_workers_that_are_killed_in_the_middle_lose_nothing(
    world: World, migrated: Database, cf_amqp_url: str
) -> None:
    poisoned = True
    ana, *others = customers(20)

    async def respond(request: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)
        await (status(500) if poisoned and request.customer == str(ana) else taking())(request, writer)

    kills = 3
    async with receiving() as receiver:
        receiver.respond = respond
        one = await world.webhook(receiver.url)
        for killed in range(kills):
            async with worker(migrated, cf_amqp_url) as process:
                await world.tell(*random.choices([ana, *others], k=150))
                await until(partial(has_taken, receiver, len(receiver.taken) + 50))
                process.send_signal(signal.SIGKILL)
                await process.wait()
            await expire_leases(world)
            assert receiver.overlaps == 0, f"after {killed} kills"
        poisoned = False
        await world.store.retry_all(one.id, world.clock())
        async with worker(migrated, cf_amqp_url) as process:
            await until(lambda: world.everything(receiver.taken))
            assert world.in_order(receiver.taken)
            assert receiver.overlaps == 0
            repeated = len(receiver.taken) - len({seen.event["id"] for seen in receiver.taken})
            # what was in hand when one was killed, and what was answered but not acknowledged yet
            assert repeated <= kills * 2 * CONCURRENCY
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
        assert await world.backlog(one) == 0
        assert (await world.store.counts()).get(one.id, Counts()) == Counts()


async def test_a_worker_that_is_asked_to_stop_ends_what_it_has_begun_and_another_takes_over_at_once(
    world: World, migrated: Database, cf_amqp_url: str
) -> None:
    async def slow(request: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.3)
        await taking()(request, writer)

    async with receiving() as receiver:
        receiver.respond = slow
        await world.webhook(receiver.url)
        async with worker(migrated, cf_amqp_url) as first, worker(migrated, cf_amqp_url):
            await world.tell(*random.choices(customers(8), k=40))
            await until(lambda: len(receiver.seen) >= CONCURRENCY)
            first.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(first.wait(), 10) == 0
            await until(lambda: world.everything(receiver.taken))
        assert len(receiver.seen) == 40, "nothing was repeated"
        assert world.in_order(receiver.seen)
        assert receiver.overlaps == 0
        assert receiver.most_at_once <= CONCURRENCY
